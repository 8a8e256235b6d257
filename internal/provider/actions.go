package provider

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/action/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
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

// someNodesAttribute is a choice among the nodes.
func someNodesAttribute(text string, more ...validator.List) schema.ListAttribute {
	return schema.ListAttribute{
		Optional: true, ElementType: types.StringType, MarkdownDescription: text,
		Validators: append(more, listvalidator.UniqueValues(), listvalidator.ValueStringsAre(nodeNameValidator{})),
	}
}

func actionTimeouts(ctx context.Context) schema.Attribute {
	return timeouts.AttributesWithOpts(ctx, timeouts.Opts{InvokeDescription: "Bound of the whole action, as a duration. Default: `1h`. When it ends, nothing new is begun; what a host was told to do goes on there."})
}

// checkNode checks that a node is one of those that the action knows.
func (on onCluster) checkNode(node types.String, at path.Path, diags *diagnostics) {
	if on.Nodes.IsUnknown() || on.Nodes.IsNull() || node.IsUnknown() || node.IsNull() {
		return
	}
	if _, there := on.Nodes.Elements()[node.ValueString()]; !there {
		diags.AddAttributeError(at, "Unknown node", node.ValueString()+" is not among `nodes`: an action works on nodes that it knows how to reach.")
	}
}

// checkNodes is checkNode for a list.
func (on onCluster) checkNodes(nodes types.List, at path.Path, diags *diagnostics) {
	for i, element := range nodes.Elements() {
		if node, ok := element.(types.String); ok {
			on.checkNode(node, at.AtListIndex(i), diags)
		}
	}
}

// onCluster is what every action's model has.
type onCluster struct {
	Nodes    types.Map      `tfsdk:"nodes"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`
}

// run does an action on a cluster, alone among what this run of Terraform does to it, and tells how it goes.
func (s *actionSession) run(ctx context.Context, doing string, on onCluster, resp *action.InvokeResponse, do func(context.Context, *cluster.Fleet) error) {
	timeout, diags := on.Timeouts.Invoke(ctx, actionTimeout)
	resp.Diagnostics.Append(diags...)
	all := nodesOf(ctx, on.Nodes, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	fleet, err := s.session.fleet(all, nil, false)
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	report := fleet.Report
	fleet.Report = func(ctx context.Context, message string) {
		report(ctx, message)
		resp.SendProgress(action.InvokeProgressEvent{Message: message})
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	release, err := s.session.locks.take(ctx, slices.Collect(maps.Keys(all)))
	if err == nil {
		defer release()
		err = do(ctx, fleet)
	}
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
	}
}
