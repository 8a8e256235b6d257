package provider

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
)

var (
	_ action.Action                   = (*forceBootAction)(nil)
	_ action.ActionWithConfigure      = (*forceBootAction)(nil)
	_ action.ActionWithValidateConfig = (*forceBootAction)(nil)
)

func newForceBootAction() action.Action { return &forceBootAction{} }

// forceBootAction is rabbitmq_force_boot: the way out when the members that stopped last are gone for good.
type forceBootAction struct{ actionSession }

type forceBootModel struct {
	onCluster
	Node          types.String `tfsdk:"node"`
	Lost          types.List   `tfsdk:"lost"`
	AllowDataLoss types.Bool   `tfsdk:"allow_data_loss"`
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
			"lost":  someNodesAttribute("Members whose hosts are gone for good, each one of `nodes`. They are not asked for as long as they do not answer; one that answers is not lost. Default: none."),
			"allow_data_loss": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the boot may be forced although other members are there that do not run. Default: false, because starting all of them at once loses nothing.",
			},
			"timeouts": actionTimeouts(ctx),
		},
	}
}

func (a *forceBootAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var model forceBootModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	model.checkNode(model.Node, path.Root("node"), &resp.Diagnostics)
	model.checkNodes(model.Lost, path.Root("lost"), &resp.Diagnostics)
	if i := slices.IndexFunc(model.Lost.Elements(), func(node attr.Value) bool { return node.Equal(model.Node) }); i >= 0 {
		resp.Diagnostics.AddAttributeError(path.Root("lost").AtListIndex(i), "The node is not lost", "It is the one to boot.")
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
	node := model.Node.ValueString()
	a.run(ctx, "force the boot of "+node, model.onCluster, resp, func(ctx context.Context, fleet *cluster.Fleet) error {
		return fleet.ForceBoot(ctx, node, lost, model.AllowDataLoss.ValueBool())
	})
}
