package remote

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "25"); err != nil { // each starts a shell; -rapid.checks on the command line wins
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // only so that a hang names itself
	t.Cleanup(cancel)
	return ctx
}

// runnerFunc is a Runner.
type runnerFunc func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error)

func (f runnerFunc) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	return f(ctx, line, stdin, stdout, stderr)
}

// local runs lines in a shell of this machine, as this user.
func local(shell string, env ...string) runnerFunc {
	return func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
		cmd := exec.CommandContext(ctx, shell, "-c", line) //nolint:gosec // G204: what a test runs
		cmd.Stdout, cmd.Stderr = stdout, stderr
		if env != nil {
			cmd.Env = env
		}
		if stdin != nil { // not as cmd.Stdin: the command may end before its input does
			input, err := cmd.StdinPipe()
			if err != nil {
				return -1, err
			}
			go func() {
				_, _ = io.Copy(input, stdin)
				_ = input.Close()
			}()
		}
		err := cmd.Run()
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			return exit.ExitCode(), nil
		}
		return 0, err
	}
}

// answers lets a host pass its probe as deploy, and then answers commands.
func answers(f runnerFunc) runnerFunc {
	return func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
		if nonce, ok := isProbe(line); ok {
			_, _ = io.WriteString(stdout, nonce+"\ndeploy\n1000\nyes\n"+nonce+"\n")
			return 0, nil
		}
		return f(ctx, line, stdin, stdout, stderr)
	}
}

func isProbe(line string) (nonce string, ok bool) {
	if !strings.Contains(line, "id -un; id -u") {
		return "", false
	}
	return line[strings.LastIndex(line, " ")+1:], true
}

func says(text string, code int) runnerFunc {
	return func(_ context.Context, _ string, _ io.Reader, _, stderr io.Writer) (int, error) {
		_, _ = io.WriteString(stderr, text)
		return code, nil
	}
}

func as[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("error is %T %v, want %T", err, err, want)
	}
	return want
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not hold %q", text, part)
		}
	}
}

// waitUntil polls a state that nothing tells of.
func waitUntil(t *testing.T, reached func() bool) {
	t.Helper()
	for ctx := testContext(t); !reached(); {
		select {
		case <-ctx.Done():
			t.Fatal("never came about")
		case <-time.After(time.Millisecond):
		}
	}
}

func succeed(t *testing.T, h *Host, c Command) string {
	t.Helper()
	result, err := h.Run(testContext(t), c)
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("%q as %q: exit code %d, %v, %s", c.Args, c.User, result.ExitCode, err, result.Stderr)
	}
	return string(bytes.TrimSuffix(result.Stdout, []byte("\n")))
}
