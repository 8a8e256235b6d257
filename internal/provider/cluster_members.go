package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// memberNames checks the node names of members.
type memberNames struct{}

func (memberNames) Description(context.Context) string {
	return "members are Erlang node names that can be told apart"
}

func (v memberNames) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (memberNames) ValidateResource(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	members, diags := config.members(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	byCase, byPlace := map[string]string{}, map[string]string{}
	for _, node := range slices.Sorted(maps.Keys(members)) {
		at := path.Root("members").AtMapKey(node)
		if err := rabbitmq.CheckNodeName(node); err != nil {
			resp.Diagnostics.AddAttributeError(at, "Invalid node name", err.Error()+".")
			continue
		}
		folded := strings.ToLower(node)
		if other, twice := byCase[folded]; twice {
			resp.Diagnostics.AddAttributeError(at, "Node named twice", fmt.Sprintf("%s and %s differ in upper and lower case only. RabbitMQ takes them for two nodes, and their hosts for one: keep the one that `rabbitmqctl eval 'node().'` prints.", other, node))
		}
		byCase[folded] = node
		if members[node].Host.IsUnknown() {
			continue
		}
		name, _, _ := strings.Cut(folded, "@")
		if members[node].Rabbitmqctl.IsUnknown() {
			continue
		}
		place := name + " on " + strings.ToLower(members[node].host(node).Address) + portOf(members[node])
		if ctl, set := plain(members[node].Rabbitmqctl); set { // containers of one host
			place += " behind " + strings.ReplaceAll(ctl, "\n", " ")
		}
		if other, twice := byPlace[place]; twice {
			resp.Diagnostics.AddAttributeError(at, "Two members on one host", fmt.Sprintf("%s and %s are both %s. A host runs one node of a name: correct `host`, or give them different names before the @.", other, node, place))
		}
		byPlace[place] = node
	}
}

// portOf tells hosts apart that share an address, for example behind a forwarded port.
func portOf(m memberModel) string {
	if port, set := plain(m.SSH.Attributes()["port"]); set {
		return " port " + port
	}
	return ""
}
