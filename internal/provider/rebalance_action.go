package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

var (
	_ action.Action                   = (*rebalanceAction)(nil)
	_ action.ActionWithConfigure      = (*rebalanceAction)(nil)
	_ action.ActionWithValidateConfig = (*rebalanceAction)(nil)
)

func newRebalanceAction() action.Action { return &rebalanceAction{} }

// rebalanceAction is rabbitmq_rebalance: replicas for new members, leaders spread over all.
type rebalanceAction struct{ actionSession }

type rebalanceModel struct {
	onCluster
	Grow         types.List   `tfsdk:"grow"`
	Leaders      types.Bool   `tfsdk:"leaders"`
	QueueType    types.String `tfsdk:"queue_type"`
	VHostPattern types.String `tfsdk:"vhost_pattern"`
	QueuePattern types.String `tfsdk:"queue_pattern"`
}

// queueTypes are what rabbitmq-queues rebalance takes.
var queueTypes = []string{"all", "classic", "quorum", "stream"}

func (a *rebalanceAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_rebalance"
}

func (a *rebalanceAction) Schema(ctx context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Gives members replicas that they lack, and spreads the leaders of queues over the members. RabbitMQ does neither by itself: a member that joined later holds no replica of older queues, and after restarts leaders gather on the members that were up. It is refused while a member is down.",
		Attributes: map[string]schema.Attribute{
			"nodes": nodesActionAttribute(),
			"grow":  someNodesAttribute("Members that get a replica of every quorum queue and stream that has none there, each one of `nodes`. Copying takes network and disk in proportion to what the queues hold. Default: nobody.", listvalidator.SizeAtLeast(1)),
			"leaders": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether leaders are spread over all running members (`rabbitmq-queues rebalance`), after growing. Default: true. A queue whose leader moves is not available for a moment.",
			},
			"queue_type": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Whose leaders are spread: `all` (default), `classic` (mirrored ones, before 4.0), `quorum` or `stream` (from 3.9 on).",
				Validators:          []validator.String{stringvalidator.OneOf(queueTypes...)},
			},
			"vhost_pattern": schema.StringAttribute{Optional: true, MarkdownDescription: "Regular expression: leaders are spread of queues in virtual hosts that match. Default: all.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
			"queue_pattern": schema.StringAttribute{Optional: true, MarkdownDescription: "Regular expression: leaders are spread of queues whose names match. Default: all.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
			"timeouts":      actionTimeouts(ctx),
		},
	}
}

func (a *rebalanceAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var model rebalanceModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	model.checkNodes(model.Grow, path.Root("grow"), &resp.Diagnostics)
	if model.Grow.IsNull() && !model.Leaders.IsNull() && !model.Leaders.IsUnknown() && !model.Leaders.ValueBool() {
		resp.Diagnostics.AddAttributeError(path.Root("leaders"), "Nothing to do", "`leaders` is false and `grow` names nobody.")
	}
}

func (a *rebalanceAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var model rebalanceModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	var grow []string
	resp.Diagnostics.Append(model.Grow.ElementsAs(ctx, &grow, false)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var leaders *rabbitmq.Selection
	if model.Leaders.IsNull() || model.Leaders.ValueBool() {
		leaders = &rabbitmq.Selection{Type: "all", VHost: model.VHostPattern.ValueString(), Queue: model.QueuePattern.ValueString()}
		if kind := model.QueueType.ValueString(); kind != "" {
			leaders.Type = kind
		}
	}
	a.run(ctx, "rebalance the cluster", model.onCluster, resp, func(ctx context.Context, fleet *cluster.Fleet) error {
		return fleet.Rebalance(ctx, grow, leaders)
	})
}
