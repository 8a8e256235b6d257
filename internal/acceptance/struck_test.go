//go:build linux

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
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

// Node types change, and a cluster ends, and each time something strikes.
func TestStruckTypesAndDissolvesGoOn(t *testing.T) {
	full(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	s := &storm{w: newWorkspace(t)}
	three := hcl{members: entries(rmq1, rmq2, rmq3)}
	s.w.write(three)
	s.w.mustApply()
	s.types(rmq1, rmq2, rmq3)
	s.dissolves(three, rmq1, rmq2, rmq3)
	s.tells("type changes and dissolves")
}

// types strikes changes of a node type, there and back.
func (s *storm) types(rmq1, rmq2, rmq3 *lab.Host) {
	if !strings.Contains("3.8 3.10 4.0", rmq1.Release().RabbitMQ) { // it has no types
		return
	}
	w := s.w
	for _, c := range []struct {
		kind string
		moment
		strike
	}{
		{"ram", moment{"stop_app", third, false}, providerKilled()},
		{"disc", moment{"change_cluster_node_type", third, true}, commandDelayed()},
		{"ram", moment{"change_cluster_node_type", third, true}, connectionCut(rmq3)},
		{"disc", moment{"change_cluster_node_type", third, false}, providerKilled()},
		{"ram", moment{"change_cluster_node_type", third, true}, brokerKilled(rmq3)},
		{"disc", moment{"start_app", third, true}, providerKilled()},
	} {
		w.tell(fmt.Sprintf("a change to %s: %s %s", c.kind, c.name, c.moment), func(t *testing.T) {
			w.write(hcl{members: entries(rmq1, rmq2) + entry(rmq3, fmt.Sprintf("type = %q", c.kind))})
			s.strikes(c.moment, c.strike, "apply")
			s.goesOn(c.moment, c.strike, "apply")
			status := clusterStatus(t, rmq1)
			if got := len(status.RAM); got != map[string]int{"ram": 1, "disc": 0}[c.kind] || len(status.Running) != 3 {
				t.Errorf("the cluster is %+v", status)
			}
			w.planIsEmpty()
		})
	}
}

// dissolves strikes the end of a cluster.
func (s *storm) dissolves(three hcl, hosts ...*lab.Host) {
	w := s.w
	for _, c := range []struct {
		moment
		strike
	}{
		{moment{"stop_app", first, false}, providerKilled()},
		{moment{"forget_cluster_node", first, false}, providerKilled()},
		{moment{"reset", first, true}, commandDelayed()},
		{moment{"start_app", first, false}, connectionCut(hosts[0])},
	} {
		w.tell(fmt.Sprintf("a destroy: %s %s", c.name, c.moment), func(t *testing.T) {
			w.write(three)
			w.mustApply()
			areOneCluster(t, hosts...)
			s.strikes(c.moment, c.strike, "destroy")
			s.goesOn(c.moment, c.strike, "destroy")
			areAlone(t, hosts...)
			w.hasNoState()
		})
	}
}

// A joiner whose disk is full keeps nothing of a join, and joins once there is room.
func TestJoinerWithAFullDisk(t *testing.T) {
	full(t)
	long(t)
	rmq1, rmq2, _ := blank(t)
	const data = "/var/lib/rabbitmq/mnesia"
	on(t, rmq2, "sh", "-c", "systemctl stop rabbitmq-server; mount -t tmpfs -o size=64m,mode=0750,uid=$(id -u rabbitmq),gid=$(id -g rabbitmq) tmpfs "+data)
	t.Cleanup(func() {
		on(t, rmq2, "sh", "-c", "systemctl stop rabbitmq-server; umount -l "+data+"; systemctl reset-failed rabbitmq-server || true")
	})
	if err := rmq2.StartBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2)})
	on(t, rmq2, "sh", "-c", "dd if=/dev/zero of="+data+"/filler bs=1M 2>/dev/null; dd if=/dev/zero of="+data+"/filler2 bs=512 2>/dev/null; df "+data)

	o := w.apply()
	t.Logf("with a full disk the apply ended with exit code %d", o.code)
	if o.code == 1 {
		o.shows("Unable to create the cluster", "rabbit@rmq2")
	}
	if p := w.plan(); p.code == 1 && !strings.Contains(p.output, "rabbit@rmq2") {
		t.Error("the plan does not name the node")
	}
	on(t, rmq2, "rm", "-f", data+"/filler", data+"/filler2")
	w.mustApply()
	areOneCluster(t, rmq1, rmq2)
	w.planIsEmpty()
}

// A rotation of the cookie that is struck at any of its steps is finished by the next apply, without a node going down.
func TestStruckRotationGoesOn(t *testing.T) {
	full(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	t.Cleanup(func() { // the tests after this one share a cookie
		for _, h := range hosts {
			writeCookie(t, h, sharedCookie)
			on(t, h, "sh", "-c", "rm -f "+cookieFile+".*")
		}
	})
	w := newWorkspace(t)
	w.blocks(nodes(hosts...) + cookieBlocks)
	w.wantCookie(newCookie(), 1)
	w.mustApply()
	version, struck := 1, 0
	for _, step := range []struct{ word, text string }{{"umask 077", "its file is written"}, {"set_cookie", "the broker takes it"}} {
		for _, starts := range []bool{true, false} {
			for nth := 1; nth <= 3; nth++ {
				w.tell(fmt.Sprintf("host %d, %s, %s", nth, step.text, map[bool]string{true: "begin", false: "end"}[starts]), func(t *testing.T) {
					cookie := newCookie()
					version++
					w.wantCookie(cookie, version)
					kind, seen := map[bool]string{true: "remote command starts", false: "remote command ended"}[starts], 0
					w.applyKilledWhen(func(line string) bool {
						if strings.Contains(line, kind) && strings.Contains(line, step.word) {
							seen++
						}
						return seen == nth
					})
					struck++
					w.mustApply()
					haveCookie(t, cookie, hosts...)
					areOneCluster(t, hosts...)
				})
			}
		}
	}
	w.planIsEmpty()
	fmt.Printf("real hosts: rotations were struck at %d moments\n", struck)
}
