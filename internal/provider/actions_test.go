package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// A bad configuration of an action errs when it is validated, before any host is known.
func TestActionsRefuseBadInput(t *testing.T) {
	made, err := providerserver.NewProtocol6WithError(New("test")())()
	if err != nil {
		t.Fatal(err)
	}
	server, ok := made.(tfprotov6.ActionServer)
	if !ok {
		t.Fatal("the provider serves no actions")
	}
	schemas, err := made.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }
	list := func(texts ...string) tftypes.Value {
		values := make([]tftypes.Value, len(texts))
		for i, one := range texts {
			values[i] = text(one)
		}
		return tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, values)
	}
	no := tftypes.NewValue(tftypes.Bool, false)
	for _, c := range []struct {
		action, node, want string
		with               map[string]tftypes.Value
	}{
		{"rabbitmq_rolling_restart", "rabbit@a", "", nil},
		{"rabbitmq_rolling_restart", "a", "not an Erlang node name", nil},
		{"rabbitmq_rolling_restart", "rabbit@a", "rabbit@b is not among", map[string]tftypes.Value{"only": list("rabbit@b")}},
		{"rabbitmq_rolling_restart", "rabbit@a", "duplicate", map[string]tftypes.Value{"only": list("rabbit@a", "rabbit@a")}},
		{"rabbitmq_maintenance", "rabbit@a", "", map[string]tftypes.Value{"node": text("rabbit@a"), "mode": text("drain")}},
		{"rabbitmq_maintenance", "rabbit@a", "drain", map[string]tftypes.Value{"node": text("rabbit@a"), "mode": text("pause")}},
		{"rabbitmq_maintenance", "rabbit@a", "rabbit@b is not among", map[string]tftypes.Value{"node": text("rabbit@b"), "mode": text("drain")}},
		{"rabbitmq_rebalance", "rabbit@a", "", nil},
		{"rabbitmq_rebalance", "rabbit@a", "Nothing to do", map[string]tftypes.Value{"leaders": no}},
		{"rabbitmq_rebalance", "rabbit@a", "rabbit@b is not among", map[string]tftypes.Value{"grow": list("rabbit@b")}},
		{"rabbitmq_force_boot", "rabbit@a", "", map[string]tftypes.Value{"node": text("rabbit@a")}},
		{"rabbitmq_force_boot", "rabbit@a", "not lost", map[string]tftypes.Value{"node": text("rabbit@a"), "lost": list("rabbit@a")}},
	} {
		kind, ok := schemas.ActionSchemas[c.action].Schema.ValueType().(tftypes.Object)
		if !ok {
			t.Fatal(c.action)
		}
		attributes := map[string]tftypes.Value{}
		for name, of := range kind.AttributeTypes {
			attributes[name] = tftypes.NewValue(of, nil)
			if name == "nodes" {
				nodes, _ := of.(tftypes.Map)
				node, _ := nodes.ElementType.(tftypes.Object)
				empty := map[string]tftypes.Value{}
				for field, of := range node.AttributeTypes {
					empty[field] = tftypes.NewValue(of, nil)
				}
				attributes[name] = tftypes.NewValue(of, map[string]tftypes.Value{c.node: tftypes.NewValue(node, empty)})
			}
			if given, set := c.with[name]; set {
				attributes[name] = given
			}
		}
		config, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, attributes))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.ValidateActionConfig(t.Context(), &tfprotov6.ValidateActionConfigRequest{ActionType: c.action, Config: &config})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, d := range resp.Diagnostics {
			said = append(said, d.Summary+": "+d.Detail)
		}
		all := strings.Join(said, "\n")
		if (c.want == "") != (len(said) == 0) || !strings.Contains(strings.ToLower(all), strings.ToLower(c.want)) {
			t.Errorf("%s %v: %q, want %q", c.action, c.with, all, c.want)
		}
	}
}
