package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/action/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
)

// What the actions have in common.

// actionTimeout bounds an action that says nothing else: a large node may take long to boot and to catch up.
const actionTimeout = time.Hour

// nodesActionAttribute is the cluster that an action works on.
func nodesActionAttribute() schema.MapNestedAttribute {
	return schema.MapNestedAttribute{
		Required:            true,
		MarkdownDescription: "All nodes of the cluster, by Erlang node name (`rabbit@rmq1`). The map of `members` in `rabbitmq_cluster` fits. A member that is missing here is reached under the host part of its name.",
		Validators:          []validator.Map{mapvalidator.SizeAtLeast(1), mapvalidator.KeysAre(nodeNameValidator{})},
		NestedObject:        schema.NestedAttributeObject{Attributes: actionAttributes(nodeAttributes())},
	}
}

// oneNodeAttribute is the node that an action is about.
func oneNodeAttribute() schema.StringAttribute {
	return schema.StringAttribute{
		Required:            true,
		MarkdownDescription: "The node that it is about: one of `nodes`.",
		Validators:          []validator.String{stringvalidator.All(nodeNameValidator{})},
	}
}

func actionTimeouts(ctx context.Context) schema.Attribute {
	return timeouts.AttributesWithOpts(ctx, timeouts.Opts{InvokeDescription: "Bound of the whole action, as a duration. Default: `1h`. When it ends, nothing new is begun; what a host was told to do goes on there."})
}

// nodeAmong checks that a node is one of nodes.
func nodeAmong(nodes types.Map, node types.String, at path.Path, diags *diagnostics) {
	if nodes.IsUnknown() || nodes.IsNull() || node.IsUnknown() || node.IsNull() {
		return
	}
	if _, there := nodes.Elements()[node.ValueString()]; !there {
		diags.AddAttributeError(at, "Unknown node", node.ValueString()+" is not among `nodes`: an action works on nodes that it knows how to reach.")
	}
}

// work is one run of an action: its cluster, its bound, and how it tells what it does.
type work struct {
	*cluster.Fleet
	ctx   context.Context //nolint:containedctx // it lives no longer than the run
	close func()
}

// begin prepares the run of an action on a cluster, alone among what this run of Terraform does to it.
func (s *session) begin(ctx context.Context, doing string, nodes types.Map, bound timeouts.Value, resp *action.InvokeResponse) (work, bool) {
	timeout, diags := bound.Invoke(ctx, actionTimeout)
	resp.Diagnostics.Append(diags...)
	all := nodesOf(ctx, nodes, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return work{}, false
	}
	fleet, err := s.fleet(all, nil, false)
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return work{}, false
	}
	report := fleet.Report
	fleet.Report = func(ctx context.Context, message string) {
		report(ctx, message)
		resp.SendProgress(action.InvokeProgressEvent{Message: message})
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	release, err := s.locks.take(ctx, names)
	if err != nil {
		cancel()
		fail(&resp.Diagnostics, doing, err)
		return work{}, false
	}
	return work{Fleet: fleet, ctx: ctx, close: func() { release(); cancel() }}, true
}
