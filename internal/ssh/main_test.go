package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv("SSH_AUTH_SOCK") // a developer's agent is no part of a test
	goleak.VerifyTestMain(m)
}

// newPool makes a pool that is impatient where the real one is patient, and logs to the test.
func newPool(t *testing.T) *Pool {
	t.Helper()
	p, _ := newLoggedPool(t)
	return p
}

func newLoggedPool(t *testing.T) (*Pool, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	p := NewPool(Options{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	p.backoff = func(int) time.Duration { return time.Millisecond }
	p.termGrace, p.closeGrace = 20*time.Millisecond, 20*time.Millisecond
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, log
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// configFor is how a user would reach the server: with a key, and its host key pinned.
func configFor(t *testing.T, s *sshtest.Server) Config {
	t.Helper()
	key, _ := sshtest.NewPrivateKey(t, "")
	return Config{
		Host: s.Host(), Port: s.Port(), User: "deploy", PrivateKey: Secret(key), HostKey: []string{s.HostKeyLine()},
		KnownHostsFiles: []string{filepath.Join(t.TempDir(), "none")},
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // only so that a hang names itself
	t.Cleanup(cancel)
	return ctx
}

// run runs a line and expects it to give an exit code.
func run(t *testing.T, r interface {
	Run(context.Context, string, io.Reader, io.Writer, io.Writer) (int, error)
}, line, stdin string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	var in io.Reader
	if stdin != "" {
		in = strings.NewReader(stdin)
	}
	code, err := r.Run(testContext(t), line, in, &out, &errs)
	if err != nil {
		t.Fatalf("run %q: %v", line, err)
	}
	return code, out.String(), errs.String()
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

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// onceThen is a backoff that does something when the first attempt has failed.
func onceThen(do func()) func(int) time.Duration {
	return func(attempt int) time.Duration {
		if attempt == 1 {
			do()
		}
		return time.Millisecond
	}
}

var discard = slog.New(slog.DiscardHandler)

// told gives a writer and a channel that is closed once the text was written to it.
func told(text string) (io.Writer, <-chan struct{}) {
	seen := make(chan struct{})
	var once sync.Once
	var all strings.Builder
	return writerFunc(func(p []byte) (int, error) {
		all.Write(p)
		if strings.Contains(all.String(), text) {
			once.Do(func() { close(seen) })
		}
		return len(p), nil
	}), seen
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
