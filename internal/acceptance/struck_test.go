//go:build linux

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// A change of a cluster that is struck at any moment, by whatever can strike it, is made up for by the next apply: the
// plan before it tells the truth, nobody is joined twice, and nobody who lives is forgotten.

// strike is what can happen in the middle of a run.
type strike struct {
	name string
	do   func(w *workspace, m moment, cmd *exec.Cmd) error
	// mend is what an operator does afterwards that no provider can do.
	mend func(t *testing.T)
	// violent tells that a command that it interrupts may have begun in vain.
	violent bool
	// unnoticed tells that the run may succeed all the same.
	unnoticed bool
	// late tells that the command takes effect in the middle of the next run.
	late bool
}

func providerKilled() strike {
	return strike{name: "the provider is killed", do: func(w *workspace, _ moment, cmd *exec.Cmd) error { return w.killProvider(cmd) }}
}

// commandDelayed kills the provider, and its command goes on in the middle of the next run.
func commandDelayed() strike {
	return strike{name: "the provider is killed and its command comes late", late: true, do: func(w *workspace, m moment, cmd *exec.Cmd) error { return w.delayed(m)(cmd) }}
}

func cliKilled() strike {
	return strike{name: "Terraform is killed", do: func(_ *workspace, _ moment, cmd *exec.Cmd) error { return killCLI(cmd) }}
}

// connectionCut ends the SSH connections to a host at the host's end.
func connectionCut(h *lab.Host) strike {
	return strike{name: "the SSH connection to " + h.Name() + " is cut", unnoticed: true, do: func(w *workspace, _ moment, _ *exec.Cmd) error {
		ctx, cancel := bounded(w.t)
		defer cancel()
		_, err := h.Run(ctx, "sh", "-c", "pkill -KILL -f '^sshd(-session)?: "+lab.User+"' || true")
		return err
	}}
}

// brokerKilled ends a broker as kill -9 does.
func brokerKilled(h *lab.Host) strike {
	return strike{name: "the broker of " + h.Name() + " is killed", violent: true, unnoticed: true, do: func(w *workspace, _ moment, _ *exec.Cmd) error {
		ctx, cancel := bounded(w.t)
		defer cancel()
		return h.KillBroker(ctx)
	}}
}

// and makes something with a host after a strike.
func (s strike) and(do func(context.Context) error) strike {
	s.mend = func(t *testing.T) {
		t.Helper()
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// plugPulled cuts the power of a host, which boots again.
func plugPulled(h *lab.Host) strike {
	return strike{name: "the plug of " + h.Name() + " is pulled", violent: true, do: func(w *workspace, _ moment, _ *exec.Cmd) error {
		ctx, cancel := bounded(w.t)
		defer cancel()
		return h.PullPlug(ctx)
	}}.and(h.Boot)
}

// storm counts the moments at which runs were struck.
type storm struct {
	w      *workspace
	struck int
}

// strikes runs the CLI, strikes it at a moment, and looks at the next plan, which must not be an error.
func (s *storm) strikes(m moment, with strike, args ...string) {
	w := s.w
	w.t.Helper()
	came := errors.New("it did not come")
	o := w.watch(func(ctx context.Context, cmd *exec.Cmd, log string) {
		for line := range follow(ctx, log) {
			if m.comes(line) {
				came = with.do(w, m, cmd)
				return
			}
		}
	}, append(args, "-no-color", "-auto-approve")...)
	if came != nil {
		w.t.Fatalf("%s %s: %v", with.name, m, came)
	}
	if o.code == 0 && !with.unnoticed {
		w.t.Fatalf("the run did not notice that %s %s", with.name, m)
	}
	s.struck++
	if with.mend != nil {
		with.mend(w.t)
	}
	if args[0] == "apply" {
		if o := w.plan(); o.code == 1 {
			w.t.Fatalf("after %s %s the plan is an error", with.name, m)
		}
	}
}

// goesOn runs the CLI again, to its end.
func (s *storm) goesOn(m moment, with strike, args ...string) {
	s.w.t.Helper()
	args = append(args, "-no-color", "-auto-approve")
	if with.late {
		s.w.mustRunLate(m, args...)
	} else {
		s.w.run(args...).succeeds()
	}
}

// hit is a strike and when it comes; round is a leave and a join, each of them hit.
type (
	hit struct {
		moment
		strike
	}
	round struct{ leave, join hit }
)

// A member leaves and comes back, and each time something strikes.
func TestStruckLeavesAndJoinsGoOn(t *testing.T) {
	full(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	leavesAndJoins(t, rmq1, rmq2, rmq3, []round{
		{hit{moment{"shrink", first, true}, commandDelayed()}, hit{moment{"stop_app", third, true}, connectionCut(rmq3)}},
		{hit{moment{"shrink", first, false}, cliKilled()}, hit{moment{"join_cluster", third, true}, connectionCut(rmq3)}},
		{hit{moment{"stop_app", first, true}, connectionCut(rmq1)}, hit{moment{"join_cluster", third, true}, brokerKilled(rmq3)}},
		// It is forgotten while it is down, and could never start with what it has.
		{hit{moment{"stop_app", first, false}, brokerKilled(rmq3).and(rmq3.BlankBroker)}, hit{moment{"join_cluster", third, false}, connectionCut(rmq3)}},
	})
}

// The same where more of the leave, or of the join, is done.
func TestLateStruckLeavesAndJoinsGoOn(t *testing.T) {
	full(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	leavesAndJoins(t, rmq1, rmq2, rmq3, []round{
		{hit{moment{"forget_cluster_node", first, true}, commandDelayed()}, hit{moment{"join_cluster", third, true}, brokerKilled(rmq1)}},
		{hit{moment{"forget_cluster_node", first, false}, providerKilled()}, hit{moment{"join_cluster", third, true}, plugPulled(rmq3)}},
		{hit{moment{"reset", first, true}, commandDelayed()}, hit{moment{"stop_app", third, true}, connectionCut(rmq3)}},
	})
}

func leavesAndJoins(t *testing.T, rmq1, rmq2, rmq3 *lab.Host, rounds []round) {
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	for _, kind := range replicated() {
		declare(t, rmq1, kind, kind, 5)
	}
	s := &storm{w: newWorkspace(t)}
	w := s.w
	two, three := hcl{members: entries(rmq1, rmq2)}, hcl{members: entries(rmq1, rmq2, rmq3)}
	w.write(three)
	w.mustApply()
	for _, struck := range rounds {
		leave, join := struck.leave, struck.join
		w.tell(fmt.Sprintf("a removal: %s %s", leave.name, leave.moment), func(t *testing.T) {
			queues(t, rmq1, "grow", rmq3.NodeName(), "all")
			w.write(two)
			s.strikes(leave.moment, leave.strike, "apply")
			s.goesOn(leave.moment, leave.strike, "apply")
			areOneCluster(t, rmq1, rmq2)
			areAlone(t, rmq3)
			isBlank(t, rmq3)
		})
		w.tell(fmt.Sprintf("a join: %s %s", join.name, join.moment), func(t *testing.T) {
			w.write(three)
			before := joins(t, rmq3)
			s.strikes(join.moment, join.strike, "apply")
			s.goesOn(join.moment, join.strike, "apply")
			areOneCluster(t, rmq1, rmq2, rmq3)
			if n := joins(t, rmq3) - before; n > 1 && (!join.starts || !join.violent) {
				t.Errorf("rmq3 was joined %d times", n)
			}
			w.planIsEmpty()
		})
	}
	for _, kind := range replicated() {
		holds(t, rmq1, kind, 5)
	}
	s.tells("leaves and joins")
}

// tells prints how often a run was struck.
func (s *storm) tells(what string) {
	fmt.Printf("real hosts: %s were struck at %d moments\n", what, s.struck)
}
