//go:build linux

package acceptance

import (
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// What somebody began and nobody sees any more goes on at the node. The next apply waits for its end, and then does what
// is left to do.
func TestLateEffectsAreWaitedForOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3)})
	w.mustApply()
	waits := func(t *testing.T, o outcome) {
		t.Helper()
		log := o.logged()
		waited, acted := strings.Index(log, "waiting for `stop_app"), strings.Index(log, "start_app")
		if waited < 0 {
			t.Error("the apply did not wait for the stop_app that still went on")
		}
		if acted >= 0 && acted < waited {
			t.Error("the apply started the node before it waited")
		}
	}

	w.tell("a stop whose rabbitmqctl was killed", func(t *testing.T) {
		stopsSlowly(t, rmq3)
		begin(t, rmq3, rmq3, "stop_app")
		waits(t, w.mustApply())
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a stop that another member's rabbitmqctl asked for, and was killed", func(t *testing.T) {
		stopsSlowly(t, rmq3)
		begin(t, rmq1, rmq3, "stop_app")
		waits(t, w.mustApply())
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("the same on a member that only its peers reach, and that leaves", func(t *testing.T) {
		stopSSHD(t, rmq3)
		t.Cleanup(func() {
			if err := rmq3.StartSSHD(t.Context()); err != nil {
				t.Error(err)
			}
		})
		stopsSlowly(t, rmq3)
		begin(t, rmq2, rmq3, "stop_app")
		w.write(hcl{members: entries(rmq1, rmq2)})
		waits(t, w.mustApply())
		areOneCluster(t, rmq1, rmq2)
		w.planIsEmpty()
	})
}

// stopsSlowly makes the next stop of a node's application take fifteen seconds.
func stopsSlowly(t *testing.T, h *lab.Host) {
	t.Helper()
	ctl(t, h, "eval", `spawn(fun() -> erlang:suspend_process(whereis(rabbit_sup)), timer:sleep(15000) end), timer:sleep(200).`)
}

// begin begins a command for a node from a host, and kills its rabbitmqctl once the node is at it.
func begin(t *testing.T, from, h *lab.Host, command string) {
	t.Helper()
	on(t, from, "sh", "-c", `runuser -u rabbitmq -- rabbitmqctl -n `+h.NodeName()+` `+command+` >/dev/null 2>&1 </dev/null & sleep 3; pkill -KILL -f 'beam.* -extra .*`+command+`'; wait; ! pgrep -f 'beam.* -extra .*`+command+`'`)
}
