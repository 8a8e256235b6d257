//go:build linux

package acceptance

import (
	"context"
	"errors"
	"os/exec"
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
	// waits applies, and lets the stop go on once the apply says that it waits for it.
	waits := func() {
		w.t.Helper()
		w.mustWait("`stop_app", func(ctx context.Context) error { return released(ctx, rmq3) }, "apply", "-no-color", "-auto-approve")
	}

	// While the node still runs there is nothing to do for it, so that each apply has something else to do.
	w.tell("a stop whose rabbitmqctl was killed", func(t *testing.T) {
		holdsStop(t, rmq3)
		begin(t, rmq3, rmq3, "rabbitmqctl -n $1 stop_app", cliOf("stop_app"))
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "first"`})
		waits()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a stop that another member's rabbitmqctl asked for, and was killed", func(t *testing.T) {
		holdsStop(t, rmq3)
		begin(t, rmq1, rmq3, "rabbitmqctl -n $1 stop_app", cliOf("stop_app"))
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "second"`})
		waits()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a stop that an erl_call asked for, and was killed", func(t *testing.T) {
		holdsStop(t, rmq3)
		begin(t, rmq1, rmq3, `erl_call -r -sname $1 -a "rabbit stop"`, "[e]rl_call .* -a rabbit stop")
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "third"`})
		waits()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("one that does not end in time is named, with its place", func(t *testing.T) {
		frozen(t, rmq3, "stop_app")
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: "name = \"orders\"\n  timeouts = { update = \"10s\" }"})
		o := w.apply().fails("Unable to change the cluster", "stop_app` still goes on at rabbit@rmq3 (host "+rmq3.Address()+")", "wait for its end, then apply again, or give this run more time")
		if c := o.changes(); len(c) > 0 {
			t.Errorf("meanwhile it ran %q", c)
		}
		on(t, rmq3, "pkill", "-CONT", "-f", cliOf("stop_app"))
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})
}

// holdsStop makes the next stop of a node's application last until it is released.
func holdsStop(t *testing.T, h *lab.Host) {
	t.Helper()
	ctl(t, h, "eval", `P = spawn(fun() -> erlang:suspend_process(whereis(rabbit_sup)), receive go -> ok end end), register(held, P), timer:sleep(200).`)
}

func released(ctx context.Context, h *lab.Host) error {
	_, err := h.Rabbitmqctl(ctx, "eval", "held ! go.")
	return err
}

// begin begins a stop of a node from a host by a command, and kills its process once the node is at it.
func begin(t *testing.T, from, h *lab.Host, command, process string) {
	t.Helper()
	on(t, from, "sh", "-c", `runuser -u rabbitmq -- `+command+` >/dev/null 2>&1 </dev/null &`, "sh", h.NodeName())
	eventually(t, h.Name()+" is stopping", func() bool {
		return strings.Contains(ctl(t, h, "-q", "eval", `[found || P <- processes(), P =/= self(), {backtrace, B} <- [process_info(P, backtrace)], binary:match(B, <<"(rabbit:stop/">>) =/= nomatch].`), "found")
	})
	on(t, from, "pkill", "-KILL", "-f", process)
}

// frozen begins a command on a host, and stops it where it is.
func frozen(t *testing.T, h *lab.Host, command string) {
	t.Helper()
	on(t, h, "sh", "-c", `runuser -u rabbitmq -- rabbitmqctl $1 >/dev/null 2>&1 </dev/null & `+freezing, "sh", command, cliOf(command))
}

// cliOf is a pattern for the process of RabbitMQ's command line that runs a command, and not for the one that has the
// pattern among its arguments.
func cliOf(command string) string { return "[-]extra [^ ]*/rabbitmq[a-z-]* .*" + command }

// freezing stops the process of the pattern $2 as soon as it is there.
const freezing = `for i in $(seq 100); do pkill -STOP -f "$2" && exit; sleep 0.05; done; exit 1`

// delayed kills the provider when a command starts, and stops that command before it has done anything: it takes effect
// when somebody lets it go on.
func (w *workspace) delayed(m moment) func(cmd *exec.Cmd) error {
	return func(cmd *exec.Cmd) error {
		if err := w.killProvider(cmd); err != nil {
			return err
		}
		ctx, cancel := bounded(w.t)
		defer cancel()
		return m.freeze(ctx)
	}
}

// freeze stops the command that starts at the moment before it has done anything.
func (m moment) freeze(ctx context.Context) error {
	_, err := m.host(suite.lab).Run(ctx, "sh", "-c", freezing, "sh", m.command, cliOf(m.command))
	return err
}

// thaw lets it go on.
func (m moment) thaw(ctx context.Context) error {
	// A sudo stops itself when what it runs is stopped, and counts as running until it sees the end of that.
	_, err := m.host(suite.lab).Run(ctx, "sh", "-c", `pkill -CONT -f "$1" && pkill -CONT -x sudo`, "sh", cliOf(m.command))
	return err
}

// mustRunLate runs the CLI while a command of a run that is gone goes on, and lets that take effect once it is waited for.
func (w *workspace) mustRunLate(m moment, args ...string) outcome {
	w.t.Helper()
	return w.mustWait(strings.Replace(m.command, ofStreams, "eval …", 1), m.thaw, args...)
}

// mustWait runs the CLI to a good end. It waits for a command that goes on before it changes anything; the command is
// released then.
func (w *workspace) mustWait(command string, release func(context.Context) error, args ...string) outcome {
	w.t.Helper()
	var before []string
	waited := errors.New("it did not wait")
	o := w.watch(func(ctx context.Context, _ *exec.Cmd, log string) {
		for line := range follow(ctx, log) {
			if c, ok := parseChange(line); ok && c.starts {
				before = append(before, c.args)
			}
			if strings.Contains(line, "waiting for `") && strings.Contains(line, command) {
				waited = release(ctx)
				return
			}
		}
	}, args...).succeeds()
	if waited != nil {
		w.t.Fatalf("%s still went on: %v", command, waited)
	}
	if len(before) > 0 {
		w.t.Errorf("before the end of %s it ran %q", command, before)
	}
	return o
}
