package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// commandTimeout bounds every external process whose caller set no deadline.
const commandTimeout = 5 * time.Minute

// CommandError is a command that ran and failed.
type CommandError struct {
	// Host is where it ran, empty for the machine itself.
	Host string
	// Argv is the command.
	Argv []string
	// ExitCode is its exit status, -1 when it was killed or did not start.
	ExitCode int
	// Stdout and Stderr are what it printed.
	Stdout, Stderr string
	// Err is the cause in Go's words.
	Err error
}

// Error names the command, where it ran, how it ended, and the end of what it said.
func (e *CommandError) Error() string {
	var b strings.Builder
	if e.Host != "" {
		fmt.Fprintf(&b, "%s: ", e.Host)
	}
	fmt.Fprintf(&b, "%s: %v", strings.Join(e.Argv, " "), e.Err)
	if said := strings.TrimSpace(e.Stderr + "\n" + e.Stdout); said != "" {
		fmt.Fprintf(&b, ": %s", lastLines(said, 12))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// machine runs a command on the machine itself and returns what it printed.
func machine(ctx context.Context, argv ...string) (string, error) {
	return machineInput(ctx, nil, argv...)
}

func machineInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	return finish(ctx, "", argv, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdin = stdin
		return cmd
	})
}

// finish runs a command to its end and turns a failure into a CommandError. shown is the argv people should read.
func finish(ctx context.Context, host string, shown []string, build func(context.Context) *exec.Cmd) (string, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commandTimeout)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	cmd := build(ctx)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// What a command leaves running in the background may hold its output open for ever.
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil && cmd.ProcessState.Success() {
		err = nil
	}
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	exit := -1
	if cmd.ProcessState != nil {
		exit = cmd.ProcessState.ExitCode()
	}
	return stdout.String(), &CommandError{
		Host: host, Argv: shown, ExitCode: exit, Stdout: stdout.String(), Stderr: stderr.String(), Err: err,
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// poll asks until done says yes, the context ends, or done gives up with an error.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
