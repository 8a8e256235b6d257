package ssh

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// A bastion's connection that was given up lasts as long as what runs through it, and takes nothing new.
func TestRetiredBastionLastsAsLongAsItsHosts(t *testing.T) {
	target, bastion := sshtest.New(t), sshtest.New(t)
	hop := configFor(t, bastion)
	cfg := configFor(t, target)
	cfg.Bastions = []Config{hop}
	p := newPool(t)
	behind, err := p.Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	via, err := p.Get(testContext(t), hop)
	if err != nil {
		t.Fatal(err)
	}
	via.retire()
	if _, err := behind.Run(testContext(t), "x", nil, nil, nil); err != nil {
		t.Errorf("through a bastion that was given up: %v", err)
	}
	_, err = via.Run(testContext(t), "x", nil, nil, nil)
	if lost := as[*ConnectionLostError](t, err); lost.Started {
		t.Error("nothing was sent")
	}
	if got := bastion.Stats().Commands; got != 0 {
		t.Error("a connection that was given up took a command")
	}
	target.Disconnect()
	<-via.gone
}

func TestEveryHopIsItsOwn(t *testing.T) {
	hopKey := func(user, key string) func(*sshtest.Server) {
		signer, err := ssh.ParsePrivateKey([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return func(s *sshtest.Server) {
			s.Authorized = func(u string, k ssh.PublicKey) bool { return u == user && sameKey(k, signer.PublicKey()) }
		}
	}
	var keys [3]string
	for i := range keys {
		keys[i], _ = sshtest.NewPrivateKey(t, "")
	}
	target := sshtest.New(t, hopKey("deploy", keys[2]))
	inner := sshtest.New(t, hopKey("jump2", keys[1]))
	outer := sshtest.New(t, hopKey("jump1", keys[0]))
	names := map[string]string{"rmq1.internal:22": target.Addr(), "rmq2.internal:22": target.Addr(), "inner.dmz:2222": inner.Addr()}
	resolve := func(addr string) (string, error) {
		if place, ok := names[addr]; ok {
			return place, nil
		}
		return "", errors.New("no such place")
	}
	outer.Set(func(s *sshtest.Server) { s.ForwardTo = resolve })
	inner.Set(func(s *sshtest.Server) { s.ForwardTo = resolve })
	cfg := configFor(t, target)
	cfg.Host, cfg.Port, cfg.PrivateKey = "rmq1.internal", 0, Secret(keys[2])
	first, second := configFor(t, outer), configFor(t, inner)
	first.User, first.PrivateKey = "jump1", Secret(keys[0])
	second.Host, second.Port, second.User, second.PrivateKey = "inner.dmz", 2222, "jump2", Secret(keys[1])
	cfg.Bastions = []Config{first, second}
	p := newPool(t)
	run(t, p.Host(cfg), "x", "")
	beside := cfg
	beside.Host = "rmq2.internal"
	run(t, p.Host(beside), "x", "")
	if a, b := outer.Stats(), inner.Stats(); a.Logins != 1 || b.Logins != 1 || a.Forwards != 1 || b.Forwards != 2 {
		t.Errorf("two hosts behind the same bastions: %+v, %+v", a, b)
	}

	wrong := cfg
	wrong.Bastions = []Config{first, second}
	wrong.Bastions[1].User = "jump1"
	_, err := newPool(t).Get(testContext(t), wrong)
	if got := as[*AuthError](t, err); got.Addr != "inner.dmz:2222" || got.User != "jump1" {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "rmq1.internal:22 is reached through inner.dmz:2222: inner.dmz:2222")

	wrong.Bastions = []Config{first, second}
	wrong.Bastions[1].HostKey = first.HostKey
	_, err = newPool(t).Get(testContext(t), wrong)
	if got := as[*HostKeyError](t, err); got.Addr != "inner.dmz:2222" {
		t.Errorf("%+v", got)
	}

	wrong = cfg
	wrong.Host = "nowhere.internal"
	_, err = newPool(t).Get(testContext(t), wrong)
	if got := as[*DialError](t, err); got.Kind != DialForward || got.Addr != "nowhere.internal:22" || got.Attempts != 1 {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "the bastion inner.dmz:2222 answers: no such place", "AllowTcpForwarding")

	outer.Disconnect()
	run(t, p.Host(cfg), "x", "") // everything beyond it went down with it, and came back
}

// What stops a bastion's dial is what a caller that waits for a host behind it gets to read.
func TestGivingUpOnABastionTellsWhy(t *testing.T) {
	target := sshtest.New(t)
	bastion := sshtest.New(t, func(s *sshtest.Server) { s.HangUps = 1 << 30 })
	cfg := configFor(t, target)
	cfg.Bastions = []Config{configFor(t, bastion)}
	p := newPool(t)
	ctx, leave := context.WithCancelCause(testContext(t))
	p.backoff = onceThen(func() { leave(errors.New("enough")) })
	_, err := p.Get(ctx, cfg)
	if got := as[*DialError](t, err); got.Addr != bastion.Addr() || got.Kind != DialReset {
		t.Errorf("%+v", got)
	}
}

// A stalled handshake through a bastion has no deadline to set: only closing ends it.
func TestStalledHostBehindBastion(t *testing.T) {
	target := sshtest.New(t, func(s *sshtest.Server) { s.Stall = true })
	bastion := sshtest.New(t)
	cfg := configFor(t, target)
	cfg.ConnectTimeout = 10 * time.Millisecond
	cfg.Bastions = []Config{configFor(t, bastion)}
	p := newPool(t)
	ctx, leave := context.WithCancelCause(testContext(t))
	p.backoff = onceThen(func() { leave(errors.New("enough")) })
	_, err := p.Get(ctx, cfg)
	if got := as[*DialError](t, err); got.Kind != DialTimeout || got.Addr != target.Addr() {
		t.Errorf("%+v", got)
	}
}
