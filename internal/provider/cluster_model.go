package provider

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// clusterModel is rabbitmq_cluster in configuration, plan and state.
type clusterModel struct {
	ID            types.String   `tfsdk:"id"`
	Name          types.String   `tfsdk:"name"`
	Members       types.Map      `tfsdk:"members"`
	AllowDataLoss types.Bool     `tfsdk:"allow_data_loss"`
	OnDestroy     types.String   `tfsdk:"on_destroy"`
	Replicas      types.String   `tfsdk:"replicas"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`
}

// memberModel is one entry of members.
type memberModel struct {
	nodeModel
	Running types.Bool `tfsdk:"running"`
}

// nodeModel is how a node is reached and run, and one entry of a map of nodes that are only asked or acted upon.
type nodeModel struct {
	Host        types.String `tfsdk:"host"`
	SSH         types.Object `tfsdk:"ssh"`
	Type        types.String `tfsdk:"type"`
	Rabbitmqctl types.List   `tfsdk:"rabbitmqctl"`
	Service     types.String `tfsdk:"service"`
	Commands    types.Object `tfsdk:"service_commands"`
}

// nodesOf decodes a map of nodes.
func nodesOf(ctx context.Context, nodes types.Map, diags *diagnostics) map[string]memberModel {
	entries := map[string]nodeModel{}
	if !nodes.IsNull() && !nodes.IsUnknown() {
		diags.Append(nodes.ElementsAs(ctx, &entries, false)...)
	}
	all := map[string]memberModel{}
	for node, entry := range entries {
		all[node] = memberModel{nodeModel: entry}
	}
	return all
}

// peersAt are peers of which nothing is known but where their hosts are.
func peersAt(hosts map[string]string) map[string]nodeModel {
	peers := map[string]nodeModel{}
	for node, host := range hosts {
		peers[node] = imported(host).nodeModel
	}
	return peers
}

var memberType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"host":             types.StringType,
	"ssh":              hostSSHType,
	"type":             types.StringType,
	"rabbitmqctl":      types.ListType{ElemType: types.StringType},
	"service":          types.StringType,
	"service_commands": serviceCommandsType,
	"running":          types.BoolType,
}}

// members decodes the members, which must be known as a map; their attributes may be unknown.
func (m clusterModel) members(ctx context.Context) (map[string]memberModel, diag.Diagnostics) {
	members := map[string]memberModel{}
	if m.Members.IsNull() || m.Members.IsUnknown() {
		return members, nil
	}
	diags := m.Members.ElementsAs(ctx, &members, false)
	return members, diags
}

// known tells whether nothing in the members is unknown, so that hosts can be reached.
func known(members map[string]memberModel) bool {
	for _, m := range members {
		if m.Host.IsUnknown() || m.SSH.IsUnknown() || m.Rabbitmqctl.IsUnknown() || m.Service.IsUnknown() || m.Type.IsUnknown() || unknownIn(m.Commands) {
			return false
		}
		for _, value := range m.SSH.Attributes() {
			if value.IsUnknown() {
				return false
			}
		}
	}
	return true
}

// host gives the host of a node.
func (m nodeModel) host(node string) host {
	h := host{Address: rabbitmq.HostPart(node), SSH: m.SSH, Service: m.Service.ValueString(), Commands: commandsOf(m.Commands)}
	if m.Host.ValueString() != "" {
		h.Address = m.Host.ValueString()
	}
	for _, arg := range m.Rabbitmqctl.Elements() {
		text, _ := plain(arg)
		h.Rabbitmqctl = append(h.Rabbitmqctl, text)
	}
	return h
}

// unreachedMember is a member of which nothing is known, with the types that its null values must have.
func unreachedMember() memberModel {
	return memberModel{nodeModel: nodeModel{
		SSH: types.ObjectNull(hostSSHType.AttrTypes), Rabbitmqctl: types.ListNull(types.StringType), Commands: types.ObjectNull(serviceCommandsType.AttrTypes),
	}}
}

// imported is a member of which nothing is known but where its host is.
func imported(address string) memberModel {
	m := unreachedMember()
	m.Host = types.StringValue(address)
	return m
}

// memberTypes gives the wished type of each member.
func memberTypes(members map[string]memberModel) map[string]topology.Type {
	kinds := map[string]topology.Type{}
	for node, m := range members {
		kinds[node] = topology.Disc
		if kind := m.Type.ValueString(); kind != "" {
			kinds[node] = topology.Type(kind)
		}
	}
	return kinds
}

// wish is what the model asks for. Whoever was a member before leaves.
func (m clusterModel) wish(members, before map[string]memberModel) topology.Wish {
	w := topology.Wish{
		Name:          m.Name.ValueString(),
		Members:       memberTypes(members),
		Only:          true,
		AllowDataLoss: m.AllowDataLoss.ValueBool(),
		Grow:          m.Replicas.ValueString() == grow,
	}
	if !m.ID.IsUnknown() {
		w.ID = m.ID.ValueString()
	}
	for _, node := range slices.Sorted(maps.Keys(before)) {
		if _, stays := members[node]; !stays {
			w.Leaving = append(w.Leaving, node)
		}
	}
	return w
}

// take puts what was read into the model. How a member is reached stays as it was; one that the model does not know is
// reached under the host part of its name.
func (m *clusterModel) take(ctx context.Context, r topology.Reading, before map[string]memberModel) diag.Diagnostics {
	members := map[string]memberModel{}
	for node, member := range r.Members {
		one, ours := before[node]
		if !ours {
			one = unreachedMember()
		}
		if one.Host.ValueString() == "" {
			one.Host = types.StringValue(rabbitmq.HostPart(node))
		}
		one.Type = types.StringValue(string(member.Type))
		one.Running = types.BoolValue(member.Running)
		members[node] = one
	}
	value, diags := types.MapValueFrom(ctx, memberType, members)
	m.Members = value
	if r.ID != "" {
		m.ID = types.StringValue(r.ID)
	}
	if !m.Name.IsNull() && r.Name != "" {
		m.Name = types.StringValue(r.Name)
	}
	if m.ID.ValueString() == "" { // no version since 3.8 lacks one; a name stands in
		m.ID = types.StringValue(slices.Sorted(maps.Keys(members))[0])
	}
	return diags
}

// identity names the cluster by its first member.
func (m clusterModel) identity(ctx context.Context) memberIdentity {
	members, _ := m.members(ctx)
	for _, node := range slices.Sorted(maps.Keys(members)) {
		return memberIdentity{Node: types.StringValue(node), Host: members[node].Host}
	}
	return memberIdentity{}
}
