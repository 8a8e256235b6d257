package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxDials is how many connections to one address are set up at once: sshd drops further ones at random (MaxStartups).
const maxDials = 4

// connect makes one attempt at the host, over a bastion's pooled connection where there is one.
func (p *Pool) connect(ctx context.Context, cfg Config, f *flight) (*Client, error) {
	if len(cfg.Bastions) == 0 {
		return p.dialHop(ctx, cfg, nil)
	}
	last := len(cfg.Bastions) - 1
	bastion := cfg.Bastions[last]
	bastion.Bastions = cfg.Bastions[:last]
	bastion.ProxyURL = cfg.ProxyURL
	cfg.ProxyURL = ""
	via, err := p.get(ctx, bastion, f)
	if err != nil {
		return nil, fmt.Errorf("%s is reached through %s: %w", cfg.Address(), bastion.Address(), err)
	}
	return p.dialHop(ctx, cfg, via)
}

// dialHop connects to one hop and logs in.
func (p *Pool) dialHop(ctx context.Context, cfg Config, via *Client) (*Client, error) {
	addr := cfg.Address()
	turn := p.dials(addr)
	if err := turn.take(ctx); err != nil {
		return nil, &DialError{Addr: addr, User: cfg.User, Kind: DialTimeout, Err: err}
	}
	defer turn.give()

	keys, err := loadHostKeys(ctx, cfg, p.logger)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.ConnectTimeout, fmt.Errorf("no answer within %s (connect_timeout)", cfg.ConnectTimeout))
	defer cancel()
	login, err := prepareLogin(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer login.close()

	fail := func(kind DialKind, err error) error {
		if ctx.Err() != nil { // what the library says of a connection closed under its hands tells nothing
			kind, err = DialTimeout, context.Cause(ctx)
		}
		return &DialError{Addr: addr, User: cfg.User, Kind: kind, Origin: cfg.Origins["port"], Err: err}
	}
	started := time.Now()
	p.logger.DebugContext(ctx, "connecting over SSH", "host", addr, "user", cfg.User, "user_from", cfg.Origins["user"], "through", viaAddress(via), "proxy", cfg.ProxyURL != "", "offers", login.offers())
	var conn net.Conn
	switch {
	case via != nil:
		if !via.hold() {
			return nil, fail(DialReset, fmt.Errorf("the connection to the bastion %s has just ended", via.addr))
		}
		if conn, err = via.conn.DialContext(ctx, "tcp", addr); err != nil {
			via.release()
			return nil, forwardFailure(fail, via.addr, err)
		}
	case cfg.ProxyURL != "":
		if conn, err = dialProxy(ctx, cfg.ProxyURL, addr); err != nil {
			return nil, fail(dialKind(err), err)
		}
	default:
		if conn, err = dialer(ctx)(ctx, "tcp", addr); err != nil {
			return nil, fail(dialKind(err), err)
		}
	}
	// The library bounds only the TCP connect, and a channel through a bastion has no deadlines: closing is what
	// ends a handshake.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	algorithms := ssh.SupportedAlgorithms() // leaves SHA-1 and DSA out
	wire := &wire{Conn: conn, acknowledge: acknowledging(conn)}
	sshConn, channels, requests, err := ssh.NewClientConn(wire, addr, &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: algorithms.KeyExchanges, Ciphers: algorithms.Ciphers, MACs: algorithms.MACs},
		User:              cfg.User,
		Auth:              login.methods(),
		AuthCallback:      login.observe,
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: keys.algorithms(),
	})
	if !stop() && err == nil {
		_ = sshConn.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if via != nil {
			via.release()
		}
		return nil, handshakeFailure(ctx, fail, login, err)
	}
	wire.carries(sshConn)
	p.logger.DebugContext(ctx, "connected over SSH", "host", addr, "user", cfg.User, "duration", time.Since(started),
		"server", string(sshConn.ServerVersion()), "host_key", keys.shown, "known_from", keys.knownFrom, "by", login.by(), "tried", login.tried, "through", viaAddress(via))
	return newClient(ctx, p, cfg, ssh.NewClient(sshConn, channels, requests), via), nil
}

// wire is what an SSH connection runs on. Its end is told to those who write before those who read hear of it: x/crypto
// drops the channels that are being opened when it reads the end, and has writes fail only afterwards, so that a channel
// that is asked for in between waits for ever.
type wire struct {
	net.Conn
	acknowledge func() // nil where it is done at once anyway
	over        atomic.Pointer[ssh.Conn]
}

func (w *wire) carries(conn ssh.Conn) { w.over.Store(&conn) }

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 && w.acknowledge != nil {
		w.acknowledge()
	}
	if err != nil {
		if conn := w.over.Swap(nil); conn != nil {
			_ = w.Close()
			_, _, _ = (*conn).SendRequest("ended", false, nil) // fails, and so does all that is written from here on
		}
	}
	return n, err //nolint:wrapcheck // it is the one that was wrapped
}

func viaAddress(via *Client) string {
	if via == nil {
		return ""
	}
	return via.addr
}

// handshakeFailure sorts what stopped a handshake. A verdict on the host key or the login stands, whatever became of
// the line afterwards.
func handshakeFailure(ctx context.Context, fail func(DialKind, error) error, login *login, err error) error {
	var hostKey *HostKeyError
	if errors.As(err, &hostKey) {
		return hostKey
	}
	if ctx.Err() == nil {
		if denied := login.failure(err); denied != nil {
			return denied
		}
	}
	kind := dialKind(err)
	if kind == DialOther {
		kind = DialHandshake
	}
	return fail(kind, err)
}

func forwardFailure(fail func(DialKind, error) error, bastion string, err error) error {
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return fail(DialReset, fmt.Errorf("the connection to the bastion %s broke: %w", bastion, err))
	}
	failure := fail(DialForward, fmt.Errorf("the bastion %s answers: %s (%s)", bastion, refused.Message, refused.Reason))
	var dial *DialError
	if errors.As(failure, &dial) {
		dial.final = refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType
	}
	return failure
}
