//go:build linux

package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Each thing that only a joiner holds keeps it out, in the plan and in the apply, and is there afterwards.
func TestJoinerKeepsWhateverItHoldsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq3, rmq1)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3)})
	w.planShows("join rabbit@rmq2 to the cluster of rabbit@rmq1")

	for _, c := range []struct {
		what      string
		add       func(t *testing.T)
		says      string
		intact    func(t *testing.T) string
		want      string
		takenAway []string
	}{
		{"a vhost", func(t *testing.T) { ctl(t, rmq2, "add_vhost", "shop") }, "vhost shop",
			func(t *testing.T) string { return ctl(t, rmq2, "-q", "list_vhosts", "--no-table-headers") }, "shop", []string{"delete_vhost", "shop"}},
		{"a user", func(t *testing.T) { ctl(t, rmq2, "add_user", "seller", "secret") }, "user seller",
			func(t *testing.T) string { return ctl(t, rmq2, "-q", "list_users", "--no-table-headers") }, "seller", []string{"delete_user", "seller"}},
		{"a global parameter", func(t *testing.T) { ctl(t, rmq2, "set_global_parameter", "mine", `{"a":1}`) }, "global parameter mine",
			func(t *testing.T) string { return ctl(t, rmq2, "-q", "list_global_parameters") }, "mine", []string{"clear_global_parameter", "mine"}},
		{"a queue with ten messages", func(t *testing.T) { addQueue(t, rmq2, "/", "baskets", 10) }, "1 classic queue with 10 messages (baskets in /: 10)",
			func(t *testing.T) string {
				return ctl(t, rmq2, "-q", "list_queues", "--no-table-headers", "name", "messages")
			}, "baskets\t10", nil},
	} {
		w.tell(c.what, func(t *testing.T) {
			c.add(t)
			w.refuses("data would be lost", "rabbit@rmq2: joining the cluster of rabbit@rmq1 wipes the node, which holds "+c.says, "allow_data_loss = true")
			if got := c.intact(t); !strings.Contains(got, c.want) {
				t.Errorf("afterwards rmq2 has %q", got)
			}
			areAlone(t, rmq2)
			if c.takenAway != nil {
				ctl(t, rmq2, c.takenAway...)
			}
		})
	}

	w.tell("with allow_data_loss it is joined, and the plan and the log say what that costs", func(t *testing.T) {
		ctl(t, rmq2, "add_vhost", "shop")
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: "allow_data_loss = true"})
		const words = "join rabbit@rmq2 to the cluster of rabbit@rmq1 as disc node through rabbit@rmq1; its 1 vhost, 1 queue, 10 messages are lost"
		w.planShows("Warning: "+words, "This destroys for good: vhost shop, 1 classic queue with 10 messages")
		if o := w.mustApplyPlan(); !strings.Contains(o.logged(), words) {
			t.Error("the log does not say what the plan said")
		}
		areOneCluster(t, rmq1, rmq2, rmq3)
		isBlank(t, rmq2)
		if o := w.plan(); o.code != 0 || strings.Contains(o.output, "Warning") {
			t.Errorf("the next plan has exit code %d and says %s", o.code, o.output)
		}
	})
}

// A member is not taken out as long as it has the only copy of something, or a queue would lose its majority.
func TestMemberWithAnOnlyCopyStaysOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2)})
	accepted := func() {
		w.t.Helper()
		w.planShows("take rabbit@rmq3 out of the cluster of rabbit@rmq1 through rabbit@rmq1")
	}
	// A quorum queue counts its messages some seconds late, so that only its name is certain.
	refused := func(texts ...string) {
		w.t.Helper()
		w.refuses(append(texts, "data would be lost", "or set allow_data_loss = true")...)
		areOneCluster(w.t, rmq1, rmq2, rmq3)
	}

	w.tell("a classic queue, until it is drained and deleted", func(t *testing.T) {
		declare(t, rmq3, "classic", "baskets", 2)
		refused("rabbit@rmq3: the only copy of 1 classic queue with 2 messages (baskets in /: 2) would go", "Drain classic queues and delete them, or move them")
		holds(t, rmq1, "baskets", 2)
		ctl(t, rmq3, "purge_queue", "baskets")
		refused("rabbit@rmq3: the only copy of 1 classic queue with 0 messages (baskets in /: 0) would go")
		ctl(t, rmq3, "delete_queue", "baskets")
		accepted()
	})

	w.tell("not for a quorum queue that another one leads, which drops the replica by itself", func(t *testing.T) {
		declareWith(t, rmq1, "quorum", "kept", 5, amqp.Table{"x-quorum-initial-group-size": 1})
		queues(t, rmq1, "grow", rmq3.NodeName(), "all")
		ctl(t, rmq3, "stop_app")
		w.planShows("forget rabbit@rmq3, which does not run, on rabbit@rmq1")
		ctl(t, rmq3, "start_app")
		eventually(t, "it leaves as before", func() bool { return strings.Contains(w.plan().output, "take rabbit@rmq3 out of") })
	})

	w.tell("a quorum queue on this node alone, until it grows", func(t *testing.T) {
		declareWith(t, rmq3, "quorum", "lonely", 5, amqp.Table{"x-quorum-initial-group-size": 1})
		refused("rabbit@rmq3: the only copy of 1 quorum queue with", "(lonely in /:", "rabbitmq-queues grow NODE all")
		queues(t, rmq3, "grow", rmq1.NodeName(), "all")
		accepted()
	})

	w.tell("a quorum queue of which two of three replicas work, until the third works", func(t *testing.T) {
		declare(t, rmq1, "quorum", "orders", 5)
		replica(t, rmq2, "orders", "stop")
		refused("rabbit@rmq3: 1 quorum queue with", "(orders in /:", "would be left without a running majority", "Start the members whose replicas do not work", "rabbitmq-queues shrink")
		replica(t, rmq2, "orders", "restart")
		eventually(t, "the replica works again", func() bool { return w.plan().code == 2 })
		accepted()
	})

	w.tell("a quorum queue that it leads, of whose two replicas the other cannot elect itself, until it runs as it leaves", func(t *testing.T) {
		declareWith(t, rmq3, "quorum", "pair", 5, amqp.Table{"x-quorum-initial-group-size": 2, "x-queue-leader-locator": "client-local"})
		// The other one takes a moment to notice that it has no leader, which is long here.
		other := rmq1
		if slices.Contains(replicas(t, rmq1)["pair"], rmq2.NodeName()) {
			other = rmq2
		}
		ctl(t, other, "eval", `sys:suspend('%2F_pair').`)
		ctl(t, rmq3, "stop_app")
		w.refuses("rabbit@rmq3: ", "pair in /:", "would be left without a running majority", "none would work", "Start rabbit@rmq3 first", "or set allow_data_loss = true")
		ctl(t, other, "eval", `sys:resume('%2F_pair').`)
		ctl(t, rmq3, "start_app")
		eventually(t, "the queue has a leader again", func() bool { return w.plan().code == 2 })
		accepted()
	})

	if slices.Contains(replicated(), "stream") {
		w.tell("a stream with one replica, until it has another", func(t *testing.T) {
			declareWith(t, rmq3, "stream", "journal", 5, amqp.Table{"x-initial-cluster-size": 1})
			refused("rabbit@rmq3: the only copy of 1 stream", "(journal in /:", "rabbitmq-streams add_replica")
			ctl(t, rmq3, "--script-name", "rabbitmq-streams", "add_replica", "journal", rmq1.NodeName())
			eventually(t, "the replica is there", func() bool { return w.plan().code == 2 })
			accepted()
		})
	}

	w.tell("then it leaves, and everything is there", func(t *testing.T) {
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		isBlank(t, rmq3)
		holds(t, rmq1, "lonely", 5)
		holds(t, rmq1, "orders", 5)
		holds(t, rmq1, "pair", 5)
		holds(t, rmq1, "kept", 5)
		if slices.Contains(replicated(), "stream") {
			holds(t, rmq1, "journal", 5)
		}
		w.planIsEmpty()
	})
}

// holds waits until a queue has so many messages.
func holds(t *testing.T, h *lab.Host, queue string, messages int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d messages", queue, messages), func() bool {
		for line := range strings.Lines(ctl(t, h, "-q", "list_queues", "--no-table-headers", "name", "messages")) {
			if slices.Equal(strings.Fields(line), []string{queue, fmt.Sprint(messages)}) {
				return true
			}
		}
		return false
	})
}

// queues runs rabbitmq-queues on a host, not through the product.
func queues(t *testing.T, h *lab.Host, args ...string) string {
	t.Helper()
	return on(t, h, append([]string{"runuser", "-u", "rabbitmq", "--", "rabbitmq-queues"}, args...)...)
}

// replica stops, or restarts, the replica of a quorum queue on a node that goes on running.
func replica(t *testing.T, h *lab.Host, name, what string) {
	t.Helper()
	ctl(t, h, "eval", strings.NewReplacer("NAME", name, "WHAT", what).Replace(
		`Q = {list_to_atom("%2F_NAME"), node()}, code:ensure_loaded(ra), ok = case erlang:function_exported(ra, stop_server, 2) of true -> ra:WHAT_server(quorum_queues, Q); false -> ra:WHAT_server(Q) end.`))
}
