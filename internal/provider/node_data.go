package provider

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

var (
	_ datasource.DataSource              = (*nodeData)(nil)
	_ datasource.DataSourceWithConfigure = (*nodeData)(nil)
)

func newNodeData() datasource.DataSource { return &nodeData{} }

// nodeData is the data source rabbitmq_node: one host's node.
type nodeData struct{ dataSession }

type nodeDataModel struct {
	Host            types.String `tfsdk:"host"`
	Node            types.String `tfsdk:"node"`
	SSH             types.Object `tfsdk:"ssh"`
	Rabbitmqctl     types.List   `tfsdk:"rabbitmqctl"`
	Service         types.String `tfsdk:"service"`
	Commands        types.Object `tfsdk:"service_commands"`
	State           types.String `tfsdk:"state"`
	ServiceState    types.String `tfsdk:"service_state"`
	Version         types.String `tfsdk:"version"`
	ErlangVersion   types.String `tfsdk:"erlang_version"`
	Store           types.String `tfsdk:"store"`
	CookieHash      types.String `tfsdk:"cookie_hash"`
	ClusterName     types.String `tfsdk:"cluster_name"`
	ClusterID       types.String `tfsdk:"cluster_id"`
	Members         types.List   `tfsdk:"members"`
	Maintenance     types.Bool   `tfsdk:"maintenance"`
	DataDir         types.String `tfsdk:"data_dir"`
	Inventory       types.Object `tfsdk:"inventory"`
	DiscoveredPeers types.List   `tfsdk:"discovered_peers"`
	RejoinHints     types.List   `tfsdk:"rejoin_hints"`
}

func (d *nodeData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_node"
}

func (d *nodeData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := dataAttributes(nodeAttributes())
	delete(attributes, "type")
	attributes["host"] = schema.StringAttribute{
		Required:            true,
		MarkdownDescription: "Name or address by which the host is reached with SSH. A host that does not answer is an error.",
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
	}
	attributes["node"] = schema.StringAttribute{
		Optional: true, Computed: true,
		MarkdownDescription: "The Erlang node name (`rabbit@rmq1`). Default: the node that `rabbitmqctl` on the host talks to.",
		Validators:          []validator.String{nodeNameValidator{}},
	}
	for name, a := range map[string]schema.Attribute{
		"state":          schema.StringAttribute{Computed: true, MarkdownDescription: "`running`; `stopped`: the Erlang node is up and the application is not (`rabbitmqctl stop_app`); `booting`: it starts, or waits for its peers; `down`: no Erlang node of that name runs on the host. What a node in one of the other states does not tell is null."},
		"service_state":  schema.StringAttribute{Computed: true, MarkdownDescription: "The systemd unit in systemd's words: `active (running)`, `failed (Result: exit-code)`. Null where there is no such unit."},
		"version":        schema.StringAttribute{Computed: true, MarkdownDescription: "Version of RabbitMQ."},
		"erlang_version": schema.StringAttribute{Computed: true, MarkdownDescription: "Major version of Erlang/OTP."},
		"store":          schema.StringAttribute{Computed: true, MarkdownDescription: "The metadata store: `mnesia` or `khepri`."},
		"cookie_hash":    schema.StringAttribute{Computed: true, MarkdownDescription: "Hash of the Erlang cookie that the node runs with, as `rabbitmq-diagnostics erlang_cookie_hash` prints it and `provider::rabbitmq::cookie_hash` computes it; of the cookie file when the node is down."},
		"cluster_name":   schema.StringAttribute{Computed: true, MarkdownDescription: "The cluster's name as this node has it. Until somebody sets one, every member has another."},
		"cluster_id":     schema.StringAttribute{Computed: true, MarkdownDescription: "RabbitMQ's persistent internal cluster id: equal on all members of one cluster."},
		"members":        schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "The members of its cluster as the node itself lists them, itself included. Null when it cannot tell: a stopped node on Khepri knows nobody."},
		"maintenance":    schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it was drained and takes no clients."},
		"data_dir":       schema.StringAttribute{Computed: true, MarkdownDescription: "Its data directory on the host."},
		"inventory": schema.SingleNestedAttribute{
			Computed:            true,
			MarkdownDescription: "What the node, or the cluster it is in, holds: what a join would wipe and a removal could lose. Null when it does not run.",
			Attributes: map[string]schema.Attribute{
				"vhosts":     schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Virtual hosts beyond the default one, the first twenty."},
				"users":      schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Users beyond the default one, the first twenty."},
				"exchanges":  schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of exchanges that somebody declared."},
				"bindings":   schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of bindings other than those to the default exchange."},
				"policies":   schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of policies and operator policies."},
				"parameters": schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of runtime parameters, such as shovels and federation upstreams."},
				"queues": schema.ListNestedAttribute{
					Computed:            true,
					MarkdownDescription: "Queues, counted by type and by the nodes that hold a copy.",
					NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
						"type":     schema.StringAttribute{Computed: true, MarkdownDescription: "`classic`, `quorum` or `stream`."},
						"copies":   schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "The nodes that hold a copy of each of them."},
						"count":    schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of queues."},
						"messages": schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of messages in them. A hint: quorum queues report 0 for some seconds after publishing, and beyond 2000 queues the brokers' statistics are taken, which are some seconds old."},
					}},
				},
			},
		},
		"discovered_peers": schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Whom the node's own peer discovery names. When that is anybody but itself, it joins them as soon as it starts blank, whatever Terraform says. Null when it does not run or its discovery gives no answer."},
		"rejoin_hints":     schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "What would undo a removal of this node, in words: its peer discovery when that names others, and settings of cluster formation in `/etc/rabbitmq`, also those that the node has not read yet. Empty is good. Null when the node is down."},
	} {
		attributes[name] = a
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "One host's node: what it is, what it holds, and what would make it join somebody by itself. Nothing is changed on the host.",
		Attributes:          attributes,
	}
}

func (d *nodeData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model nodeDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if d.session.unreachedData("node", path.Root("host"), &resp.Diagnostics) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	h := nodeModel{Host: model.Host, SSH: model.SSH, Rabbitmqctl: model.Rabbitmqctl, Service: model.Service, Commands: model.Commands}.host("")
	doing := "read the node of host " + h.Address
	node, err := d.session.node(model.Node.ValueString(), h)
	var seen rabbitmq.Observation
	if err == nil {
		seen, err = node.Observe(ctx, rabbitmq.Ask{Inventory: true, Peers: true, Hints: true})
	}
	if err == nil && seen.Facts.Brief {
		seen.Facts, err = node.Facts(ctx)
	}
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	model.take(seen)
	if seen.Condition == rabbitmq.Down {
		hash, err := cookieFileHash(ctx, node)
		if err != nil {
			fail(&resp.Diagnostics, doing, err)
			return
		}
		model.CookieHash = textOrNull(hash)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// cookieFileHash is the hash of the host's cookie file, empty when there is none.
func cookieFileHash(ctx context.Context, node *rabbitmq.Node) (string, error) {
	file, err := node.CookiePath(ctx)
	if err != nil {
		return "", err
	}
	cookie, err := node.ReadCookie(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return cookie.Hash, err
}

var (
	queuesDataType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"type": types.StringType, "copies": types.ListType{ElemType: types.StringType}, "count": types.Int64Type, "messages": types.Int64Type,
	}}
	inventoryTypes = map[string]attr.Type{
		"vhosts": types.ListType{ElemType: types.StringType}, "users": types.ListType{ElemType: types.StringType},
		"exchanges": types.Int64Type, "bindings": types.Int64Type, "policies": types.Int64Type, "parameters": types.Int64Type,
		"queues": types.ListType{ElemType: queuesDataType},
	}
)

// take puts what was read into the model.
func (m *nodeDataModel) take(o rabbitmq.Observation) {
	s := o.Status
	m.State, m.ServiceState = types.StringValue(condition(o.Condition)), types.StringNull()
	if o.Facts.Unit.Load == "loaded" {
		m.ServiceState = types.StringValue(o.Facts.Unit.String())
	}
	m.Version, m.ErlangVersion, m.Store = textOrNull(s.Version), textOrNull(s.OTP), textOrNull(string(s.Store))
	m.CookieHash, m.ClusterName, m.ClusterID = textOrNull(s.CookieHash), textOrNull(s.ClusterName), textOrNull(s.ClusterID)
	m.DataDir, m.Maintenance, m.Inventory = textOrNull(s.DataDir), types.BoolNull(), inventoryObject(s.Inventory)
	m.Members, m.DiscoveredPeers, m.RejoinHints = types.ListNull(types.StringType), types.ListNull(types.StringType), types.ListNull(types.StringType)
	if s.Node != "" {
		m.Node = types.StringValue(s.Node)
		m.RejoinHints = textList(s.Rejoins())
	}
	if m.Node.IsUnknown() {
		m.Node = types.StringNull() // the node is down, and nobody named it
	}
	if s.Maintenance != "" {
		m.Maintenance = types.BoolValue(rabbitmq.Draining(s.Maintenance))
	}
	if members := s.Members(); members != nil {
		m.Members = textList(slices.Sorted(slices.Values(members)))
	}
	if s.Peers != nil {
		m.DiscoveredPeers = textList(slices.Sorted(slices.Values(s.Peers)))
	}
}

func inventoryObject(i *rabbitmq.Inventory) types.Object {
	if i == nil {
		return types.ObjectNull(inventoryTypes)
	}
	queues := make([]attr.Value, len(i.Queues))
	for at, q := range i.Queues {
		queues[at] = types.ObjectValueMust(queuesDataType.AttrTypes, map[string]attr.Value{
			"type": types.StringValue(queueType(q.Type)), "copies": textList(slices.Sorted(slices.Values(q.Copies))),
			"count": types.Int64Value(int64(q.Count)), "messages": types.Int64Value(int64(q.Messages)),
		})
	}
	return types.ObjectValueMust(inventoryTypes, map[string]attr.Value{
		"vhosts": textList(slices.Sorted(slices.Values(i.VHosts.Names))), "users": textList(slices.Sorted(slices.Values(i.Users.Names))),
		"exchanges": types.Int64Value(int64(i.Exchanges.Count)), "bindings": types.Int64Value(int64(i.Bindings)),
		"policies": types.Int64Value(int64(i.Policies)), "parameters": types.Int64Value(int64(i.Parameters)),
		"queues": types.ListValueMust(queuesDataType, queues),
	})
}
