package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// script answers lines by name, so that each test reads as a conversation.
func script(answers map[string]sshtest.Exec) func(*sshtest.Server) {
	return func(s *sshtest.Server) {
		s.Exec = func(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
			if answer := answers[line]; answer != nil {
				return answer(ctx, user, line, stdin, stdout, stderr)
			}
			return 0
		}
	}
}

// until gives a command that tells when it runs and then waits for its context, as one that ends at a signal does.
func until(running chan<- struct{}) sshtest.Exec {
	return func(ctx context.Context, _, _ string, stdin io.Reader, stdout, _ io.Writer) int {
		running <- struct{}{}
		_, _ = io.Copy(stdout, stdin)
		<-ctx.Done()
		return 143
	}
}

// deaf gives a command that ignores every signal and its session's end, until released.
func deaf(running chan<- struct{}, released <-chan struct{}) sshtest.Exec {
	return func(_ context.Context, _, _ string, stdin io.Reader, stdout, _ io.Writer) int {
		running <- struct{}{}
		_, _ = io.Copy(stdout, stdin)
		<-released
		return 0
	}
}

func TestRunGivesStreamsAndExitCode(t *testing.T) {
	s := sshtest.New(t, script(map[string]sshtest.Exec{
		"cat": func(_ context.Context, user, _ string, stdin io.Reader, stdout, stderr io.Writer) int {
			n, _ := io.Copy(stdout, stdin)
			_, _ = fmt.Fprintf(stderr, "%d bytes from %s", n, user)
			return 3
		},
	}))
	h := newPool(t).Host(configFor(t, s))
	for _, input := range []string{"", "hello\x00\xff\n", strings.Repeat("x", 5<<20)} {
		code, stdout, stderr := run(t, h, "cat", input)
		if code != 3 || stdout != input || stderr != fmt.Sprintf("%d bytes from deploy", len(input)) {
			t.Errorf("%d bytes in: code %d, %d bytes out, stderr %q", len(input), code, len(stdout), stderr)
		}
	}
	if got := s.Stats(); got.Connections != 1 || got.Commands != 3 {
		t.Errorf("%+v: three commands should share one connection", got)
	}
}

func TestRunDoesNotWaitForInputNobodyReads(t *testing.T) {
	s := sshtest.New(t, script(map[string]sshtest.Exec{
		"ignore": func(context.Context, string, string, io.Reader, io.Writer, io.Writer) int { return 7 },
	}))
	// More than a channel's window, so that writing it blocks.
	if code, _, _ := run(t, newPool(t).Host(configFor(t, s)), "ignore", strings.Repeat("x", 8<<20)); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

func TestCommandsEndWithTheirContext(t *testing.T) {
	released := make(chan struct{})
	s := sshtest.New(t, script(map[string]sshtest.Exec{"obedient": until(make(chan struct{}, 1)), "deaf": deaf(make(chan struct{}, 1), released)}))
	defer close(released)
	h := newPool(t).Host(configFor(t, s))
	for _, line := range []string{"obedient", "deaf"} {
		t.Run(line, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(testContext(t))
			stdout, running := told("echo") // what comes back was sent after the command had begun
			go func() { <-running; cancel(errors.New("the operator pressed ^C")) }()
			_, err := h.Run(ctx, line, strings.NewReader("echo"), stdout, nil)
			interrupted := as[*InterruptedError](t, err)
			if !interrupted.Started {
				t.Error("it had started")
			}
			contains(t, err.Error(), "the operator pressed ^C", "may still be running", s.Addr())
		})
	}
}

func TestConnectionLostWhileCommandRuns(t *testing.T) {
	running := make(chan struct{}, 1)
	s := sshtest.New(t, script(map[string]sshtest.Exec{"long": until(running)}))
	h := newPool(t).Host(configFor(t, s))
	go func() { <-running; s.Disconnect() }()
	_, err := h.Run(testContext(t), "long", nil, nil, nil)
	if lost := as[*ConnectionLostError](t, err); !lost.Started {
		t.Error("the command had started")
	}
	contains(t, err.Error(), "may have run", s.Addr(), "deploy")
	if got := s.Stats().Commands; got != 1 {
		t.Errorf("the command was sent %d times", got)
	}
	run(t, h, "next", "") // over a new connection
}

func TestCommandIsSentAgainOnlyWhenItWasNeverSent(t *testing.T) {
	s := sshtest.New(t)
	p := newPool(t)
	cfg := configFor(t, s)
	client, err := p.Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Disconnect()
	<-client.gone
	_, err = client.Run(testContext(t), "late", nil, nil, nil)
	if lost := as[*ConnectionLostError](t, err); lost.Started {
		t.Error("nothing was sent over a dead connection")
	}
	run(t, p.Host(cfg), "late", "")
	if got := s.Stats().Commands; got != 1 {
		t.Errorf("the command was sent %d times", got)
	}
}

// The connection breaks while a session is asked for: the command was not sent, and the connection is not used again.
func TestConnectionLostWhileSessionOpens(t *testing.T) {
	s := sshtest.New(t)
	proxy := sshtest.NewProxy(t, s.Addr())
	cfg := configFor(t, s)
	cfg.Port = proxy.Port()
	client, err := newPool(t).Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Freeze()
	opening := make(chan error, 1)
	go func() {
		_, err := client.Run(testContext(t), "x", nil, nil, nil)
		opening <- err
	}()
	waitUntil(t, func() bool {
		client.sessions.mu.Lock()
		defer client.sessions.mu.Unlock()
		return client.sessions.taken == 1
	})
	proxy.Close()
	if lost := as[*ConnectionLostError](t, <-opening); lost.Started {
		t.Error("nothing was sent")
	}
}

// The network vanishes without a word: no read, write or close ever returns.
func TestKeepaliveEndsHalfOpenConnection(t *testing.T) {
	running := make(chan struct{}, 1)
	s := sshtest.New(t, script(map[string]sshtest.Exec{"long": until(running)}))
	proxy := sshtest.NewProxy(t, s.Addr())
	cfg := configFor(t, s)
	cfg.Port, cfg.KeepaliveInterval = proxy.Port(), 10*time.Millisecond
	h := newPool(t).Host(cfg)
	go func() { <-running; proxy.Freeze() }()
	_, err := h.Run(testContext(t), "long", nil, nil, nil)
	as[*ConnectionLostError](t, err)
	contains(t, err.Error(), "no answer to 3 keepalives")
}

func TestKeepaliveSparesLivingConnection(t *testing.T) {
	running, released := make(chan struct{}, 1), make(chan struct{})
	s := sshtest.New(t, script(map[string]sshtest.Exec{"long": deaf(running, released)}))
	cfg := configFor(t, s)
	cfg.KeepaliveInterval = time.Millisecond
	p := newPool(t)
	client, err := p.Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := client.Run(testContext(t), "long", nil, nil, nil)
		ended <- err
	}()
	<-running
	waitUntil(t, func() bool { return s.Stats().Keepalives >= 3*keepaliveMisses })
	close(released)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCancelOnHalfOpenConnectionReturns(t *testing.T) {
	running := make(chan struct{}, 1)
	s := sshtest.New(t, script(map[string]sshtest.Exec{"long": until(running)}))
	proxy := sshtest.NewProxy(t, s.Addr())
	cfg := configFor(t, s)
	cfg.Port = proxy.Port()
	h := newPool(t).Host(cfg)
	ctx, cancel := context.WithCancel(testContext(t))
	go func() { <-running; proxy.Freeze(); cancel() }()
	_, err := h.Run(ctx, "long", nil, nil, nil)
	if !as[*InterruptedError](t, err).Started {
		t.Error("it had started")
	}
}

func TestCancelWhileSessionOpensReturns(t *testing.T) {
	s := sshtest.New(t)
	proxy := sshtest.NewProxy(t, s.Addr())
	cfg := configFor(t, s)
	cfg.Port = proxy.Port()
	client, err := newPool(t).Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Freeze()
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	_, err = client.Run(ctx, "x", nil, nil, nil)
	if as[*InterruptedError](t, err).Started {
		t.Error("nothing can have started")
	}
}

func TestFailingWriterEndsCommand(t *testing.T) {
	s := sshtest.New(t, script(map[string]sshtest.Exec{
		"endless": func(ctx context.Context, _, _ string, _ io.Reader, stdout, stderr io.Writer) int {
			for ctx.Err() == nil {
				_, _ = stdout.Write(make([]byte, 32<<10))
				_, _ = stderr.Write(make([]byte, 32<<10))
			}
			return 141
		},
	}))
	h := newPool(t).Host(configFor(t, s))
	full := errors.New("no more room")
	for name, writers := range map[string][2]io.Writer{"stdout": {failingWriter{full}, nil}, "stderr": {nil, failingWriter{full}}} {
		if _, err := h.Run(testContext(t), "endless", nil, writers[0], writers[1]); !errors.Is(err, full) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if got := s.Stats().Connections; got != 1 {
		t.Errorf("%d connections: the session should have been closed, not the connection", got)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestNoTrustworthyExitStatusIsAnError(t *testing.T) {
	for name, fault := range map[string]func(*sshtest.Server){
		"without an exit status": func(s *sshtest.Server) { s.NoExitStatus = true },
		"malformed exit status":  func(s *sshtest.Server) { s.MalformedExitStatus = true },
	} {
		s := sshtest.New(t, fault)
		_, err := newPool(t).Host(configFor(t, s)).Run(testContext(t), "x", nil, nil, nil)
		if lost := as[*ConnectionLostError](t, err); !lost.Started {
			t.Errorf("%s: the command had started", name)
		}
		contains(t, err.Error(), name)
	}
}

func TestRefusedCommandNeverStarted(t *testing.T) {
	s := sshtest.New(t, func(s *sshtest.Server) { s.RefuseExec = true })
	_, err := newPool(t).Host(configFor(t, s)).Run(testContext(t), "secret-looking argument", nil, nil, nil)
	as[*SessionRefusedError](t, err)
	contains(t, err.Error(), "MaxSessions", s.Addr(), "deploy")
	if strings.Contains(err.Error(), "secret-looking") {
		t.Errorf("the error quotes the command: %v", err)
	}
}

// sshd refuses sessions beyond MaxSessions. That must neither fail a command nor cost the connection.
func TestMoreCommandsThanSessions(t *testing.T) {
	for _, allowed := range []int{1, 3, 10} {
		var mu sync.Mutex
		now, most := 0, 0
		s := sshtest.New(t, func(s *sshtest.Server) {
			s.MaxSessions = allowed
			s.Exec = func(_ context.Context, _, _ string, stdin io.Reader, _, _ io.Writer) int {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				_, _ = io.Copy(io.Discard, stdin)
				mu.Lock()
				now--
				mu.Unlock()
				return 0
			}
		})
		h := newPool(t).Host(configFor(t, s))
		var commands sync.WaitGroup
		for range 40 {
			commands.Go(func() {
				if _, err := h.Run(testContext(t), "x", strings.NewReader(strings.Repeat("x", 1<<16)), nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		commands.Wait()
		got := s.Stats()
		if got.Connections != 1 || got.Commands != 40 || most > maxSessions || allowed > maxSessions && got.Refused > 0 {
			t.Errorf("allowed %d: at most %d at once, %+v", allowed, most, got)
		}
	}
}

// sshd frees a session a little after it says that it ended.
func TestSessionThatIsFreedLate(t *testing.T) {
	s := sshtest.New(t, func(s *sshtest.Server) { s.RefuseSessions = 2 })
	run(t, newPool(t).Host(configFor(t, s)), "x", "")
}

func TestNoSessionAtAllIsRefused(t *testing.T) {
	s := sshtest.New(t, func(s *sshtest.Server) { s.MaxSessions = 1 })
	hold, running := make(chan struct{}), make(chan struct{}, 1)
	s.Set(func(s *sshtest.Server) { s.Exec = deaf(running, hold) })
	p := newPool(t)
	client, err := p.Get(testContext(t), configFor(t, s))
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else's session on the connection: as far as we know none is in use.
	channel, requests, err := client.conn.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	other := newSession(channel, requests)
	other.drain(io.Discard, io.Discard)
	_, err = client.Run(testContext(t), "x", nil, nil, nil)
	as[*SessionRefusedError](t, err)
	close(hold)
	_ = channel.Close()
	<-other.done
	if client.isGone() {
		t.Error("a refused session says nothing against the connection")
	}
}
