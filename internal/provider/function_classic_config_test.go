package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestClassicConfigRendersEveryShapeOfNodes(t *testing.T) {
	text := types.StringType
	object := types.ObjectType{AttrTypes: map[string]attr.Type{"host": text}}
	one := types.ObjectValueMust(object.AttrTypes, map[string]attr.Value{"host": types.StringValue("10.0.0.11")})
	want := "cluster_formation.peer_discovery_backend = classic_config\n" +
		"cluster_formation.classic_config.nodes.1 = rabbit@rmq1\n" +
		"cluster_formation.classic_config.nodes.2 = rabbit@rmq2\n"
	for name, nodes := range map[string]attr.Value{
		"map":    types.MapValueMust(object, map[string]attr.Value{"rabbit@rmq2": one, "rabbit@rmq1": one}),
		"object": types.ObjectValueMust(map[string]attr.Type{"rabbit@rmq1": object, "rabbit@rmq2": text}, map[string]attr.Value{"rabbit@rmq1": one, "rabbit@rmq2": types.StringUnknown()}),
		"list":   types.ListValueMust(text, []attr.Value{types.StringValue("rabbit@rmq2"), types.StringValue("rabbit@rmq1"), types.StringValue("rabbit@rmq2")}),
		"set":    types.SetValueMust(text, []attr.Value{types.StringValue("rabbit@rmq1"), types.StringValue("rabbit@rmq2")}),
		"tuple":  types.TupleValueMust([]attr.Type{text, text}, []attr.Value{types.StringValue("rabbit@rmq1"), types.StringValue("rabbit@rmq2")}),
	} {
		if got, failed := callClassicConfig(t, nodes); failed != nil || got.ValueString() != want {
			t.Errorf("%s: %q %v", name, got.ValueString(), failed)
		}
	}
	unknown := types.ListValueMust(text, []attr.Value{types.StringUnknown()})
	if got, failed := callClassicConfig(t, unknown); failed != nil || !got.IsUnknown() {
		t.Errorf("an unknown node: %v %v", got, failed)
	}
}

func TestClassicConfigRefusesWhatWouldNotWork(t *testing.T) {
	for want, nodes := range map[string]attr.Value{
		"is not an Erlang node name":   types.ListValueMust(types.StringType, []attr.Value{types.StringValue("rmq1")}),
		"there is no node in it":       types.ListValueMust(types.StringType, nil),
		"one of its elements is no st": types.TupleValueMust([]attr.Type{types.BoolType}, []attr.Value{types.BoolValue(true)}),
		"a map with node names as key": types.StringValue("rabbit@rmq1"),
	} {
		if _, failed := callClassicConfig(t, nodes); failed == nil || !strings.Contains(failed.Text, want) {
			t.Errorf("%v: %v, want %q", nodes, failed, want)
		}
	}
}

func callClassicConfig(t *testing.T, nodes attr.Value) (types.String, *function.FuncError) {
	t.Helper()
	resp := function.RunResponse{Result: function.NewResultData(types.StringUnknown())}
	newClassicConfigFunction().Run(context.Background(), function.RunRequest{Arguments: function.NewArgumentsData([]attr.Value{types.DynamicValue(nodes)})}, &resp)
	got, _ := resp.Result.Value().(types.String)
	return got, resp.Error
}
