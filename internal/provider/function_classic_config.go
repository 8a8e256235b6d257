package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

var _ function.Function = (*classicConfigFunction)(nil)

func newClassicConfigFunction() function.Function { return &classicConfigFunction{} }

// classicConfigFunction is classic_config: the lines of rabbitmq.conf that make blank nodes find each other.
type classicConfigFunction struct{}

func (f *classicConfigFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "classic_config"
}

func (f *classicConfigFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "The part of rabbitmq.conf that makes blank nodes form a cluster by themselves",
		MarkdownDescription: "Renders the `cluster_formation` settings of `rabbitmq.conf` for RabbitMQ's classic config peer discovery, from the nodes that `rabbitmq_cluster` takes as `members`. " +
			"Nodes read it only when they start blank. With it in place a node that was taken out and reset would join again, so that such a node is left stopped.",
		Parameters: []function.Parameter{function.DynamicParameter{
			Name:                "nodes",
			MarkdownDescription: "A map with Erlang node names as keys, such as `members` of `rabbitmq_cluster`, or a list or set of node names.",
		}},
		Return: function.StringReturn{},
	}
}

func (f *classicConfigFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var nodes types.Dynamic
	if resp.Error = req.Arguments.Get(ctx, &nodes); resp.Error != nil {
		return
	}
	names, known, err := nodeNames(nodes.UnderlyingValue())
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	if !known {
		resp.Error = resp.Result.Set(ctx, types.StringUnknown())
		return
	}
	resp.Error = resp.Result.Set(ctx, classicConfig(names))
}

// classicConfig renders the settings, the same for the same names in whatever order: a changed file is a restart for
// whoever rolls it out.
func classicConfig(names []string) string {
	var b strings.Builder
	b.WriteString("cluster_formation.peer_discovery_backend = classic_config\n")
	for i, name := range slices.Sorted(slices.Values(names)) {
		fmt.Fprintf(&b, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, name)
	}
	return b.String()
}

// nodeNames reads the names out of a map, an object, a list, a set or a tuple; it gives false while a name is unknown.
func nodeNames(value attr.Value) (names []string, known bool, err error) {
	var elements []attr.Value
	switch v := value.(type) {
	case basetypes.MapValue:
		for name := range v.Elements() {
			names = append(names, name)
		}
	case basetypes.ObjectValue:
		for name := range v.Attributes() {
			names = append(names, name)
		}
	case basetypes.ListValue:
		elements = v.Elements()
	case basetypes.SetValue:
		elements = v.Elements()
	case basetypes.TupleValue:
		elements = v.Elements()
	default:
		return nil, false, fmt.Errorf("a map with node names as keys, or a list of node names, is expected")
	}
	if value.IsUnknown() {
		return nil, false, nil
	}
	for _, element := range elements {
		if element.IsUnknown() {
			return nil, false, nil
		}
		name, ok := element.(basetypes.StringValue)
		if !ok || name.IsNull() {
			return nil, false, fmt.Errorf("a list of node names is expected, and one of its elements is no string")
		}
		names = append(names, name.ValueString())
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, false, fmt.Errorf("there is no node in it")
	}
	for _, name := range names {
		if err := rabbitmq.CheckNodeName(name); err != nil {
			return nil, false, err
		}
	}
	return names, true, nil
}
