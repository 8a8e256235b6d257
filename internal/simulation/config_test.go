package simulation

import (
	"strings"
	"testing"
)

// What a configuration must not say is an error before any host is reached.
func TestBadConfigurationsAreRefused(t *testing.T) {
	node := func(more map[string]any) map[string]any {
		return map[string]any{"members": map[string]any{"rabbit@rmq1": more, "rabbit@rmq2": map[string]any{}}}
	}
	start := map[string]any{"start": []any{"rabbitmq-server", "-detached"}}
	for want, arguments := range map[string]map[string]any{
		"service":             node(map[string]any{"service": "rabbitmq-server", "service_commands": start}),
		"another node would":  node(map[string]any{"service_commands": map[string]any{"start": []any{"x"}, "environment": map[string]any{"RABBITMQ_NODENAME": "hare"}}}),
		"Two members on one":  node(map[string]any{"host": "rmq2"}),
		"Invalid node name":   {"members": map[string]any{"rmq1": map[string]any{}}},
		"Invalid Attribute V": node(map[string]any{"type": "disk"}),
	} {
		tf := &Terraform{Provider: providerArguments}
		_, err := tf.Plan(t.Context(), Resources{clusterAddress: arguments})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", arguments, err, want)
		}
	}
	// One run, two ways: the cluster as a whole, and one of its members alone.
	f := New(Options{Hosts: 2, Version: V310})
	defer f.Close()
	both := parseWish(strings.Fields("apply rabbit@rmq1 rabbit@rmq2")).resources(nil)
	for address, arguments := range parseWish(strings.Fields("apply-members rabbit@rmq1 rabbit@rmq2")).resources(nil) {
		both[address] = arguments
	}
	tf := &Terraform{Provider: providerArguments}
	if _, err := tf.Plan(t.Context(), both); err == nil || !strings.Contains(err.Error(), "Two resources manage one cluster") {
		t.Errorf("a cluster and its members in one run: %v", err)
	}
}
