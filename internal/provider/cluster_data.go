package provider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

var (
	_ datasource.DataSource              = (*clusterData)(nil)
	_ datasource.DataSourceWithConfigure = (*clusterData)(nil)
)

func newClusterData() datasource.DataSource { return &clusterData{} }

// clusterData is the data source rabbitmq_cluster: everything that a cluster tells of itself.
type clusterData struct{ dataSession }

type clusterDataModel struct {
	Nodes        types.Map    `tfsdk:"nodes"`
	ID           types.String `tfsdk:"id"`
	Name         types.String `tfsdk:"name"`
	Store        types.String `tfsdk:"store"`
	Majority     types.Bool   `tfsdk:"majority"`
	Members      types.Map    `tfsdk:"members"`
	Partitions   types.Map    `tfsdk:"partitions"`
	Alarms       types.List   `tfsdk:"alarms"`
	FeatureFlags types.Map    `tfsdk:"feature_flags"`
}

func (d *clusterData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
}

func (d *clusterData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Everything that a cluster tells of itself, for `check` blocks and outputs. One member that runs is enough: hosts that cannot be reached are passed over, and only when the answer shows that something is off are all of them asked. That no node could be asked is an error, never an empty cluster. Nothing is changed.",
		Attributes: map[string]schema.Attribute{
			// Required attributes
			"nodes": nodesDataAttribute(),
			// Computed attributes
			"id":       schema.StringAttribute{Computed: true, MarkdownDescription: "RabbitMQ's persistent internal cluster id. It tells clusters apart; the name does not."},
			"name":     schema.StringAttribute{Computed: true, MarkdownDescription: "The cluster's name. Until somebody sets one, it is the name of the node that was asked."},
			"store":    schema.StringAttribute{Computed: true, MarkdownDescription: "The metadata store: `mnesia` or `khepri`."},
			"majority": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the metadata store can take changes: with Khepri, whether more than half of the members see each other. Always true with Mnesia."},
			"members": schema.MapNestedAttribute{
				Computed:            true,
				MarkdownDescription: "All members by node name, also those that `nodes` does not name.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"type":           schema.StringAttribute{Computed: true, MarkdownDescription: "`disc` or `ram`."},
					"running":        schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the members see it running. What follows is null for one that does not run, and for one that does not answer its peers, for example because its cookie differs."},
					"version":        schema.StringAttribute{Computed: true, MarkdownDescription: "Version of RabbitMQ."},
					"erlang_version": schema.StringAttribute{Computed: true, MarkdownDescription: "Version of Erlang."},
					"maintenance":    schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it was drained and takes no clients."},
					"uptime":         schema.Int64Attribute{Computed: true, MarkdownDescription: "Seconds since its Erlang node started. It changes with every read: compare it in a `check`, and keep it out of outputs that shall not change."},
					"listeners": schema.ListNestedAttribute{
						Computed:            true,
						MarkdownDescription: "The ports that it listens on.",
						NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
							"protocol":  schema.StringAttribute{Computed: true, MarkdownDescription: "The protocol in RabbitMQ's word: `amqp`, `amqp/ssl`, `clustering`, `http`."},
							"interface": schema.StringAttribute{Computed: true, MarkdownDescription: "The address that it is bound to; `[::]` is every address."},
							"port":      schema.Int64Attribute{Computed: true, MarkdownDescription: "The TCP port."},
						}},
					},
				}},
			},
			"partitions": schema.MapAttribute{
				Computed: true, ElementType: partitionsType.ElemType,
				MarkdownDescription: "Members that do not see others although both run, each with those others: as they report it, and as their words side by side show it. Empty when there is no partition that can be seen: a member that is cut off from the others and from this machine looks like one that is down.",
			},
			"alarms": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Resource alarms in effect. A single one blocks publishers on every member.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"node":     schema.StringAttribute{Computed: true, MarkdownDescription: "The node whose resource is low."},
					"resource": schema.StringAttribute{Computed: true, MarkdownDescription: "`memory`, `disk` or `file_descriptor_limit`."},
				}},
			},
			"feature_flags": schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "State of each feature flag by name: `enabled`, `disabled` or `unavailable`. Enable all stable ones before an upgrade."},
		},
	}
}

// nodesDataAttribute is the nodes that a data source may ask.
func nodesDataAttribute() schema.MapNestedAttribute {
	return schema.MapNestedAttribute{
		Required:            true,
		MarkdownDescription: "The nodes that may be asked, by Erlang node name (`rabbit@rmq1`). The map of `members` in `rabbitmq_cluster` fits.",
		Validators:          []validator.Map{mapvalidator.SizeAtLeast(1), mapvalidator.KeysAre(nodeNameValidator{})},
		NestedObject:        schema.NestedAttributeObject{Attributes: dataAttributes(nodeAttributes())},
	}
}

func (d *clusterData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model clusterDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	nodes := nodesOf(ctx, model.Nodes, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if d.session.unreachedData("cluster", path.Root("nodes"), &resp.Diagnostics) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	fleet, err := d.session.fleet(nodes, nil, false)
	var seen cluster.Overview
	if err == nil {
		seen, err = fleet.Overview(ctx)
	}
	if err != nil {
		fail(&resp.Diagnostics, "read the cluster", err)
		return
	}
	model.take(seen)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

var memberDataType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"type": types.StringType, "running": types.BoolType, "version": types.StringType, "erlang_version": types.StringType,
	"maintenance": types.BoolType, "uptime": types.Int64Type, "listeners": types.ListType{ElemType: listenerType},
}}

// take puts what was read into the model.
func (m *clusterDataModel) take(seen cluster.Overview) {
	peers := map[string]rabbitmq.Peer{}
	for _, p := range seen.Status.Overview.Members {
		peers[p.Node] = p
	}
	members := map[string]attr.Value{}
	for node, member := range seen.Members {
		p, answered := peers[node]
		one := map[string]attr.Value{
			"type": types.StringValue(string(member.Type)), "running": types.BoolValue(member.Running),
			"version": textOrNull(p.Version), "erlang_version": textOrNull(p.Erlang),
			"maintenance": types.BoolNull(), "uptime": types.Int64Null(), "listeners": listenerList(p.Listeners),
		}
		if answered && p.Maintenance != "unknown" && p.Maintenance != "" {
			one["maintenance"] = types.BoolValue(rabbitmq.Draining(p.Maintenance))
		}
		if answered && p.Uptime >= 0 {
			one["uptime"] = types.Int64Value(p.Uptime)
		}
		members[node] = types.ObjectValueMust(memberDataType.AttrTypes, one)
	}
	m.ID, m.Name, m.Store = textOrNull(seen.ID), textOrNull(seen.Name), types.StringValue(string(seen.Status.Store))
	m.Majority = types.BoolValue(seen.Status.MetadataMajority())
	m.Members = types.MapValueMust(memberDataType, members)
	m.Partitions, m.Alarms = partitionMap(seen.Partitions), alarmList(seen.Status.Overview.Alarms)
	m.FeatureFlags = textMap(seen.Status.Overview.FeatureFlags)
}

// condition is a node's state in a word.
func condition(c rabbitmq.Condition) string {
	return map[rabbitmq.Condition]string{rabbitmq.Down: "down", rabbitmq.Stopped: "stopped", rabbitmq.Booting: "booting", rabbitmq.Running: "running"}[c]
}

// queueType is a queue type as users write it.
func queueType(kind string) string {
	return strings.TrimSuffix(strings.TrimPrefix(kind, "rabbit_"), "_queue")
}
