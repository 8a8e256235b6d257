package provider

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// memberResourceModel is rabbitmq_cluster_member in configuration, plan and state.
type memberResourceModel struct {
	nodeModel
	Node          types.String   `tfsdk:"node"`
	Peers         types.Map      `tfsdk:"peers"`
	AllowDataLoss types.Bool     `tfsdk:"allow_data_loss"`
	Replicas      types.String   `tfsdk:"replicas"`
	Running       types.Bool     `tfsdk:"running"`
	ClusterName   types.String   `tfsdk:"cluster_name"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`
}

type memberIdentity struct {
	Node types.String `tfsdk:"node"`
	Host types.String `tfsdk:"host"`
}

// self gives the member as one entry of a map of nodes.
func (m memberResourceModel) self() memberModel {
	return memberModel{nodeModel: m.nodeModel}
}

// nodes gives the member and its peers, by node name.
func (m memberResourceModel) nodes(ctx context.Context) (map[string]memberModel, diagnostics) {
	var diags diagnostics
	nodes := nodesOf(ctx, m.Peers, &diags)
	for node := range nodes {
		if err := rabbitmq.CheckNodeName(node); err != nil {
			diags.AddAttributeError(path.Root("peers").AtMapKey(node), "Invalid node name", sentence(err))
			delete(nodes, node)
		}
	}
	nodes[m.Node.ValueString()] = m.self()
	return nodes, diags
}

// peers gives the names of the others.
func (m memberResourceModel) peers(nodes map[string]memberModel) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(nodes)), func(node string) bool { return node == m.Node.ValueString() })
}

// wish is what the model asks for.
func (m memberResourceModel) wish(nodes map[string]memberModel) topology.Wish {
	return topology.Wish{
		Members:       map[string]topology.Type{m.Node.ValueString(): topology.Type(m.Type.ValueString())},
		Peers:         m.peers(nodes),
		AllowDataLoss: m.AllowDataLoss.ValueBool(),
		Grow:          m.Replicas.ValueString() == grow,
	}
}

// leaving is what its destruction asks for.
func (m memberResourceModel) leaving(nodes map[string]memberModel) topology.Wish {
	return topology.Wish{Leaving: []string{m.Node.ValueString()}, Peers: m.peers(nodes), AllowDataLoss: m.AllowDataLoss.ValueBool()}
}

func (m memberResourceModel) identity() memberIdentity {
	return memberIdentity{Node: m.Node, Host: m.Host}
}

func (m *memberResourceModel) take(member topology.Member, name string) {
	if m.Host.ValueString() == "" {
		m.Host = types.StringValue(rabbitmq.HostPart(m.Node.ValueString()))
	}
	m.Type = types.StringValue(string(member.Type))
	m.Running = types.BoolValue(member.Running)
	if name != "" || m.ClusterName.IsUnknown() {
		m.ClusterName = types.StringValue(name)
	}
}

// identityOf reads an import id or identity. The id is "NODE" or "NODE,HOST": a comma is in no node name and in no host
// name or address, while @ and : are.
func identityOf(ctx context.Context, req resource.ImportStateRequest, diags *diagnostics) memberIdentity {
	identity := memberIdentity{}
	if req.ID != "" {
		node, address, _ := strings.Cut(req.ID, ",")
		identity = memberIdentity{Node: types.StringValue(node), Host: types.StringValue(address)}
	} else {
		diags.Append(req.Identity.Get(ctx, &identity)...)
	}
	node := identity.Node.ValueString()
	if err := rabbitmq.CheckNodeName(node); err != nil && !diags.HasError() {
		diags.AddError("Invalid import id", sentence(err)+" The id is NODE or NODE,HOST.")
	}
	if identity.Host.ValueString() == "" {
		identity.Host = types.StringValue(rabbitmq.HostPart(node))
	}
	return identity
}
