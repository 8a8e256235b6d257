package cluster

import (
	"slices"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// While a forget goes on at rmq1, and a reset of rmq5 through it, rmq2 is started, and nothing is done to rmq5, nor to rmq3,
// which is started after its reset.
func TestOnlyWhatLeadsAPlanIsStartedMeanwhile(t *testing.T) {
	var started []string
	for _, step := range startable([]topology.Step{
		{Kind: topology.StartService, Node: "rabbit@rmq1"},
		{Kind: topology.StartApp, Node: "rabbit@rmq5"},
		{Kind: topology.StartApp, Node: "rabbit@rmq2"},
		{Kind: topology.Await, Node: "rabbit@rmq4"},
		{Kind: topology.Forget, Node: "rabbit@rmq3", Via: "rabbit@rmq2"},
		{Kind: topology.Reset, Node: "rabbit@rmq3"},
		{Kind: topology.StartApp, Node: "rabbit@rmq3"},
	}, map[string]work{"rabbit@rmq1": {commands: []string{"rabbitmqctl forget_cluster_node rabbit@rmq6", "rabbitmqctl -n rabbit@rmq5 reset"}}}) {
		started = append(started, step.Node)
	}
	if !slices.Equal(started, []string{"rabbit@rmq2"}) {
		t.Errorf("started %v, want rabbit@rmq2 alone", started)
	}
}
