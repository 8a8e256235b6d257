// Package sshtest is an SSH server in the test's own process, with the faults that real ones have, and a proxy that
// breaks connections. It is for tests only: it lets in whom it is told to, and runs functions, not commands.
package sshtest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Exec answers one command line: what it writes is the command's output, what it returns is its exit code. Its context
// ends when the client sends a signal, closes the session or goes away; a command that ignores the context is one that
// ignores signals.
type Exec func(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int

// Server is a running server. Its fields may be set before the first connection; Set changes them later.
type Server struct {
	// Exec answers commands; by default they succeed silently.
	Exec Exec
	// HostKeys are what it proves itself with, one per algorithm. Default: one ed25519 key.
	HostKeys []ssh.Signer
	// Authorized decides on public keys and certificates. Default: all.
	Authorized func(user string, key ssh.PublicKey) bool
	// Password, when set, lets in by the methods password and keyboard-interactive.
	Password string
	// PasswordMethod limits that to one of the two.
	PasswordMethod string
	// Anyone lets everybody in without asking.
	Anyone bool

	// Stall makes it accept connections and never say a word.
	Stall bool
	// HangUps is how many of the next connections are closed at once.
	HangUps int
	// MaxStartups drops connections beyond so many that are not logged in yet. Zero: no limit.
	MaxStartups int
	// MaxSessions refuses sessions beyond so many on one connection. Zero: no limit.
	MaxSessions int
	// RefuseSessions is how many of the next sessions are refused for no reason.
	RefuseSessions int
	// RefuseExec denies every command.
	RefuseExec bool
	// NoExitStatus ends commands without one; MalformedExitStatus with one that is cut off.
	NoExitStatus, MalformedExitStatus bool
	// ForwardTo gives the real address behind one that is asked for, so that made-up names work. An error refuses.
	ForwardTo func(addr string) (string, error)

	listener net.Listener // nil: it is reached by Connect only
	line     line         // under the connections that Connect made
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
	stats    Stats
	pending  int
}

// Stats counts what a server has seen.
type Stats struct {
	Connections int // accepted, those that were hung up on included
	Dropped     int // of them, beyond MaxStartups
	Logins      int
	Denials     int // offers of a key or a password that were turned down
	Commands    int
	Refused     int // sessions beyond MaxSessions
	Forwards    int
	Keepalives  int // requests that belong to no session
}

// New starts a server on a loopback port; the test's end stops it.
func New(t testing.TB, change ...func(*Server)) *Server {
	t.Helper()
	s := &Server{conns: map[net.Conn]bool{}}
	for _, c := range change {
		c(s)
	}
	if s.HostKeys == nil {
		s.HostKeys = []ssh.Signer{NewKey(t)}
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.wg.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// NewLocal makes a server that is on no network: Connect reaches it. It has to be closed, and given its HostKeys. Nothing
// of it waits for the operating system, so that it can be in a bubble of synctest.
func NewLocal(change ...func(*Server)) *Server {
	s := &Server{conns: map[net.Conn]bool{}}
	s.line.init()
	for _, c := range change {
		c(s)
	}
	return s
}

// Close ends every connection and waits for every command.
func (s *Server) Close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.Disconnect()
	s.wg.Wait()
}

// Disconnect cuts every connection there is.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Host and Port are where it listens.
func (s *Server) Host() string { return "127.0.0.1" }

// Port is where it listens.
func (s *Server) Port() int {
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	return n
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// HostKeyLine is its first host key as an authorized_keys line.
func (s *Server) HostKeyLine() string { return Line(s.HostKeys[0].PublicKey()) }

// Stats gives the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Set changes the server's fields while it runs.
func (s *Server) Set(change func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *Server) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.take(conn)
	}
}

// take serves a connection, or hangs up.
func (s *Server) take(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Connections++
	hangUp := s.HangUps > 0
	if hangUp {
		s.HangUps--
	}
	if s.MaxStartups > 0 && s.pending >= s.MaxStartups {
		s.stats.Dropped++
		hangUp = true
	}
	if hangUp {
		_ = conn.Close()
		return
	}
	s.pending++
	s.conns[conn] = true
	s.wg.Go(func() { s.serve(conn) })
}

func (s *Server) serve(conn net.Conn) {
	loggedIn := sync.OnceFunc(func() {
		s.mu.Lock()
		s.pending--
		s.mu.Unlock()
	})
	defer func() {
		loggedIn()
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	s.mu.Lock()
	stall := s.Stall
	config := s.config()
	s.mu.Unlock()
	if stall {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	sshConn, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	loggedIn()
	s.count(func(t *Stats) { t.Logins++ })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		for r := range requests {
			s.count(func(t *Stats) { t.Keepalives++ })
			_ = r.Reply(false, nil)
		}
	})
	sessions := 0
	for offer := range channels {
		switch offer.ChannelType() {
		case "session":
			s.mu.Lock()
			full := s.MaxSessions > 0 && sessions >= s.MaxSessions || s.RefuseSessions > 0
			s.RefuseSessions = max(s.RefuseSessions-1, 0)
			if full {
				s.stats.Refused++
			} else {
				sessions++
			}
			s.mu.Unlock()
			if full {
				_ = offer.Reject(ssh.ConnectionFailed, "open failed")
				continue
			}
			running.Go(func() {
				s.session(ctx, sshConn.User(), offer, func() {
					s.mu.Lock()
					sessions--
					s.mu.Unlock()
				})
			})
		case "direct-tcpip":
			running.Go(func() { s.forward(ctx, offer) })
		default:
			_ = offer.Reject(ssh.UnknownChannelType, "unknown")
		}
	}
}

func (s *Server) config() *ssh.ServerConfig {
	config := &ssh.ServerConfig{NoClientAuth: s.Anyone}
	if s.listener == nil { // there are thousands of handshakes, and none of them is tested for its strength
		config.KeyExchanges, config.Ciphers = []string{ssh.KeyExchangeCurve25519}, []string{ssh.CipherAES128GCM}
	}
	for _, k := range s.HostKeys {
		config.AddHostKey(k)
	}
	authorized, password, method := s.Authorized, s.Password, s.PasswordMethod
	if !s.Anyone {
		config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if authorized != nil && !authorized(meta.User(), key) {
				s.count(func(t *Stats) { t.Denials++ })
				return nil, errors.New("not authorized")
			}
			return &ssh.Permissions{}, nil
		}
	}
	if password != "" {
		check := func(given string) (*ssh.Permissions, error) {
			if given != password {
				s.count(func(t *Stats) { t.Denials++ })
				return nil, errors.New("wrong password")
			}
			return &ssh.Permissions{}, nil
		}
		if method != "keyboard-interactive" {
			config.PasswordCallback = func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) { return check(string(given)) }
		}
		if method == "password" {
			return config
		}
		config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, errors.New("no answer")
			}
			return check(answers[0])
		}
	}
	return config
}

func (s *Server) session(ctx context.Context, user string, offer ssh.NewChannel, ended func()) {
	channel, requests, err := offer.Accept()
	if err != nil {
		ended()
		return
	}
	defer func() { _ = channel.Close() }()
	defer ended() // before the client can know, and ask for the next one
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line := make(chan string, 1)
	go func() {
		defer cancel() // the client closed the session, or is gone
		for r := range requests {
			switch r.Type {
			case "exec":
				var message struct{ Command string }
				s.mu.Lock()
				refuse := s.RefuseExec
				s.mu.Unlock()
				if ssh.Unmarshal(r.Payload, &message) != nil || refuse {
					_ = r.Reply(false, nil)
					continue
				}
				_ = r.Reply(true, nil)
				line <- message.Command
				continue
			case "signal":
				cancel()
			}
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	}()
	select {
	case command := <-line:
		s.mu.Lock()
		s.stats.Commands++
		exec, none, malformed := s.Exec, s.NoExitStatus, s.MalformedExitStatus
		s.mu.Unlock()
		code := 0
		if exec != nil {
			code = exec(ctx, user, command, channel, channel, channel.Stderr())
		}
		switch {
		case none:
		case malformed:
			_, _ = channel.SendRequest("exit-status", false, []byte{0})
		default:
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(&struct{ Code uint32 }{uint32(code)})) //nolint:gosec // G115: a test's exit code
		}
	case <-ctx.Done():
	}
}

func (s *Server) forward(ctx context.Context, offer ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if ssh.Unmarshal(offer.ExtraData(), &target) != nil {
		_ = offer.Reject(ssh.ConnectionFailed, "malformed")
		return
	}
	addr := net.JoinHostPort(target.Host, fmt.Sprint(target.Port))
	s.mu.Lock()
	s.stats.Forwards++
	resolve := s.ForwardTo
	s.mu.Unlock()
	if resolve != nil {
		var err error
		if addr, err = resolve(addr); err != nil {
			_ = offer.Reject(ssh.Prohibited, err.Error())
			return
		}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		_ = offer.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer func() { _ = conn.Close() }()
	channel, requests, err := offer.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var pumps sync.WaitGroup
	pumps.Go(func() { ssh.DiscardRequests(requests); _ = conn.Close() })
	pumps.Go(func() { _, _ = io.Copy(conn, channel); _ = conn.Close() })
	_, _ = io.Copy(channel, conn)
	_ = channel.Close()
	pumps.Wait()
}

// NewKey makes an ed25519 key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// NewPrivateKey makes an ed25519 key as a file holds it, encrypted when there is a passphrase.
func NewPrivateKey(t testing.TB, passphrase string) (text string, public ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer.PublicKey()
}

// Line gives a public key as an authorized_keys line without its newline.
func Line(key ssh.PublicKey) string {
	line := ssh.MarshalAuthorizedKey(key)
	return string(line[:len(line)-1])
}

// Certify signs a certificate over key.
func Certify(t testing.TB, authority ssh.Signer, key ssh.PublicKey, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{Key: key, ValidBefore: ssh.CertTimeInfinity}
	change(c)
	if err := c.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	return c
}
