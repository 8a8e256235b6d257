package provider

import (
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// What the function parse_cluster_status and the data source rabbitmq_cluster have in common.

var (
	listenerType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"protocol": types.StringType, "interface": types.StringType, "port": types.Int64Type,
	}}
	alarmType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"node": types.StringType, "resource": types.StringType,
	}}
	partitionsType = types.MapType{ElemType: types.ListType{ElemType: types.StringType}}
	// parsedMemberType is a member as the text tells of it.
	parsedMemberType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"type": types.StringType, "running": types.BoolType, "version": types.StringType, "erlang_version": types.StringType,
		"maintenance": types.BoolType, "listeners": types.ListType{ElemType: listenerType},
	}}
	parsedStatusTypes = map[string]attr.Type{
		"cluster_name":  types.StringType,
		"members":       types.MapType{ElemType: parsedMemberType},
		"partitions":    partitionsType,
		"alarms":        types.ListType{ElemType: alarmType},
		"feature_flags": types.MapType{ElemType: types.StringType},
	}
)

// parsedStatus gives a status as the function returns it.
func parsedStatus(s rabbitmq.ClusterStatus) types.Object {
	members := map[string]attr.Value{}
	for node, m := range s.Members {
		members[node] = types.ObjectValueMust(parsedMemberType.AttrTypes, map[string]attr.Value{
			"type": types.StringValue(string(kindOf(m.RAM))), "running": types.BoolValue(m.Running),
			"version": textOrNull(m.Version), "erlang_version": textOrNull(m.Erlang),
			"maintenance": types.BoolPointerValue(m.Maintenance), "listeners": listenerList(m.Listeners),
		})
	}
	return types.ObjectValueMust(parsedStatusTypes, map[string]attr.Value{
		"cluster_name":  textOrNull(s.ClusterName),
		"members":       types.MapValueMust(parsedMemberType, members),
		"partitions":    partitionMap(s.Partitions),
		"alarms":        alarmList(s.Alarms),
		"feature_flags": textMap(s.FeatureFlags),
	})
}

func kindOf(ram bool) topology.Type {
	if ram {
		return topology.RAM
	}
	return topology.Disc
}

// textOrNull gives what is not told as null.
func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}

func listenerList(listeners []rabbitmq.Listener) types.List {
	if listeners == nil {
		return types.ListNull(listenerType)
	}
	values := make([]attr.Value, len(listeners))
	for i, l := range listeners {
		values[i] = types.ObjectValueMust(listenerType.AttrTypes, map[string]attr.Value{
			"protocol": types.StringValue(l.Protocol), "interface": types.StringValue(l.Interface), "port": types.Int64Value(int64(l.Port)),
		})
	}
	return types.ListValueMust(listenerType, values)
}

func alarmList(alarms []rabbitmq.Alarm) types.List {
	values := make([]attr.Value, len(alarms))
	for i, a := range alarms {
		values[i] = types.ObjectValueMust(alarmType.AttrTypes, map[string]attr.Value{"node": types.StringValue(a.Node), "resource": types.StringValue(a.Resource)})
	}
	return types.ListValueMust(alarmType, values)
}

func partitionMap(partitions map[string][]string) types.Map {
	values := map[string]attr.Value{}
	for node, from := range partitions {
		values[node] = textList(slices.Sorted(slices.Values(from)))
	}
	return types.MapValueMust(partitionsType.ElemType, values)
}

func textMap(texts map[string]string) types.Map {
	if texts == nil {
		return types.MapNull(types.StringType)
	}
	values := map[string]attr.Value{}
	for key, text := range texts {
		values[key] = types.StringValue(text)
	}
	return types.MapValueMust(types.StringType, values)
}

func textList(texts []string) types.List {
	values := make([]attr.Value, len(texts))
	for i, text := range texts {
		values[i] = types.StringValue(text)
	}
	return types.ListValueMust(types.StringType, values)
}
