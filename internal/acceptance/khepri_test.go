//go:build linux

package acceptance

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// atOnce bounds a run that must not try what needs a majority: such a command alone waits for half a minute at least.
const atOnce = 25 * time.Second

// A Khepri member without a majority answers every read, with what it knew, and can change nothing. So nothing is tried,
// and whoever asks is told at once.
func TestKhepriWithoutMajorityOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	if !onKhepri() {
		t.Skip("Mnesia has no majority")
	}
	w := newWorkspace(t)
	named := `name = "orders"`
	write := func(attributes string, hosts ...*lab.Host) {
		w.write(hcl{members: entries(hosts...), attributes: attributes})
	}
	refusesAtOnce := func(texts ...string) {
		w.t.Helper()
		for _, o := range []outcome{w.plan(), w.apply()} {
			o.fails(texts...).within(atOnce)
			if c := o.changes(); len(c) > 0 {
				w.t.Errorf("%q ran %q", o.args, c)
			}
		}
	}
	write(named, rmq1, rmq2, rmq3)
	w.mustApply()
	ctl(t, rmq1, "add_vhost", "kept")

	w.tell("a dead member of three is forgotten by the two that are left", func(t *testing.T) {
		brokersDie(t, rmq3)
		write(named, rmq1, rmq2)
		w.planShows("forget rabbit@rmq3, which does not run, on rabbit@rmq1")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		w.planIsEmpty()
	})

	w.tell("one of two forgets nobody, not even with allow_data_loss", func(t *testing.T) {
		leads(t, rmq1)
		brokersDie(t, rmq2)
		losesMajority(t, rmq1)
		write(named+"\n  allow_data_loss = true", rmq1)
		refusesAtOnce("the metadata store has no majority, or would lose it", "rabbit@rmq1", "Start the members that are down first")
		if got := clusterStatus(t, rmq1).Disc; len(got) != 2 {
			t.Errorf("rmq1 lists %v", got)
		}
	})

	w.tell("nor is anybody joined", func(t *testing.T) {
		// A node that was forgotten while it was dead waits for its old peers when it starts.
		ctx, cancel := bounded(t)
		defer cancel()
		if err := rmq3.BlankBroker(ctx); err != nil {
			t.Fatal(err)
		}
		write(named, rmq1, rmq3)
		refusesAtOnce("the metadata store has no majority, or would lose it")
		areAlone(t, rmq3)
	})

	w.tell("nor is the cluster named", func(*testing.T) {
		write(`name = "other"`, rmq1)
		refusesAtOnce("the metadata store has no majority, or would lose it")
	})

	w.tell("a plan that changes nothing else says who is down, and that the majority is away", func(*testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2), attributes: named, more: `
data "rabbitmq_cluster" "seen" {
  nodes = { "` + rmq1.NodeName() + `" = { host = "` + rmq1.Address() + `" } }
}

output "majority" { value = data.rabbitmq_cluster.seen.majority }
`})
		w.planShows("running = false -> true", "start the service of rabbit@rmq2", "majority = false").within(atOnce)
	})

	w.tell("with the majority back the rest is done", func(t *testing.T) {
		write(named, rmq1, rmq2, rmq3)
		w.planShows("start the service of rabbit@rmq2", "join rabbit@rmq3")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a plan that was made with a majority is refused at once where there is none any more", func(t *testing.T) {
		write(named, rmq1)
		w.planShows("take rabbit@rmq2 out of orders", "take rabbit@rmq3 out of orders")
		leads(t, rmq2)
		brokersDie(t, rmq2, rmq3)
		losesMajority(t, rmq1)
		o := w.run("apply", "-no-color", "plan.bin").fails("the metadata store has no majority, or would lose it").within(atOnce)
		if c := o.changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		write(named, rmq1, rmq2, rmq3)
		w.planShows("start the service of rabbit@rmq2", "start the service of rabbit@rmq3")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			if !slices.Contains(vhosts(t, h), "kept") {
				t.Errorf("%s has lost the vhost", h.Name())
			}
		}
	})
}

// The majority goes in the middle of a step. RabbitMQ's command waits for it and fails; what it left is told, and the
// next apply goes on.
func TestKhepriLosesItsMajorityMidwayOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	if !onKhepri() {
		t.Skip("Mnesia has no majority")
	}
	w := newWorkspace(t)
	write := func(attributes string, hosts ...*lab.Host) {
		w.write(hcl{members: entries(hosts...), attributes: "name = \"orders\"\n" + attributes})
	}
	write("", rmq1, rmq2, rmq3)
	w.mustApply()
	ctl(t, rmq1, "add_vhost", "kept")

	w.tell("of a leave, while the leaver stops", func(t *testing.T) {
		write("", rmq1, rmq2)
		o := w.applyStruck(moment{"stop_app", first, true}, rmq2.KillBroker) // which a peer asks for
		o.fails("could not take rabbit@rmq3 out of orders", "Afterwards:", "apply again")
		w.planShows("start the service of rabbit@rmq2")
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		isBlank(t, rmq3)
		w.planIsEmpty()
	})

	w.tell("of a join, when it is asked for", func(t *testing.T) {
		write("", rmq1, rmq2, rmq3)
		o := w.applyStruck(moment{"join_cluster", third, true}, rmq2.KillBroker)
		o.fails("could not join rabbit@rmq3 to orders", "Afterwards:", "apply again")
		w.planShows("start the service of rabbit@rmq2")
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("of a start that ends with its timeout: the majority does not come", func(t *testing.T) {
		notAtBoot(t, rmq1, rmq2)
		off(t, rmq1, rmq2)
		losesMajority(t, rmq3)
		ctx, cancel := bounded(t)
		defer cancel()
		if err := rmq3.StopBroker(ctx); err != nil {
			t.Fatal(err)
		}
		w.hasty()
		write("timeouts = { update = \"30s\" }", rmq1, rmq2, rmq3)
		o := w.apply().fails("could not start the service of rabbit@rmq3", "rabbit@rmq3 is booting", "until more than half of the members are up",
			"The safe way is to bring them back").within(2 * time.Minute)
		if c := o.changes(); countOf(c, "forget_cluster_node")+countOf(c, "reset") > 0 {
			t.Errorf("it ran %q", c)
		}
		bootHosts(t, rmq1, rmq2)
		write("", rmq1, rmq2, rmq3)
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3)
		for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			if !slices.Contains(vhosts(t, h), "kept") {
				t.Errorf("%s has lost the vhost", h.Name())
			}
		}
		w.planIsEmpty()
	})
}

// applyStruck applies, and does something at a moment, which must come.
func (w *workspace) applyStruck(m moment, strike func(context.Context) error) outcome {
	w.t.Helper()
	came := errors.New("it did not come")
	o := w.watch(func(ctx context.Context, _ *exec.Cmd, log string) {
		for line := range follow(ctx, log) {
			if m.comes(line) {
				ctx, cancel := bounded(w.t)
				defer cancel()
				came = strike(ctx)
				return
			}
		}
	}, "apply", "-no-color", "-auto-approve")
	if came != nil {
		w.t.Fatalf("%s: %v", m, came)
	}
	return o
}

// brokersDie kills brokers as kill -9 does.
func brokersDie(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	each(hosts, func(h *lab.Host) {
		ctx, cancel := bounded(t)
		defer cancel()
		if err := h.KillBroker(ctx); err != nil {
			t.Error(err)
		}
	})
}

// losesMajority waits until a Khepri member sees no more than half of the members, whatever its Raft state is by then.
func losesMajority(t *testing.T, h *lab.Host) {
	t.Helper()
	eventually(t, h.Name()+" notices that the majority is away", func() bool {
		s := clusterStatus(t, h)
		return 2*len(s.Running) <= len(s.Disc)
	})
}

// leads makes a member the leader of the metadata store, which it goes on to be when all others are gone.
func leads(t *testing.T, h *lab.Host) {
	t.Helper()
	eventually(t, h.Name()+" leads the metadata store", func() bool {
		return strings.Contains(ctl(t, h, "eval", `
			{ok, _, {Store, Leader}} = ra:members({rabbitmq_metadata, node()}),
			Leader =:= node() orelse ra:transfer_leadership({Store, Leader}, {Store, node()}).`), "true")
	})
}
