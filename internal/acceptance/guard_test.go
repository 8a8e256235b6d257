//go:build linux

package acceptance

import (
	"fmt"
	"strings"
	"testing"

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
	streams := suite.lab.Hosts()[0].Release().RabbitMQ != "3.8"
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2)})
	accepted := func() {
		t.Helper()
		w.planShows("take rabbit@rmq3 out of the cluster of rabbit@rmq1 through rabbit@rmq1")
	}
	accepted()

	w.tell("a classic queue", func(t *testing.T) {
		addQueue(t, rmq3, "/", "baskets", 2)
		w.refuses("data would be lost", "rabbit@rmq3: the only copy of 1 classic queue with 2 messages (baskets in /: 2) would go", "Drain classic queues and delete them, or move them", "allow_data_loss = true")
		ctl(t, rmq3, "delete_queue", "baskets")
		accepted()
	})

	w.tell("a quorum queue on this node alone", func(t *testing.T) {
		declareWith(t, rmq3, "lonely", "quorum", `{<<"x-quorum-initial-group-size">>, long, 1}`)
		publish(t, rmq3, "lonely", 5)
		w.refuses("data would be lost", "rabbit@rmq3: the only copy of 1 quorum queue with", "(lonely in /:", "rabbitmq-queues grow")
		on(t, rmq3, "runuser", "-u", "rabbitmq", "--", "rabbitmq-queues", "grow", "rabbit@rmq1", "all")
		accepted()
	})

	w.tell("a quorum queue of which two of three replicas work", func(t *testing.T) {
		declareWith(t, rmq1, "orders", "quorum", "")
		publish(t, rmq1, "orders", 5)
		replica(t, rmq2, "orders", "stop")
		w.refuses("data would be lost", "rabbit@rmq3: 1 quorum queue with", "(orders in /:", "would be left without a running majority", "Start the members that hold the other replicas", "rabbitmq-queues shrink")
		replica(t, rmq2, "orders", "restart")
		eventually(t, "the replica works again", func() bool { return w.plan().code == 2 })
		accepted()
	})

	if streams {
		w.tell("a stream with one replica", func(t *testing.T) {
			declareWith(t, rmq3, "journal", "stream", `{<<"x-initial-cluster-size">>, long, 1}`)
			publish(t, rmq3, "journal", 5)
			w.refuses("data would be lost", "rabbit@rmq3: the only copy of 1 stream", "(journal in /:", "rabbitmq-streams add_replica")
			on(t, rmq3, "runuser", "-u", "rabbitmq", "--", "/usr/lib/rabbitmq/bin/rabbitmq-streams", "add_replica", "journal", "rabbit@rmq1")
			eventually(t, "the replica is there", func() bool { return w.plan().code == 2 })
			accepted()
		})
	}

	w.tell("then it leaves, and everything is there", func(t *testing.T) {
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		isBlank(t, rmq3)
		want := []string{"lonely\t5", "orders\t5"}
		if streams {
			want = append(want, "journal\t5")
		}
		for _, queue := range want {
			eventually(t, queue, func() bool {
				return strings.Contains(ctl(t, rmq1, "-q", "list_queues", "--no-table-headers", "name", "messages"), queue)
			})
		}
		w.planIsEmpty()
	})
}

// declareWith declares a durable queue of a type on a node, with one more argument. rabbitmqctl has no command for that.
func declareWith(t *testing.T, h *lab.Host, name, kind, argument string) {
	t.Helper()
	if argument != "" {
		argument = ", " + argument
	}
	ctl(t, h, "eval", fmt.Sprintf(`{new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<%q>>), true, false, [{<<"x-queue-type">>, longstr, <<%q>>}%s], none, <<"test">>).`, name, kind, argument))
}

// publish publishes to a queue on a node.
func publish(t *testing.T, h *lab.Host, name string, messages int) {
	t.Helper()
	ctl(t, h, "eval", strings.NewReplacer("VHOST", "/", "NAME", name, "MESSAGES", fmt.Sprint(messages)).Replace(publishing))
}

// replica stops, or restarts, the replica of a quorum queue on a node that goes on running.
func replica(t *testing.T, h *lab.Host, name, what string) {
	t.Helper()
	ctl(t, h, "eval", strings.NewReplacer("NAME", name, "WHAT", what).Replace(
		`Q = {list_to_atom("%2F_NAME"), node()}, code:ensure_loaded(ra), case erlang:function_exported(ra, WHAT_server, 2) of true -> ra:WHAT_server(quorum_queues, Q); false -> ra:WHAT_server(Q) end.`))
}
