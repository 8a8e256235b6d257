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

	"golang.org/x/crypto/ssh"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// How long a host is waited for, and what is said in the end.

func TestHangUpsAreRetried(t *testing.T) {
	s := sshtest.New(t, func(s *sshtest.Server) { s.HangUps = 3 })
	p, log := newLoggedPool(t)
	if _, err := p.Get(testContext(t), configFor(t, s)); err != nil {
		t.Error(err)
	}
	if got := s.Stats().Connections; got != 4 {
		t.Errorf("%d connections", got)
	}
	contains(t, log.String(), "trying again", "connected over SSH", "SHA256:", "attempt=3")
}

func TestHostThatComesUpLater(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	s := sshtest.New(t)
	cfg := configFor(t, s)
	_, port, _ := net.SplitHostPort(addr)
	_, _ = fmt.Sscan(port, &cfg.Port)
	p := newPool(t)
	var proxy net.Listener
	p.backoff = onceThen(func() {
		if proxy, err = net.Listen("tcp", addr); err != nil {
			t.Error(err)
			return
		}
		go func() {
			client, err := proxy.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.Addr())
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
	})
	_, err = p.Get(testContext(t), cfg)
	if err != nil {
		t.Error(err)
	}
	_ = proxy.Close()
}

func TestGivingUpTellsWhatWasMet(t *testing.T) {
	silent := sshtest.New(t, func(s *sshtest.Server) { s.Stall = true })
	hangsUp := sshtest.New(t, func(s *sshtest.Server) { s.HangUps = 1 << 30 })
	closed := sshtest.New(t)
	closed.Close()
	for _, c := range []struct {
		server *sshtest.Server
		kind   DialKind
		says   []string
	}{
		{closed, DialRefused, []string{"connection refused", "sshd runs"}},
		{hangsUp, DialReset, []string{"hangs up", "MaxStartups"}},
		{silent, DialTimeout, []string{"no answer within 10ms (connect_timeout)", "firewall", "bastions"}},
	} {
		cfg := configFor(t, c.server)
		if c.server == silent {
			cfg.ConnectTimeout = 10 * time.Millisecond
		}
		p := newPool(t)
		ctx, leave := context.WithCancelCause(testContext(t))
		p.backoff = onceThen(func() { leave(errors.New("enough")) })
		_, err := p.Get(ctx, cfg)
		if got := as[*DialError](t, err); got.Kind != c.kind || got.Addr != cfg.Address() || got.User != "deploy" {
			t.Errorf("%+v", got)
		}
		contains(t, err.Error(), append(c.says, "enough", cfg.Address(), "deploy")...)
	}
	cfg := configFor(t, closed)
	cfg.RefusedTimeout = 10 * time.Millisecond // else it would be five minutes
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*DialError](t, err).Error(), "connection refused", "refused for 10ms")
	cfg = configFor(t, silent)
	cfg.Timeout = 10 * time.Millisecond
	_, err = newPool(t).Get(testContext(t), cfg)
	contains(t, as[*DialError](t, err).Error(), "no connection within 10ms (timeout)", "firewall")
}

func TestNameThatDoesNotResolve(t *testing.T) {
	cfg := Config{Host: "no-such-host.invalid", User: "deploy", Password: "x"}
	_, err := newPool(t).Get(testContext(t), cfg)
	got := as[*DialError](t, err)
	if got.Kind != DialResolve && got.Kind != DialTimeout { // a test machine without name service
		t.Errorf("%+v", got)
	}
	if got.Kind == DialResolve {
		contains(t, err.Error(), "no-such-host.invalid does not resolve", "cannot connect to no-such-host.invalid:22 as deploy")
	}
}

func TestNoCommonAlgorithmIsNotRetried(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections := 0
	var wg sync.WaitGroup
	key := sshtest.NewKey(t)
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections++
			config := &ssh.ServerConfig{Config: ssh.Config{KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1}}, NoClientAuth: true}
			config.AddHostKey(key)
			_, _, _, _ = ssh.NewServerConn(conn, config)
			_ = conn.Close()
		}
	})
	cfg := Config{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: "deploy", HostKey: []string{sshtest.Line(key.PublicKey())}} //nolint:forcetypeassert // it is
	_, err = newPool(t).Get(testContext(t), cfg)
	_ = listener.Close()
	wg.Wait()
	if got := as[*DialError](t, err); got.Kind != DialHandshake || connections != 1 {
		t.Errorf("%d connections, %+v", connections, got)
	}
	contains(t, err.Error(), "key exchange")
}

func TestSilentHostIsWaitedForOnce(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	port, _, open := gate(t, s)
	p := newPool(t)
	cfg.Port = port
	cfg.Timeout = 20 * time.Millisecond
	_, err := p.Get(testContext(t), cfg)
	contains(t, as[*DialError](t, err).Error(), "no connection within 20ms (timeout)")

	cfg.Timeout, cfg.SilentTimeout = 5*time.Minute, 10*time.Millisecond // else it would be five minutes
	for range 2 {
		_, err = p.Get(testContext(t), cfg)
		contains(t, as[*DialError](t, err).Error(), "no connection within 10ms, nor within 20ms before")
	}

	open()
	waiting := cfg
	waiting.SilentTimeout = 0 // whoever waits for a boot does so in full
	c, err := p.Get(testContext(t), waiting)
	if err != nil {
		t.Fatal(err)
	}
	p.evict(c)
	cfg.SilentTimeout = time.Nanosecond // and who answered is no longer taken for silent
	if _, err := p.Get(testContext(t), cfg); err != nil {
		t.Error(err)
	}
}
