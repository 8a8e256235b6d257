package provider

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/action/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var (
	_ action.Action                   = (*restartAction)(nil)
	_ action.ActionWithConfigure      = (*restartAction)(nil)
	_ action.ActionWithValidateConfig = (*restartAction)(nil)
)

func newRestartAction() action.Action { return &restartAction{} }

// restartAction is rabbitmq_rolling_restart: the members' services restarted one after the other.
type restartAction struct{ session *session }

type restartModel struct {
	Nodes    types.Map      `tfsdk:"nodes"`
	Only     types.List     `tfsdk:"only"`
	Drain    types.Bool     `tfsdk:"drain"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`
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
			"only": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "The nodes to restart, in this order, each one of `nodes`. Default: all of `nodes`, by name.",
				Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(nodeNameValidator{})},
			},
			"drain": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether each node hands its leaders and clients to others before it is stopped (`rabbitmq-upgrade drain`, from 3.8.8 on). Default: true. With false, clients notice at the stop, and queues elect new leaders after it.",
			},
			"timeouts": actionTimeouts(ctx),
		},
	}
}

func (a *restartAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.session = sessionOf(req.ProviderData, &resp.Diagnostics)
}

func (a *restartAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var model restartModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	for i, element := range model.Only.Elements() {
		if node, ok := element.(types.String); ok {
			nodeAmong(model.Nodes, node, path.Root("only").AtListIndex(i), &resp.Diagnostics)
		}
	}
}

func (a *restartAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	const doing = "restart the cluster's nodes"
	var model restartModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	work, ok := a.session.begin(ctx, doing, model.Nodes, model.Timeouts, resp)
	if !ok {
		return
	}
	defer work.close()
	nodes := slices.Sorted(maps.Keys(work.Nodes))
	if !model.Only.IsNull() {
		nodes = nil
		resp.Diagnostics.Append(model.Only.ElementsAs(ctx, &nodes, false)...)
	}
	if err := work.RollingRestart(work.ctx, nodes, model.Drain.IsNull() || model.Drain.ValueBool()); err != nil {
		fail(&resp.Diagnostics, doing, err)
	}
}
