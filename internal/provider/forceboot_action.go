package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/action/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var (
	_ action.Action                   = (*forceBootAction)(nil)
	_ action.ActionWithConfigure      = (*forceBootAction)(nil)
	_ action.ActionWithValidateConfig = (*forceBootAction)(nil)
)

func newForceBootAction() action.Action { return &forceBootAction{} }

// forceBootAction is rabbitmq_force_boot: the way out when the members that stopped last are gone for good.
type forceBootAction struct{ session *session }

type forceBootModel struct {
	Nodes         types.Map      `tfsdk:"nodes"`
	Node          types.String   `tfsdk:"node"`
	Lost          types.List     `tfsdk:"lost"`
	AllowDataLoss types.Bool     `tfsdk:"allow_data_loss"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`
}

func (a *forceBootAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_force_boot"
}

func (a *forceBootAction) Schema(ctx context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Starts a node of a cluster that stopped as a whole, without waiting for the members that stopped after it (`rabbitmqctl force_boot`, Mnesia only). " +
			"It is the last resort, for when those are gone for good: what they knew and this node does not is lost. It is refused while any member runs, while a member that is not `lost` cannot be asked, " +
			"and, unless `allow_data_loss` is set, while another member is there that could be started as well. With Khepri, which every cluster has from 4.3 on, force_boot has no effect, and the action says so instead.",
		Attributes: map[string]schema.Attribute{
			"nodes": nodesActionAttribute(),
			"node":  oneNodeAttribute(),
			"lost": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Members whose hosts are gone for good, each one of `nodes`. They are not asked for as long as they do not answer; one that answers is not lost. Default: none.",
				Validators:          []validator.List{listvalidator.UniqueValues(), listvalidator.ValueStringsAre(nodeNameValidator{})},
			},
			"allow_data_loss": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the boot may be forced although other members are there that do not run. Default: false, because starting all of them at once loses nothing.",
			},
			"timeouts": actionTimeouts(ctx),
		},
	}
}

func (a *forceBootAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.session = sessionOf(req.ProviderData, &resp.Diagnostics)
}

func (a *forceBootAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var model forceBootModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	nodeAmong(model.Nodes, model.Node, path.Root("node"), &resp.Diagnostics)
	for i, element := range model.Lost.Elements() {
		node, ok := element.(types.String)
		if !ok {
			continue
		}
		at := path.Root("lost").AtListIndex(i)
		nodeAmong(model.Nodes, node, at, &resp.Diagnostics)
		if node.Equal(model.Node) {
			resp.Diagnostics.AddAttributeError(at, "The node is not lost", "It is the one to boot.")
		}
	}
}

func (a *forceBootAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var model forceBootModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	var lost []string
	resp.Diagnostics.Append(model.Lost.ElementsAs(ctx, &lost, false)...)
	if resp.Diagnostics.HasError() {
		return
	}
	doing := "force the boot of " + model.Node.ValueString()
	work, ok := a.session.begin(ctx, doing, model.Nodes, model.Timeouts, resp)
	if !ok {
		return
	}
	defer work.close()
	if err := work.ForceBoot(work.ctx, model.Node.ValueString(), lost, model.AllowDataLoss.ValueBool()); err != nil {
		fail(&resp.Diagnostics, doing, err)
	}
}
