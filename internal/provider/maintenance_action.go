package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
)

var (
	_ action.Action                   = (*maintenanceAction)(nil)
	_ action.ActionWithConfigure      = (*maintenanceAction)(nil)
	_ action.ActionWithValidateConfig = (*maintenanceAction)(nil)
)

func newMaintenanceAction() action.Action { return &maintenanceAction{} }

// maintenanceAction is rabbitmq_maintenance: one node drained or revived.
type maintenanceAction struct{ actionSession }

type maintenanceModel struct {
	onCluster
	Node types.String `tfsdk:"node"`
	Mode types.String `tfsdk:"mode"`
}

const (
	drain  = "drain"
	revive = "revive"
)

func (a *maintenanceAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_maintenance"
}

func (a *maintenanceAction) Schema(ctx context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Puts a node into maintenance, or takes it out (RabbitMQ 3.8.8 and later). A drained node runs and stays a member with all its replicas; it hands its leaders to others, closes its clients' connections and takes no new ones. A restart ends maintenance.",
		Attributes: map[string]schema.Attribute{
			"nodes": nodesActionAttribute(),
			"node":  oneNodeAttribute(),
			"mode": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "`drain` begins maintenance, and is refused when no other member that runs would take clients. `revive` ends it. Neither does anything to a node that is in that state already.",
				Validators:          []validator.String{stringvalidator.OneOf(drain, revive)},
			},
			"timeouts": actionTimeouts(ctx),
		},
	}
}

func (a *maintenanceAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var model maintenanceModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	model.checkNode(model.Node, path.Root("node"), &resp.Diagnostics)
}

func (a *maintenanceAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var model maintenanceModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	node, mode := model.Node.ValueString(), model.Mode.ValueString()
	a.run(ctx, mode+" "+node, model.onCluster, resp, func(ctx context.Context, fleet *cluster.Fleet) error {
		return fleet.SetMaintenance(ctx, node, mode == drain)
	})
}
