//go:build linux

package acceptance

import (
	"context"
	"errors"
	"os/exec"
	"strings"
)

// A command of a run that is gone goes on at the host, and takes effect in the middle of the next run.

// cliOf is a pattern for the process of RabbitMQ's command line that runs a command, and not for the one that has the
// pattern among its arguments.
func cliOf(command string) string { return "[b]eam.* -extra .*" + command }

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
		_, err := m.host(suite.lab).Run(ctx, "sh", "-c", freezing, "sh", m.command, cliOf(m.command))
		return err
	}
}

// mustRunLate runs the CLI while a command of a run that is gone goes on, and lets that take effect once it is waited for.
func (w *workspace) mustRunLate(m moment, args ...string) outcome {
	w.t.Helper()
	return w.mustWait(strings.Replace(m.command, ofStreams, "eval …", 1), func(ctx context.Context) error {
		_, err := m.host(suite.lab).Run(ctx, "pkill", "-CONT", "-f", cliOf(m.command))
		return err
	}, args...)
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
