//go:build linux

package acceptance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// configure adds a line to a broker's configuration and restarts it. A blank broker has none of it.
func configure(t *testing.T, h *lab.Host, lines ...string) {
	t.Helper()
	on(t, h, "sh", "-c", fmt.Sprintf("printf '%%s\\n' %s >> /etc/rabbitmq/rabbitmq.conf", "'"+strings.Join(lines, "' '")+"'"))
	ctx, cancel := bounded(t)
	defer cancel()
	if err := h.StopBroker(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.StartBroker(ctx); err != nil {
		t.Fatal(err)
	}
}

// part drops what goes between two sides, and has the brokers notice it, which takes them a minute by themselves.
func part(t *testing.T, one, other []*lab.Host) {
	t.Helper()
	if err := suite.lab.Partition(t.Context(), one, other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := suite.lab.Heal(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, a := range one {
		for _, b := range other {
			ctl(t, a, "eval", fmt.Sprintf("erlang:disconnect_node('%s').", b.NodeName()))
			ctl(t, b, "eval", fmt.Sprintf("erlang:disconnect_node('%s').", a.NodeName()))
		}
	}
}

// sees tells whether a node sees another running.
func sees(t *testing.T, h, other *lab.Host) bool {
	t.Helper()
	return slices.Contains(clusterStatus(t, h).Running, other.NodeName())
}

// The network between members breaks. Nothing is changed while it is so, and both sides are told of.
func TestPartitionOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t).hasty()
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
	w.mustApply()
	one, other := []*lab.Host{rmq1, rmq2}, []*lab.Host{rmq3}

	w.tell("while it goes on a plan warns of it, and a change is refused", func(t *testing.T) {
		part(t, one, other)
		eventually(t, "rmq1 does not see rmq3", func() bool { return !sees(t, rmq1, rmq3) && !sees(t, rmq3, rmq1) })
		w.plan().shows("Warning: The cluster is partitioned", "one side is rabbit@rmq1, rabbit@rmq2; the other is rabbit@rmq3")
		w.write(hcl{members: entries(rmq1, rmq2), attributes: `name = "orders"`})
		w.refuses("the cluster is partitioned", "one side is rabbit@rmq1, rabbit@rmq2; the other is rabbit@rmq3", "Both run and count each other as members", "Mend the network between them")
	})

	w.tell("once it is whole again Mnesia reports it, and a change is refused until somebody chose a side", func(t *testing.T) {
		if err := suite.lab.Heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !onKhepri() {
			eventually(t, "rmq1 reports the partition", func() bool {
				return strings.Contains(ctl(t, rmq1, "eval", "rabbit_node_monitor:partitions()."), "rabbit@rmq3")
			})
			w.refuses("the cluster is partitioned", "one side is rabbit@rmq1, rabbit@rmq2; the other is rabbit@rmq3", "The network is whole again", "Choose the side to trust")
			ctl(t, rmq3, "stop_app")
			ctl(t, rmq3, "start_app")
		}
		eventually(t, "they are one cluster again", func() bool { return sees(t, rmq1, rmq3) && sees(t, rmq3, rmq1) && sees(t, rmq2, rmq3) })
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		w.planIsEmpty()
	})
}

// cluster_partition_handling = pause_minority: RabbitMQ stops a member of the smaller side itself.
func TestPausedMinorityOnEveryVersion(t *testing.T) {
	everyVersion(t)
	if onKhepri() {
		t.Skip("Khepri does not pause members")
	}
	rmq1, rmq2, rmq3 := blank(t)
	each([]*lab.Host{rmq1, rmq2, rmq3}, func(h *lab.Host) { configure(t, h, "cluster_partition_handling = pause_minority") })
	w := newWorkspace(t).hasty()
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
	w.mustApply()

	w.tell("it is neither started by hand nor forgotten", func(t *testing.T) {
		part(t, []*lab.Host{rmq1, rmq2}, []*lab.Host{rmq3})
		eventually(t, "rmq3 has paused", func() bool {
			return strings.Contains(ctl(t, rmq3, "eval", "rabbit:is_running()."), "false")
		})
		w.refuses("the cluster is partitioned", "rabbit@rmq3: its application was stopped by RabbitMQ itself", "cluster_partition_handling", "rabbit@rmq1, rabbit@rmq2", "it then starts by itself")
		w.write(hcl{members: entries(rmq1, rmq2), attributes: `name = "orders"`})
		w.refuses("the cluster is partitioned", "rabbit@rmq3: its application was stopped by RabbitMQ itself")
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
	})

	w.tell("it goes on by itself once the network is whole", func(t *testing.T) {
		if err := suite.lab.Heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "rmq3 runs again", func() bool {
			return strings.Contains(ctl(t, rmq3, "eval", "rabbit:is_running()."), "true") && sees(t, rmq1, rmq3)
		})
		w.planIsEmpty()
		areOneCluster(t, rmq1, rmq2, rmq3)
	})
}

// Members leave in ways that are not the usual one: through a peer because their own host cannot be reached, and blank
// and stopped because their own configuration would make them join again.
func TestMemberLeavesThroughItsPeersOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t).hasty()
	write := func(hosts ...*lab.Host) { w.write(hcl{members: entries(hosts...), attributes: `name = "orders"`}) }
	write(rmq1, rmq2, rmq3)
	w.mustApply()

	w.tell("its SSH is dead: everything is done from a peer", func(t *testing.T) {
		if err := rmq3.CutMachine(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.planIsEmpty() // its peers see it run
		write(rmq1, rmq2)
		w.planShows(`- "rabbit@rmq3" = {`, "take rabbit@rmq3 out of orders through rabbit@rmq1 and leave it blank and alone", "The host of rabbit@rmq3 gives no answer").within(bound)
		o := w.mustApplyPlan().within(bound)
		for _, c := range o.changes() {
			if !strings.HasPrefix(c, rmq1.Address()+":") {
				t.Errorf("it ran %q", c)
			}
		}
		if err := suite.lab.Heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		isBlank(t, rmq3)
		w.planIsEmpty()
	})

	w.tell("its own discovery would make it join again: it is left stopped, and the plan says so", func(t *testing.T) {
		write(rmq1, rmq2, rmq3)
		w.mustApply()
		lines := []string{"cluster_formation.peer_discovery_backend = classic_config"}
		for i, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			lines = append(lines, fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s", i+1, h.NodeName()))
		}
		configure(t, rmq3, lines...)
		w.planIsEmpty()
		write(rmq1, rmq2)
		w.planShows("take rabbit@rmq3 out of orders through rabbit@rmq1 and leave it blank and stopped, because its own peer discovery would make it join again")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		if out := ctl(t, rmq3, "eval", "rabbit:is_running()."); !strings.Contains(out, "false") {
			t.Errorf("rmq3 runs: %s", out)
		}
		w.planIsEmpty()
		if c := w.mustApply().changes(); len(c) > 0 {
			t.Errorf("another apply ran %q", c)
		}
	})

	w.tell("two leave at once, one after the other", func(t *testing.T) {
		ctl(t, rmq3, "start_app") // and joins by itself
		eventually(t, "rmq3 has joined by itself", func() bool { return len(clusterStatus(t, rmq1).Running) == 3 })
		write(rmq1)
		w.mustApply()
		areAlone(t, rmq1, rmq2)
		w.planIsEmpty()
	})
}
