package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// What replicas can be.
const (
	grow = "grow"
	none = "none"
)

// replicasAttribute says whether quorum queues and streams get a replica on whom it names.
func replicasAttribute(whom string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true,
		Computed: true,
		Default:  stringdefault.StaticString(none),
		MarkdownDescription: "`none` (default): replicas of quorum queues and streams are left alone, and a new member has none, as RabbitMQ leaves it. " +
			"`grow`: each quorum queue and each stream gets a replica on " + whom + ", with `rabbitmq-queues grow` and `rabbitmq-streams add_replica`, after the joins and before anybody leaves. " +
			"A running member that lacks one is drift (`\"none\" -> \"grow\"` in the plan), also where a queue was declared on fewer members than there are; " +
			"so it is for clusters whose queues shall be everywhere: with more than five members rather keep `none` and grow by hand. Replicas are never taken away by it.",
		Validators: []validator.String{stringvalidator.OneOf(grow, none)},
	}
}

// grows tells whether replicas are planned that the state does not have.
func grows(plan, state types.String) bool {
	return plan.ValueString() == grow && state.ValueString() != grow
}

// readReplicas is what the state says after a read: what shall have grown has not where a member lacks replicas.
func readReplicas(state types.String, r topology.Reading) types.String {
	if state.IsNull() || len(r.Lacking) > 0 {
		return types.StringValue(none)
	}
	return state
}

// warnOf tells what a read has seen and the state does not say: nothing volatile is in it, and a plan may be empty while
// the members do not see each other.
func warnOf(diags *diagnostics, r topology.Reading) {
	if len(r.Unseen) > 0 {
		diags.AddWarning("No member runs, and some hosts gave no answer", strings.Join(r.Unseen, "\n")+"\n\nThe state keeps them as members that do not run. The next apply starts those that are there.")
	}
	if r.Partition != "" {
		diags.AddWarning("The cluster is partitioned", r.Partition+".\n\nNo member is joined, removed or changed before that is mended.")
	}
}
