package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// diagnostics is the framework's, under a name of its own.
type diagnostics = diag.Diagnostics

// fail turns an error of the lower rooms into diagnostics: one for each reason of a refusal, one for anything else.
func fail(diags *diag.Diagnostics, doing string, err error) {
	var refusal *topology.Refusal
	if !errors.As(err, &refusal) {
		diags.AddError("Unable to "+doing, err.Error())
		return
	}
	for _, reason := range refusal.Reasons {
		diags.AddError(fmt.Sprintf("Refused to %s: %s", doing, reason.Rule), reasonText(reason)+"\n\nNothing was done after this was found.")
	}
}

func reasonText(r topology.Reason) string {
	return fmt.Sprintf("%s: %s.\n\n%s", r.Node, r.Text, r.Next)
}

// unreadable tells what can be done with a resource whose hosts are all gone.
func unreadable(err error, kind string) error {
	var unknown *topology.UnknownError
	if !errors.As(err, &unknown) {
		return err
	}
	next := "Bring one of them back, or correct how it is reached. If all hosts are gone for good, take the resource out of the state with `state rm`"
	if kind == "rabbitmq_cluster" {
		next += `; or set on_destroy = "keep", then apply and destroy with -refresh=false`
	}
	return fmt.Errorf("%w\n%s. The state is kept as it was", err, next)
}

// passing are the rules whose cause the same apply may mend before it comes to the cluster: a host that is still being
// made, a cookie or a hosts file that another resource writes.
var passing = map[topology.Rule]bool{
	topology.RuleUnreachable: true,
	topology.RuleUninspected: true,
	topology.RuleCookie:      true,
	// What a destroy that was cut off has left behind is for the next destroy, and Terraform plans without it first.
	topology.RuleForgotten: true,
	topology.RuleResolve:   true,
}

// passingForOne are the rules whose cause another member's resource may mend in the same apply, because it starts
// or brings in the member that is missed.
var passingForOne = map[topology.Rule]bool{
	topology.RuleNobodyRuns: true,
	topology.RuleMajority:   true,
	topology.RuleLastDisc:   true,
	topology.RuleFounder:    true,
}

// foresee turns the outcome of a preview into the plan's warnings and errors. One says that it is about one member only,
// and that the same apply may change others.
func foresee(diags *diag.Diagnostics, doing string, one bool, steps []topology.Step, err error) {
	var refusal *topology.Refusal
	if err != nil && !errors.As(err, &refusal) {
		diags.AddWarning("Unable to look ahead", err.Error())
		return
	}
	if refusal != nil {
		steps = refusal.Steps
		still := "The apply checks it again and stops before anything is changed if it still holds."
		if len(refusal.Startable()) > 0 {
			still = "The apply starts the nodes that are there, and changes nothing beyond that while it still holds."
		}
		for _, reason := range refusal.Reasons {
			if passing[reason.Rule] || one && passingForOne[reason.Rule] {
				// The node stands in the summary: the CLI folds warnings with the same one, and shows only the first.
				diags.AddWarning(fmt.Sprintf("Not ready yet to %s: %s: %s", doing, reason.Node, reason.Rule), reasonText(reason)+"\n\n"+still)
			} else {
				diags.AddError(fmt.Sprintf("Refused to %s: %s", doing, reason.Rule), reasonText(reason))
			}
		}
		if diags.HasError() {
			return
		}
	}
	for _, step := range steps {
		text := "The apply will " + step.String() + "."
		if step.Loses != "" {
			text += "\n\nThis destroys for good: " + step.Loses + "."
		}
		if step.Later() != "" {
			text += "\n\n" + step.Later()
		}
		diags.AddWarning(step.Foretell(), text)
	}
}

// sentence makes an error's text a sentence.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
