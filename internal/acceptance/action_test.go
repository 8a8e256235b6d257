//go:build linux

package acceptance

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// brokerPID is the process of a host's broker, to tell whether it was restarted.
func brokerPID(t *testing.T, h *lab.Host) string {
	t.Helper()
	return strings.TrimSpace(on(t, h, "systemctl", "show", "-p", "MainPID", "--value", "rabbitmq-server"))
}

func pids(t *testing.T, hosts []*lab.Host) []string {
	t.Helper()
	var all []string
	for _, h := range hosts {
		all = append(all, brokerPID(t, h))
	}
	return all
}

// maintained lists the members that are in maintenance as one of them tells it.
func maintained(t *testing.T, h *lab.Host) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(ctl(t, h, "-q", "cluster_status")) {
		if node, found := strings.CutPrefix(line, "Node: "); found && strings.Contains(line, "marked for maintenance") {
			name, _, _ := strings.Cut(node, ",")
			all = append(all, name)
		}
	}
	return all
}

// Clients that connect again, and publish again what was not confirmed, while every node is restarted.
func TestRestartUnderLoad(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	w := newWorkspace(t)
	s := serve(t)
	nodes := nodesOf(hosts...)
	tell := func(part string, do func(t *testing.T)) {
		w.tell(part, func(t *testing.T) { s.t = t; do(t) })
		s.t = t
	}

	tell("bad input errs before anything is touched", func(t *testing.T) {
		before := pids(t, hosts)
		s.refuses("rabbitmq_rolling_restart", map[string]any{"nodes": nodes, "only": []any{"rabbit@rmq9"}}, "rabbit@rmq9 is not among `nodes`")
		s.refuses("rabbitmq_rolling_restart", map[string]any{"nodes": map[string]any{"rmq1": map[string]any{}}}, "rmq1")
		s.refuses("rabbitmq_maintenance", map[string]any{"nodes": nodes, "node": rmq1.NodeName(), "mode": "pause"}, "drain")
		s.refuses("rabbitmq_rebalance", map[string]any{"nodes": nodes, "leaders": false}, "Nothing to do")
		s.refuses("rabbitmq_force_boot", map[string]any{"nodes": nodes, "node": rmq1.NodeName(), "lost": names(rmq1)}, "not lost")
		other := nodesOf(hosts...)
		other[rmq2.NodeName()] = map[string]any{"host": rmq2.Address(), "service": "rabbit"}
		s.refuses("rabbitmq_rolling_restart", map[string]any{"nodes": other}, "no systemd unit", rmq2.NodeName(), "Nothing was restarted")
		if after := pids(t, hosts); !slices.Equal(before, after) {
			t.Errorf("brokers were restarted: %v, %v", before, after)
		}
	})

	tell("a loaded cluster is restarted and loses nothing", func(t *testing.T) {
		c := startCrowd(t, hosts)
		c.goesOn(t)
		watch := watchDowns(t, hosts)
		before := pids(t, hosts)
		run := s.mustInvoke("rabbitmq_rolling_restart", map[string]any{"nodes": nodes})
		for i, pid := range pids(t, hosts) {
			if pid == before[i] || pid == "0" {
				t.Errorf("%s was not restarted", hosts[i].Name())
			}
		}
		if most, atAll := watch.end(); most != 1 || atAll != 3 {
			t.Errorf("of %d nodes that were down, %d were so at once", atAll, most)
		}
		c.goesOn(t)
		c.end(t)
		if c.connections <= 2*len(hosts) {
			t.Errorf("nobody had to connect again: %d connections", c.connections)
		}
		areOneCluster(t, hosts...)
		if said := strings.Join(run.progress, "\n"); !strings.Contains(said, "rabbit@rmq2: restart 2 of 3") || !strings.Contains(said, "rabbit@rmq3: draining") || !strings.Contains(said, "have caught up") {
			t.Errorf("progress:\n%s", said)
		}
		if drained := maintained(t, rmq1); len(drained) > 0 {
			t.Errorf("still in maintenance: %v", drained)
		}
	})
}

// invocation is how a run of an action ended.
type invocation struct {
	progress []string
	errors   []string
}

// invoke validates, plans and invokes an action, as Terraform does.
func (s *server) invoke(ctx context.Context, action string, config map[string]any) invocation {
	s.t.Helper()
	schema, there := s.schemas.ActionSchemas[action]
	if !there {
		s.t.Fatalf("there is no action %s", action)
	}
	value := s.value(schema.Schema, config)
	valid, err := s.calls.ValidateActionConfig(ctx, &tfprotov6.ValidateActionConfigRequest{ActionType: action, Config: value})
	if err != nil {
		s.t.Fatal(err)
	}
	if errs := errorsOf(valid.Diagnostics); len(errs) > 0 {
		return invocation{errors: errs}
	}
	planned, err := s.calls.PlanAction(ctx, &tfprotov6.PlanActionRequest{ActionType: action, Config: value})
	if err != nil {
		s.t.Fatal(err)
	}
	if errs := errorsOf(planned.Diagnostics); len(errs) > 0 {
		return invocation{errors: errs}
	}
	stream, err := s.calls.InvokeAction(ctx, &tfprotov6.InvokeActionRequest{ActionType: action, Config: value})
	if err != nil {
		s.t.Fatal(err)
	}
	var run invocation
	for event := range stream.Events {
		switch event := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			run.progress = append(run.progress, event.Message)
			s.t.Log(event.Message)
		case tfprotov6.CompletedInvokeActionEventType:
			run.errors = errorsOf(event.Diagnostics)
		}
	}
	return run
}

// mustInvoke invokes an action that succeeds.
func (s *server) mustInvoke(action string, config map[string]any) invocation {
	s.t.Helper()
	run := s.invoke(s.t.Context(), action, config)
	if len(run.errors) > 0 {
		s.t.Fatalf("%s: %s", action, strings.Join(run.errors, "\n"))
	}
	return run
}

// refuses invokes an action that fails, and checks that it says each of the texts.
func (s *server) refuses(action string, config map[string]any, texts ...string) {
	s.t.Helper()
	run := s.invoke(s.t.Context(), action, config)
	if len(run.errors) == 0 {
		s.t.Fatalf("%s was done: %q", action, run.progress)
	}
	for _, text := range texts {
		if said := strings.Join(run.errors, "\n"); !strings.Contains(said, text) {
			s.t.Errorf("%s does not say %q:\n%s", action, text, said)
		}
	}
}

// nodesOf is the map of nodes that an action takes.
func nodesOf(hosts ...*lab.Host) map[string]any {
	nodes := map[string]any{}
	for _, h := range hosts {
		nodes[h.NodeName()] = map[string]any{"host": h.Address()}
	}
	return nodes
}

func names(hosts ...*lab.Host) []any {
	var all []any
	for _, h := range hosts {
		all = append(all, h.NodeName())
	}
	return all
}
