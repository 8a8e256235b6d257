package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

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

// The log of a connection tells each hop, what it was offered, what it took, and its key.
func TestLogTellsHopMethodAndFingerprint(t *testing.T) {
	hop, target := sshtest.New(t), sshtest.New(t)
	cfg := configFor(t, target)
	cfg.Origins = map[string]string{"user": "RABBITMQ_SSH_USER", "private_key": "the provider's ssh"}
	cfg.Bastions = []Config{configFor(t, hop)}
	p, log := newLoggedPool(t)
	run(t, p.Host(cfg), "x", "")
	signer, err := ssh.ParsePrivateKey([]byte(cfg.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	text := log.String()
	contains(t, text, "connecting over SSH", "host="+target.Addr(), "host="+hop.Addr(), "through="+hop.Addr(), "user_from=RABBITMQ_SSH_USER",
		`by="publickey ssh-ed25519 `+ssh.FingerprintSHA256(signer.PublicKey())+` (private_key, from the provider's ssh)"`)
	for _, s := range []*sshtest.Server{hop, target} {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.HostKeyLine()))
		if err != nil {
			t.Fatal(err)
		}
		contains(t, text, fmt.Sprintf("host_key=\"%s\" known_from=\"%[1]s (host_key)\"", fingerprint(key)))
	}
}

// Two keys are offered at once, and the log tells which of them the server took.
func TestLogTellsTheKeyThatWasTaken(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	text, public := sshtest.NewPrivateKey(t, "")
	authority := sshtest.NewKey(t)
	cfg.PrivateKey = Secret(text)
	cfg.Certificate = sshtest.Line(sshtest.Certify(t, authority, public, func(c *ssh.Certificate) { c.CertType, c.ValidPrincipals = ssh.UserCert, []string{"deploy"} }))
	p, log := newLoggedPool(t)
	run(t, p.Host(cfg), "x", "")
	contains(t, log.String(), `by="publickey ssh-ed25519-cert-v01@openssh.com `+ssh.FingerprintSHA256(public)+" signed by "+ssh.FingerprintSHA256(authority.PublicKey()))
}

// Where a setting comes from stands beside it in the errors.
func TestErrorsTellWhereSettingsComeFrom(t *testing.T) {
	s := denying(t, 1)
	cfg := configFor(t, s)
	cfg.Origins = map[string]string{"user": "RABBITMQ_SSH_USER", "private_key": "RABBITMQ_SSH_PRIVATE_KEY", "private_key_file": "RABBITMQ_SSH_PRIVATE_KEY_FILE", "port": "RABBITMQ_SSH_PORT", "timeout": "RABBITMQ_SSH_TIMEOUT"}
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*AuthError](t, err).Error(), "does not let deploy in (user deploy, from RABBITMQ_SSH_USER)", "(private_key, from RABBITMQ_SSH_PRIVATE_KEY)")
	bad := cfg
	bad.Timeout = -1
	contains(t, as[*ConfigError](t, bad.Validate()).Error(), "timeout (from RABBITMQ_SSH_TIMEOUT)")
	bad = cfg
	bad.PrivateKey, bad.PrivateKeyFile = "", "/nonexistent"
	_, err = newPool(t).Get(testContext(t), bad)
	contains(t, as[*ConfigError](t, err).Error(), "private_key_file (from RABBITMQ_SSH_PRIVATE_KEY_FILE)")
	refused := &DialError{Addr: "rmq1:2222", User: "deploy", Kind: DialRefused, Origin: "RABBITMQ_SSH_PORT", Err: io.EOF}
	contains(t, refused.Error(), "(port 2222, from RABBITMQ_SSH_PORT)")
}

// denying is a server that turns the first so many keys down.
func denying(t *testing.T, keys int32) *sshtest.Server {
	var seen atomic.Int32
	return sshtest.New(t, func(s *sshtest.Server) {
		s.Authorized = func(string, ssh.PublicKey) bool { return seen.Add(1) > keys }
	})
}
