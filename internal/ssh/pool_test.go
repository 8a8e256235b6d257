package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func TestManyCallersShareOneConnection(t *testing.T) {
	s := sshtest.New(t)
	p := newPool(t)
	cfg := configFor(t, s)
	var callers sync.WaitGroup
	for i := range 32 {
		c := cfg
		c.Timeout = time.Duration(i+20) * time.Second
		callers.Go(func() {
			if _, err := p.Get(testContext(t), c); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := s.Stats().Connections; got != 1 {
		t.Errorf("%d connections", got)
	}
}

// gate is a server's door that opens once: until then connections are accepted and left waiting.
func gate(t *testing.T, s *sshtest.Server) (port int, arrived <-chan struct{}, open func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came, opened := make(chan struct{}, 16), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = client.Close() }()
				came <- struct{}{}
				<-opened
				server, err := net.Dial("tcp", s.Addr())
				if err != nil {
					return
				}
				wg.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
				_, _ = io.Copy(client, server)
			})
		}
	})
	open = sync.OnceFunc(func() { close(opened) })
	t.Cleanup(func() {
		_ = listener.Close()
		open()
		wg.Wait()
	})
	addr, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP address")
	}
	return addr.Port, came, open
}

func TestSharedDialOutlivesTheCallerThatBeganIt(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	port, arrived, open := gate(t, s)
	cfg.Port = port
	p := newPool(t)
	firstCtx, leave := context.WithCancelCause(testContext(t))
	first := make(chan error, 1)
	go func() {
		_, err := p.Get(firstCtx, cfg)
		first <- err
	}()
	<-arrived
	second := make(chan error, 1)
	go func() {
		_, err := p.Get(testContext(t), cfg)
		second <- err
	}()
	waitUntil(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		f := p.entries[cfg.withDefaults().key()].flight
		return f != nil && f.waiters == 2
	})
	leave(errors.New("the operator pressed ^C"))
	contains(t, as[*DialError](t, <-first).Error(), "the operator pressed ^C")
	open()
	if err := <-second; err != nil {
		t.Errorf("the second caller: %v", err)
	}
	if got := s.Stats().Connections; got != 1 {
		t.Errorf("%d connections", got)
	}
}

// waitUntil polls a state that nothing tells of.
func waitUntil(t *testing.T, reached func() bool) {
	t.Helper()
	for ctx := testContext(t); !reached(); {
		if !pause(ctx, time.Millisecond) {
			t.Fatal("never came about")
		}
	}
}

// Nobody waits any more: the dial must end with its last caller, and the next caller begin afresh.
func TestDialEndsWithItsLastCaller(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	port, arrived, open := gate(t, s)
	cfg.Port = port
	p := newPool(t)
	ctx, leave := context.WithCancel(testContext(t))
	var abandoned *flight
	go func() {
		<-arrived
		p.mu.Lock()
		abandoned = p.entries[cfg.withDefaults().key()].flight
		p.mu.Unlock()
		leave()
	}()
	if _, err := p.Get(ctx, cfg); err == nil {
		t.Fatal("no error")
	}
	<-abandoned.done
	open()
	if _, err := p.Get(testContext(t), cfg); err != nil {
		t.Error(err)
	}
}

// sshd drops connections at random while too many log in (MaxStartups).
func TestDialsToOneAddressWaitForEachOther(t *testing.T) {
	s := sshtest.New(t)
	port, arrived, open := gate(t, s)
	p := newPool(t)
	var hosts sync.WaitGroup
	for i := range 3 * maxDials {
		cfg := configFor(t, s)
		cfg.User, cfg.Port = fmt.Sprint("user", i), port
		hosts.Go(func() {
			if _, err := p.Get(testContext(t), cfg); err != nil {
				t.Error(err)
			}
		})
	}
	turns := p.dials(fmt.Sprintf("127.0.0.1:%d", port))
	waitUntil(t, func() bool {
		turns.mu.Lock()
		defer turns.mu.Unlock()
		return len(turns.waiting) == 2*maxDials
	})
	if got := len(arrived); got > maxDials {
		t.Errorf("%d connections at once", got)
	}
	open()
	hosts.Wait()
}

func TestDeadConnectionIsReplaced(t *testing.T) {
	s := sshtest.New(t)
	p := newPool(t)
	cfg := configFor(t, s)
	first, err := p.Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Disconnect()
	<-first.gone
	waitUntil(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.live) == 0
	})
	if second, err := p.Get(testContext(t), cfg); err != nil || second == first {
		t.Errorf("%v", err)
	}
}

func TestClosedPool(t *testing.T) {
	running := make(chan struct{}, 1)
	s := sshtest.New(t, script(map[string]sshtest.Exec{"long": until(running)}))
	p := newPool(t)
	cfg := configFor(t, s)
	other := cfg
	port, arrived, open := gate(t, s)
	defer open()
	other.Port = port
	dialling, command := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := p.Get(testContext(t), other)
		dialling <- err
	}()
	go func() {
		_, err := p.Host(cfg).Run(testContext(t), "long", nil, nil, nil)
		command <- err
	}()
	<-arrived
	<-running
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-dialling; !errors.Is(err, context.Canceled) {
		t.Errorf("the dial: %v", err)
	}
	as[*ConnectionLostError](t, <-command)
	if _, err := p.Get(testContext(t), cfg); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("%v", err)
	}
}

func TestWrongSettingsNeverReachTheNetwork(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	cfg.StrictHostKeyChecking = "maybe"
	_, err := newPool(t).Get(testContext(t), cfg)
	as[*ConfigError](t, err)
	if got := s.Stats().Connections; got != 0 {
		t.Errorf("%d connections", got)
	}
}

func TestSlotsAreFair(t *testing.T) {
	s := newSlots(2)
	ctx := testContext(t)
	for range 2 {
		if err := s.take(ctx); err != nil {
			t.Fatal(err)
		}
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	if err := s.take(gone); err == nil {
		t.Error("a third slot")
	}
	if !s.shrink() || s.shrink() {
		t.Error("the last slot in use is never taken away")
	}
	taken := make(chan error, 1)
	go func() { taken <- s.take(ctx) }()
	waitUntil(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 1
	})
	s.give()
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

// A machine that is made in the same apply may accept connections before it has the key.
func TestKeyThatComesLate(t *testing.T) {
	for _, late := range []bool{true, false} {
		s := denying(t, 2)
		cfg := configFor(t, s)
		cfg.LateKey = late
		p := newPool(t)
		p.lateKeyPause = time.Millisecond
		now := time.Now()
		p.now = func() time.Time { now = now.Add(time.Minute); return now } // no denial is remembered
		_, err := p.Host(cfg).Run(testContext(t), "x", nil, nil, nil)
		if late && err != nil {
			t.Error(err)
		}
		if !late {
			as[*AuthError](t, err)
		}
	}
	s := denying(t, 3)
	cfg := configFor(t, s)
	cfg.LateKey = true
	p := newPool(t)
	p.lateKeyPause = time.Millisecond
	now := time.Now()
	p.now = func() time.Time { now = now.Add(time.Minute); return now }
	_, err := p.Host(cfg).Run(testContext(t), "x", nil, nil, nil)
	as[*AuthError](t, err)
}
