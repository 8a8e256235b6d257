package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxSessions is how many commands run at once over one connection; sshd's default limit (MaxSessions) is 10.
const maxSessions = 8

// keepaliveMisses is after how many intervals without an answer a connection is given up.
const keepaliveMisses = 3

// How long a command is given to end after it was told to, and its session to close after that.
const (
	defaultTermGrace  = 2 * time.Second
	defaultCloseGrace = 2 * time.Second
)

// maxRefusals is how often a session is asked for when no other is in use; refusalPause is the first pause between. A
// server that has granted one before will do so again: where it allows a single one (MaxSessions 1), it frees that a
// little after it says that it is closed, and on a busy machine much later.
const (
	maxRefusals     = 4
	patientRefusals = 9
	refusalPause    = 20 * time.Millisecond
)

// Client is one connection. It is safe for concurrent use.
type Client struct {
	addr, user string
	conn       *ssh.Client
	via        *Client // the bastion's connection it runs through, or nil
	pool       *Pool
	logger     *slog.Logger
	ctx        context.Context // of the dial, for the logger; never ends
	sessions   *slots

	gone chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	granted bool  // it has opened a session before
	users   int   // running commands, and connections that run through this one
	retired bool  // takes no new commands, and ends with the last one
	cause   error // why it ended, where we ended it
}

func newClient(ctx context.Context, p *Pool, cfg Config, conn *ssh.Client, via *Client) *Client {
	c := &Client{
		addr: cfg.Address(), user: cfg.User, conn: conn, via: via, pool: p, logger: p.logger, sessions: newSlots(maxSessions),
		gone: make(chan struct{}), ctx: context.WithoutCancel(ctx),
	}
	p.mu.Lock()
	p.live[c] = struct{}{}
	p.mu.Unlock()
	p.wg.Go(c.watch)
	p.wg.Go(func() { c.keepalive(cfg.KeepaliveInterval) })
	return c
}

// watch cleans up once the connection has ended, whoever ended it.
func (c *Client) watch() {
	err := c.conn.Wait()
	c.mu.Lock()
	if c.cause == nil {
		c.cause = err
	}
	if c.cause == nil {
		c.cause = io.EOF
	}
	c.retired = true
	cause := c.cause
	c.mu.Unlock()
	close(c.gone)
	c.pool.evict(c)
	c.pool.mu.Lock()
	delete(c.pool.live, c)
	c.pool.mu.Unlock()
	if c.via != nil {
		c.via.release()
	}
	c.logger.DebugContext(c.ctx, "SSH connection ended", "host", c.addr, "user", c.user, "cause", cause.Error())
}

// keepalive notices a connection whose other end has vanished without a word: reads, writes and even closing a session
// hang on one, and only closing the connection frees them. There is one request under way at most.
func (c *Client) keepalive(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	answers := make(chan error, 1)
	waiting, misses := false, 0
	for {
		select {
		case <-c.gone:
			return
		case err := <-answers:
			waiting, misses = false, 0
			if err != nil {
				return // the connection is ending, watch sees to it
			}
		case <-ticker.C:
			if waiting {
				if misses++; misses >= keepaliveMisses {
					c.close(fmt.Errorf("no answer to %d keepalives, %s apart", misses, interval))
					return
				}
				continue
			}
			waiting = true
			go func() {
				_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
				answers <- err
			}()
		}
	}
}

// hold keeps a retired connection open; false when it takes nobody any more.
func (c *Client) hold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return false
	}
	c.users++
	return true
}

func (c *Client) release() {
	c.mu.Lock()
	c.users--
	last := c.retired && c.users == 0
	c.mu.Unlock()
	if last {
		c.close(errors.New("it was given up after a command would not end"))
	}
}

// pause is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retire takes the connection out of use without disturbing the commands that still run on it.
func (c *Client) retire() {
	c.mu.Lock()
	c.retired = true
	c.mu.Unlock()
	c.pool.evict(c)
}

// close ends the connection; the first cause is the one that is told.
func (c *Client) close(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.retired = true
	c.mu.Unlock()
	_ = c.conn.Close() // it is given up either way
}

func (c *Client) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// lost is the error for a command whose connection ended under it.
func (c *Client) lost(started bool, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		err = c.cause
	}
	return &ConnectionLostError{Addr: c.addr, User: c.user, Started: started, Err: err}
}

// Run runs one line in the login shell of the connection's user and gives its exit code: 128 plus the number for one
// that a signal ended. A nil stdin is an empty one; any other must come to its end, or to an error, by itself.
//
// When ctx ends, the command is told to end (SIGTERM), its session is closed, and if neither helps the connection is
// taken out of use: the error is an [InterruptedError], and the command may still be running. Other errors are
// [SessionRefusedError], [ConnectionLostError], and what stdout or stderr gave for a failed Write: then the rest of
// the output is thrown away and the command is ended the same way.
func (c *Client) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	if !c.hold() {
		return -1, c.lost(false, io.EOF)
	}
	defer c.release()
	s, err := c.open(ctx)
	if err != nil {
		return -1, err
	}
	defer c.sessions.give()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.drain(&sink{w: stdout, failed: stop}, &sink{w: stderr, failed: stop})
	started, err := s.exec(ctx, line)
	if err != nil {
		return -1, c.abandon(ctx, s, started, err)
	}
	s.feed(stdin)
	select {
	case <-s.done:
		if err := s.outputError(ctx); err != nil {
			return -1, err
		}
		if !s.exited {
			return -1, c.lost(true, s.missing())
		}
		return s.code, nil
	case <-ctx.Done():
		return -1, c.abandon(ctx, s, true, nil)
	}
}

// open waits for a free session and opens it.
func (c *Client) open(ctx context.Context) (*session, error) {
	for refusals := 1; ; refusals++ {
		if err := c.sessions.take(ctx); err != nil {
			return nil, &InterruptedError{Addr: c.addr, User: c.user, Err: err}
		}
		type result struct {
			s   *session
			err error
		}
		opened := make(chan result, 1)
		go func() {
			channel, requests, err := c.conn.OpenChannel("session", nil)
			if err != nil {
				opened <- result{err: err}
				return
			}
			opened <- result{s: newSession(channel, requests)}
		}()
		var r result
		select {
		case r = <-opened:
		case <-c.gone:
			// Where the server said goodbye, or new keys were being agreed on, an open can still be left without an
			// answer (see wire).
			c.sessions.give()
			return nil, c.lost(false, errors.New("the connection ended before a session was opened"))
		case <-ctx.Done():
			// The open is under way. Whenever it is answered, or the connection ends, it is cleaned up.
			go func() {
				if late := <-opened; late.s != nil {
					late.s.close()
				}
				c.sessions.give()
			}()
			return nil, &InterruptedError{Addr: c.addr, User: c.user, Err: context.Cause(ctx)}
		}
		var refused *ssh.OpenChannelError
		switch {
		case r.err == nil:
			c.mu.Lock()
			c.granted = true
			c.mu.Unlock()
			return r.s, nil
		case errors.As(r.err, &refused):
			// The server allows fewer sessions than we have under way. That says nothing against the connection,
			// and closing it would end the commands beside this one.
			if c.sessions.shrink() {
				continue
			}
			c.sessions.give()
			c.mu.Lock()
			limit := maxRefusals
			if c.granted {
				limit = patientRefusals
			}
			c.mu.Unlock()
			if refusals < limit && pause(ctx, refusalPause<<min(refusals-1, 6)) {
				continue
			}
			return nil, &SessionRefusedError{Addr: c.addr, User: c.user, Err: fmt.Errorf("%s (%s)", refused.Message, refused.Reason)}
		default:
			c.sessions.give()
			c.retire()
			return nil, c.lost(false, r.err)
		}
	}
}

// abandon ends a session that did not end by itself, and gives the error that says why.
func (c *Client) abandon(ctx context.Context, s *session, started bool, err error) error {
	if err != nil && ctx.Err() == nil {
		s.close()
		var refused *execRefused
		if errors.As(err, &refused) {
			return &SessionRefusedError{Addr: c.addr, User: c.user, Err: err}
		}
		if !started {
			c.retire()
		}
		return c.lost(started, err)
	}
	ended := false
	for _, step := range []struct {
		do    func()
		grace time.Duration
	}{{s.terminate, c.pool.termGrace}, {s.close, c.pool.closeGrace}} {
		step.do()
		timer := time.NewTimer(step.grace)
		select {
		case <-s.done:
			ended = true
		case <-c.gone:
			ended = true
		case <-timer.C:
		}
		timer.Stop()
		if ended {
			break
		}
	}
	if !ended {
		// The session stays taken on the server. Its connection gets no more commands, and is closed, which frees
		// our end, as soon as those beside it are done.
		c.retire()
	}
	if err := s.outputError(ctx); err != nil {
		return err
	}
	return &InterruptedError{Addr: c.addr, User: c.user, Started: started, Err: context.Cause(ctx)}
}
