package provider

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
)

var (
	_ action.Action                   = (*restartAction)(nil)
	_ action.ActionWithConfigure      = (*restartAction)(nil)
	_ action.ActionWithValidateConfig = (*restartAction)(nil)
)

func newRestartAction() action.Action { return &restartAction{} }

// restartAction is rabbitmq_rolling_restart: the members' services restarted one after the other.
type restartAction struct{ actionSession }

type restartModel struct {
	onCluster
	Only  types.List `tfsdk:"only"`
	Drain types.Bool `tfsdk:"drain"`
}

func (a *restartAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_rolling_restart"
}

func (a *restartAction) Schema(ctx context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Restarts the services of a cluster's nodes one after the other, so that a new configuration or package takes effect. " +
			"A node is stopped only while every member runs, sees the others and nothing would lose its majority by it; it is drained first, and the next one waits until it is back and its replicas have what their leaders had. " +
			"Never are two nodes down. At the first trouble it ends, and says which nodes it has restarted. Clients have to connect again, and find another member while theirs is away.",
		Attributes: map[string]schema.Attribute{
			"nodes": nodesActionAttribute(),
			"only":  someNodesAttribute("The nodes to restart, in this order, each one of `nodes`. Default: all of `nodes`, by name.", listvalidator.SizeAtLeast(1)),
			"drain": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether each node hands its leaders and clients to others before it is stopped (`rabbitmq-upgrade drain`, from 3.8.8 on). Default: true. With false, clients notice at the stop, and queues elect new leaders after it.",
			},
			"timeouts": actionTimeouts(ctx),
		},
	}
}

func (a *restartAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var model restartModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	model.checkNodes(model.Only, path.Root("only"), &resp.Diagnostics)
}

func (a *restartAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var model restartModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	var only []string
	resp.Diagnostics.Append(model.Only.ElementsAs(ctx, &only, false)...)
	if resp.Diagnostics.HasError() {
		return
	}
	a.run(ctx, "restart the cluster's nodes", model.onCluster, resp, func(ctx context.Context, fleet *cluster.Fleet) error {
		nodes := only
		if model.Only.IsNull() {
			nodes = slices.Sorted(maps.Keys(fleet.Nodes))
		}
		return fleet.RollingRestart(ctx, nodes, model.Drain.IsNull() || model.Drain.ValueBool())
	})
}
