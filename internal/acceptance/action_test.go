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

// acting is a cluster of three, formed by hand, and whoever acts on it.
func acting(t *testing.T) (hosts []*lab.Host, s *server, nodes map[string]any) {
	t.Helper()
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	hosts = []*lab.Host{rmq1, rmq2, rmq3}
	return hosts, serve(t), nodesOf(hosts...)
}

func TestActionsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	hosts, s, nodes := acting(t)
	rmq1, rmq2, rmq3 := hosts[0], hosts[1], hosts[2]
	addWorker(t, rmq1)
	w := newWorkspace(t)
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

	tell("a node that queues need is not stopped", func(t *testing.T) {
		declareQuorum(t, rmq1, "two-replicas", 2)
		before := brokerPID(t, rmq1)
		s.refuses("rabbitmq_rolling_restart", map[string]any{"nodes": nodes, "only": names(rmq1), "timeouts": map[string]any{"invoke": "40s"}}, "two-replicas", "No node was restarted before it")
		if after := brokerPID(t, rmq1); after != before {
			t.Error("it was restarted")
		}
		on(t, rmq1, "rabbitmqctl", "delete_queue", "two-replicas")
	})

	tell("no node is stopped while another is down", func(t *testing.T) {
		ctl(t, rmq3, "stop_app")
		before := pids(t, hosts)
		s.refuses("rabbitmq_rolling_restart", map[string]any{"nodes": nodes}, "not whole", "rabbit@rmq3 does not run")
		if after := pids(t, hosts); !slices.Equal(before, after) {
			t.Errorf("restarted: %v, %v", before, after)
		}
		s.refuses("rabbitmq_rebalance", map[string]any{"nodes": nodes}, "not whole")
		ctl(t, rmq3, "start_app")
	})

	tell("a node is drained and revived", func(t *testing.T) {
		one := func(h *lab.Host, mode string) map[string]any {
			return map[string]any{"nodes": nodes, "node": h.NodeName(), "mode": mode}
		}
		s.mustInvoke("rabbitmq_maintenance", one(rmq3, "drain"))
		if got := maintained(t, rmq1); !slices.Equal(got, []string{"rabbit@rmq3"}) {
			t.Errorf("in maintenance: %v", got)
		}
		if _, err := dialWorker(rmq3); err == nil {
			t.Error("a drained node takes clients")
		}
		if run := s.mustInvoke("rabbitmq_maintenance", one(rmq3, "drain")); !strings.Contains(strings.Join(run.progress, " "), "already") {
			t.Errorf("drained again: %v", run.progress)
		}
		s.mustInvoke("rabbitmq_maintenance", one(rmq2, "drain"))
		s.refuses("rabbitmq_maintenance", one(rmq1, "drain"), "no other member that runs takes clients")
		if conn, err := dialWorker(rmq1); err != nil {
			t.Errorf("the last member takes no clients: %v", err)
		} else {
			_ = conn.Close()
		}
		for _, h := range []*lab.Host{rmq2, rmq3} {
			s.mustInvoke("rabbitmq_maintenance", one(h, "revive"))
		}
		if got := maintained(t, rmq1); len(got) > 0 {
			t.Errorf("in maintenance: %v", got)
		}
	})

	tell("leaders are spread", func(t *testing.T) {
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			declareQuorum(t, rmq1, "lead-"+name, 0)
		}
		s.mustInvoke("rabbitmq_maintenance", map[string]any{"nodes": nodes, "node": rmq3.NodeName(), "mode": "drain"})
		eventually(t, "others lead", func() bool { return leaders(t, rmq1)[rmq3.NodeName()] == 0 })
		s.mustInvoke("rabbitmq_maintenance", map[string]any{"nodes": nodes, "node": rmq3.NodeName(), "mode": "revive"})
		s.mustInvoke("rabbitmq_rebalance", map[string]any{"nodes": nodes, "queue_type": "quorum"})
		if found := leaders(t, rmq1); found[rmq1.NodeName()] == 0 || found[rmq2.NodeName()] == 0 || found[rmq3.NodeName()] == 0 {
			t.Errorf("leaders by node: %v", found)
		}
	})

	tell("a boot is forced only when nothing else is left", func(t *testing.T) {
		config := map[string]any{"nodes": nodes, "node": rmq1.NodeName()}
		s.refuses("rabbitmq_force_boot", config, "it runs")
		on(t, rmq1, "systemctl", "stop", "rabbitmq-server")
		s.refuses("rabbitmq_force_boot", config, "rabbit@rmq2 runs", "as usual")
		for _, h := range hosts[1:] {
			on(t, h, "systemctl", "stop", "rabbitmq-server")
		}
		s.refuses("rabbitmq_force_boot", config, "rabbit@rmq2 is there and can be started", "allow_data_loss")
		config["allow_data_loss"] = true
		switch suite.lab.Release().RabbitMQ {
		case "4.3":
			s.refuses("rabbitmq_force_boot", config, "Khepri", "no effect", "force_standalone_khepri_boot")
		case "3.8":
			s.refuses("rabbitmq_force_boot", config, "mnesia_dir_not_found", "touch")
		default:
			s.mustInvoke("rabbitmq_force_boot", config)
			if st := clusterStatus(t, rmq1); !slices.Equal(st.Running, []string{rmq1.NodeName()}) || len(st.Disc) != 3 {
				t.Errorf("after a forced boot: %+v", st)
			}
		}
	})
}

// Clients that connect again, and publish again what was not confirmed, while every node is restarted.
func TestRestartUnderLoad(t *testing.T) {
	full(t)
	hosts, s, nodes := acting(t)
	rmq1 := hosts[0]
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
}

// leaders counts the quorum queues that each node leads.
func leaders(t *testing.T, h *lab.Host) map[string]int {
	t.Helper()
	count := map[string]int{}
	const expression = `[begin {_, N} = amqqueue:get_pid(Q), io:format("leader:~s~n", [N]) end || Q <- rabbit_amqqueue:list(<<"/">>), amqqueue:get_type(Q) =:= rabbit_quorum_queue].`
	for line := range strings.Lines(ctl(t, h, "-q", "eval", expression)) {
		if node, found := strings.CutPrefix(strings.TrimSpace(line), "leader:"); found {
			count[node]++
		}
	}
	return count
}

// invocation is how a run of an action ended.
type invocation struct {
	progress []string
	errors   []string
}

// invoke validates, plans and invokes an action, as Terraform does. watch is told each progress message as it comes.
func (s *server) invoke(ctx context.Context, action string, config map[string]any, watch func(string)) invocation {
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
			if watch != nil {
				watch(event.Message)
			}
		case tfprotov6.CompletedInvokeActionEventType:
			run.errors = errorsOf(event.Diagnostics)
		}
	}
	return run
}

// mustInvoke invokes an action that succeeds.
func (s *server) mustInvoke(action string, config map[string]any) invocation {
	s.t.Helper()
	run := s.invoke(s.t.Context(), action, config, nil)
	if len(run.errors) > 0 {
		s.t.Fatalf("%s: %s", action, strings.Join(run.errors, "\n"))
	}
	return run
}

// refuses invokes an action that fails, and checks that it says each of the texts.
func (s *server) refuses(action string, config map[string]any, texts ...string) {
	s.t.Helper()
	run := s.invoke(s.t.Context(), action, config, nil)
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
