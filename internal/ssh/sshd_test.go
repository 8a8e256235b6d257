//go:build unix

package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func configForReal(t *testing.T, s *sshtest.RealServer) Config {
	t.Helper()
	return Config{
		Host: "127.0.0.1", Port: s.Port, User: s.User, PrivateKey: Secret(s.PrivateKey), HostKey: s.HostKeys,
		KnownHostsFiles: []string{filepath.Join(t.TempDir(), "none")},
	}
}

func TestRealServerRunsCommands(t *testing.T) {
	s := sshtest.SSHD{}.Start(t)
	h := newPool(t).Host(configForReal(t, s))
	for _, c := range []struct {
		line, stdin    string
		code           int
		stdout, stderr string
	}{
		{line: "cat; echo err >&2; exit 3", stdin: "in\x00put", code: 3, stdout: "in\x00put", stderr: "err\n"},
		{line: "exec cat"}, // no input: it ends at once
		{line: "kill -KILL $$", code: 137},
		{line: "kill -TERM $$", code: 143},
		{line: "no-such-program", code: 127, stderr: "no-such-program"},
		{line: "exec true", stdin: strings.Repeat("x", 4<<20)}, // reads none of it
		{line: "exec wc -c", stdin: strings.Repeat("x", 4<<20), stdout: "4194304"},
	} {
		code, stdout, stderr := run(t, h, c.line, c.stdin)
		if code != c.code || !strings.HasPrefix(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", c.line, code, stdout, stderr)
		}
	}
}

// sshd closes nothing that runs when a session or a connection ends: the signal is what ends a command. It passes no
// signals on for root, though ("session signalling requires privilege separation").
func TestRealCommandDiesWithItsContext(t *testing.T) {
	s := sshtest.SSHD{Accounts: []sshtest.Account{{Name: "deploy", Shell: "/bin/sh"}}}.Start(t)
	p := newPool(t)
	p.termGrace = 20 * time.Second
	cfg := configForReal(t, s)
	cfg.User = "deploy"
	h := p.Host(cfg)
	ctx, cancel := context.WithCancel(testContext(t))
	stdout, running := told("running")
	go func() { <-running; cancel() }()
	_, err := h.Run(ctx, `trap 'echo told > ~/ended; exit 143' TERM; echo running; while :; do sleep 0.01; done`, nil, stdout, nil)
	if !as[*InterruptedError](t, err).Started {
		t.Error("it had started")
	}
	if text, err := os.ReadFile(filepath.Join(s.Home, "deploy", "ended")); err != nil || string(text) != "told\n" {
		t.Errorf("the command was not told to end: %q %v", text, err)
	}
}

// A command that cannot be ended keeps its session on the server, as sshd closes one only when the command ends. The
// connection then takes no new commands, and those beside it run to their end.
func TestRealDeafCommandRetiresConnectionButSparesSiblings(t *testing.T) {
	s := sshtest.SSHD{}.Start(t)
	p := newPool(t)
	cfg := configForReal(t, s)
	h := p.Host(cfg)
	goOn := filepath.Join(t.TempDir(), "go-on")
	release := func() {
		if err := os.WriteFile(goOn, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	defer release()
	// It ends with the test's directory too: on a busy machine the file may come and go between two looks.
	deaf := fmt.Sprintf(`trap "" TERM HUP PIPE; echo running; until test -e %s || ! test -d %s; do sleep 0.01; done; exit 5`, goOn, filepath.Dir(goOn))
	first, err := p.Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		code int
		err  error
	}
	sibling := make(chan outcome, 1)
	stdout, siblingRuns := told("running")
	go func() {
		code, err := h.Run(testContext(t), deaf, nil, stdout, nil)
		sibling <- outcome{code, err}
	}()
	<-siblingRuns
	ctx, cancel := context.WithCancel(testContext(t))
	stdout, running := told("running")
	go func() { <-running; cancel() }()
	_, err = h.Run(ctx, deaf, nil, stdout, nil)
	as[*InterruptedError](t, err)
	second, err := p.Get(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if second == first {
		t.Error("the connection with a stuck session was given out again")
	}
	if first.isGone() {
		t.Fatal("the connection was closed under the command beside it")
	}
	release()
	if got := <-sibling; got.err != nil || got.code != 5 {
		t.Errorf("the command beside it: %+v", got)
	}
	<-first.gone // closed with its last command
}

func TestRealServerWithManyCommands(t *testing.T) {
	s := sshtest.SSHD{Settings: []string{"MaxSessions 1", "Banner /etc/hostname"}}.Start(t)
	h := newPool(t).Host(configForReal(t, s))
	var commands sync.WaitGroup
	for range 12 {
		commands.Go(func() {
			if code, err := h.Run(testContext(t), "exit 4", nil, nil, nil); err != nil || code != 4 {
				t.Errorf("code %d: %v", code, err)
			}
		})
	}
	commands.Wait()
}

// sshd hangs up on connections at random while too many log in (MaxStartups).
func TestRealServerWithManyConnections(t *testing.T) {
	s := sshtest.SSHD{Settings: []string{"MaxStartups 2:100:2"}}.Start(t)
	var hosts sync.WaitGroup
	p := newPool(t)
	for i := range 16 {
		cfg := configForReal(t, s)
		cfg.HostKeyAlias = fmt.Sprint("host", i) // so that each is a connection of its own
		hosts.Go(func() {
			if _, err := p.Host(cfg).Run(testContext(t), "true", nil, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	hosts.Wait()
}

// known_hosts names one of the server's keys; which one the server shows is up to the client.
func TestRealServerKnownByAnyOfItsKeys(t *testing.T) {
	s := sshtest.SSHD{HostKeyTypes: []string{"rsa", "ecdsa", "ed25519"}}.Start(t)
	for _, key := range s.HostKeys {
		cfg := configForReal(t, s)
		cfg.HostKey = nil
		cfg.KnownHostsFiles = []string{writeFile(t, "known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", s.Port, key))}
		if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
			t.Errorf("known by %.20s…: %v", key, err)
		}
	}
}

// What OpenSSH's own tools write: a certificate for the host, one for the user, an encrypted key, an agent.
func TestRealCertificatesAgentAndEncryptedKey(t *testing.T) {
	sshtest.Require(t, "ssh-keygen", "ssh-agent", "ssh-add")
	dir := t.TempDir()
	tool := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+filepath.Join(dir, "agent"))
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, text)
		}
		return string(text)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at("ca"))
	tool("ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", "open sesame", "-C", "the user's key", "-f", at("user"))
	tool("ssh-keygen", "-q", "-s", at("ca"), "-I", "user", "-n", "whoever,"+me.Username, "-V", "+1h", at("user.pub"))
	ca, err := os.ReadFile(at("ca.pub"))
	if err != nil {
		t.Fatal(err)
	}

	s := sshtest.SSHD{Settings: []string{"TrustedUserCAKeys " + at("ca.pub"), "HostCertificate " + at("host-cert.pub")}, HostKeyTypes: []string{"ed25519"}}
	// The host key exists only once the server does: sign a key of ours and let the server use it too.
	tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at("host"))
	tool("ssh-keygen", "-q", "-s", at("ca"), "-I", "host", "-h", "-n", "127.0.0.1,alias.example", "-V", "+1h", at("host.pub"))
	s.Settings = append(s.Settings, "HostKey "+at("host"))
	server := s.Start(t)

	cfg := configForReal(t, server)
	cfg.HostKey, cfg.HostCAKey = nil, []string{string(ca)}
	cfg.PrivateKey, cfg.PrivateKeyFile, cfg.PrivateKeyPassphrase = "", at("user"), "open sesame"
	cfg.CertificateFile = at("user-cert.pub")
	if code, _, _ := run(t, newPool(t).Host(cfg), "exit 6", ""); code != 6 {
		t.Errorf("code %d", code)
	}

	cfg.HostKeyAlias = "alias.example"
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Errorf("with an alias that the host certificate names: %v", err)
	}
	cfg.HostKeyAlias = "other.example"
	_, err = newPool(t).Get(testContext(t), cfg)
	if got := as[*HostKeyError](t, err); got.Kind != HostKeyCertificate {
		t.Errorf("kind %s", got.Kind)
	}
	contains(t, err.Error(), "other.example")
	cfg.HostKeyAlias = ""

	agent := exec.Command("ssh-agent", "-D", "-a", at("agent"))
	stdout, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	if _, err := stdout.Read(make([]byte, 1)); err != nil { // it prints its socket once that is there
		t.Fatal(err)
	}
	tool("ssh-keygen", "-q", "-p", "-P", "open sesame", "-N", "", "-f", at("user"))
	tool("ssh-add", "-q", at("ca"), at("user")) // takes the certificate beside the key as well
	t.Setenv("SSH_AUTH_SOCK", at("agent"))
	cfg.PrivateKeyFile, cfg.PrivateKeyPassphrase = "", ""
	for name, change := range map[string]func(*Config){
		"certificate with the agent's key": func(*Config) {},
		"the agent alone":                  func(c *Config) { c.CertificateFile = "" },
		"one key by its comment":           func(c *Config) { c.CertificateFile, c.AgentIdentity = "", "the user's key" },
	} {
		c := cfg
		change(&c)
		if _, err := newPool(t).Get(testContext(t), c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRealServerAsBastion(t *testing.T) {
	s := sshtest.SSHD{}.Start(t)
	target := sshtest.New(t)
	cfg := configFor(t, target)
	cfg.Bastions = []Config{configForReal(t, s)}
	run(t, newPool(t).Host(cfg), "x", "")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	_, _ = fmt.Sscan(port, &cfg.Port)
	p := newPool(t)
	ctx, cancel := context.WithCancelCause(testContext(t))
	p.backoff = onceThen(func() { cancel(errors.New("enough")) })
	_, err = p.Get(ctx, cfg)
	if got := as[*DialError](t, err); got.Kind != DialForward || got.Addr != cfg.Address() {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "the bastion 127.0.0.1:", "Connection refused", "enough")
}

// A hop that may not forward says so for good: it is not asked again.
func TestRealServerThatDoesNotForward(t *testing.T) {
	s := sshtest.SSHD{Settings: []string{"AllowTcpForwarding no"}}.Start(t)
	cfg := configFor(t, sshtest.New(t))
	cfg.Bastions = []Config{configForReal(t, s)}
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*DialError](t, err); got.Kind != DialForward || got.Attempts != 1 {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "AllowTcpForwarding", "administratively prohibited")
}
