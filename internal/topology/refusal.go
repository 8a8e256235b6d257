package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Rule names why a plan was refused.
type Rule string

// The rules. Each has a scenario in testdata.
const (
	RuleDataLoss     Rule = "data would be lost"
	RuleOtherCluster Rule = "the node is a member of another cluster"
	RuleUninspected  Rule = "the node cannot be inspected"
	RuleUnreachable  Rule = "the host cannot be reached"
	RulePartition    Rule = "the cluster is partitioned"
	RuleDisagreement Rule = "members disagree about membership"
	RuleMajority     Rule = "the metadata store has no majority, or would lose it"
	RuleCookie       Rule = "the Erlang cookies differ"
	RuleForgotten    Rule = "the node may have been forgotten while it was stopped"
	RuleResolve      Rule = "a host name does not resolve to the right host"
	RuleType         Rule = "the node type is not available"
	RuleLastDisc     Rule = "no disc node would be left"
	RuleVersion      Rule = "the versions do not fit together"
	RuleNobodyRuns   Rule = "no member runs"
	RuleFounder      Rule = "the node to join does not run"
)

// Reason is one reason against a plan, with what to do about it.
type Reason struct {
	Rule Rule
	Node string
	// Unseen tells that it is only about a node that gave no answer.
	Unseen bool
	Text   string // what was found
	Next   string // what the operator can do
}

// Refusal says why nothing was done. Every reason was found before anything was touched.
type Refusal struct {
	Reasons []Reason
	Steps   []Step // what would be done if there were no reason against it
}

// Error implements error: one line a reason.
func (r *Refusal) Error() string {
	lines := make([]string, len(r.Reasons))
	for i, reason := range r.Reasons {
		lines[i] = fmt.Sprintf("%s: %s: %s. %s", reason.Node, reason.Rule, reason.Text, reason.Next)
	}
	return strings.Join(lines, "\n")
}

// Startable are the steps that only start members and that can be done in spite of the refusal: when all that stands
// against the plan is that other nodes give no answer, who is there need not wait for who may never come back.
func (r *Refusal) Startable() []Step {
	if slices.ContainsFunc(r.Reasons, func(reason Reason) bool { return !reason.Unseen }) {
		return nil
	}
	n := 0
	for n < len(r.Steps) && r.Steps[n].Starts() {
		n++
	}
	return r.Steps[:n]
}

// refuse adds a reason.
func (r *Refusal) refuse(rule Rule, node, next, format string, args ...any) {
	r.Reasons = append(r.Reasons, Reason{Rule: rule, Node: node, Text: fmt.Sprintf(format, args...), Next: next})
}

// err returns the refusal, or nil when there is no reason in it.
func (r *Refusal) err() error {
	if len(r.Reasons) == 0 {
		return nil
	}
	return r
}
