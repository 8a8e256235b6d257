package ssh

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// ErrPoolClosed is what [Pool.Get] gives after [Pool.Close].
var ErrPoolClosed = errors.New("the SSH connections of this run are closed")

// Options of a [Pool]. The zero value is fine.
type Options struct {
	// Logger gets each connection made, lost and retried. Default: none. Nothing secret is logged.
	Logger *slog.Logger
}

// Pool holds one connection per host (and user, key, way there). It is safe for concurrent use.
type Pool struct {
	logger  *slog.Logger
	backoff func(attempt int) time.Duration
	now     func() time.Time

	termGrace, closeGrace, lateKeyPause time.Duration

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // flights and watched connections

	mu      sync.Mutex
	closed  bool
	entries map[[sha256.Size]byte]*entry
	turns   map[string]*slots
	live    map[*Client]struct{} // also those that are retired
}

// entry is what the pool has for one configuration.
type entry struct {
	client   *Client
	flight   *flight
	denied   error
	deniedAt time.Time
	silent   time.Duration // how long it was waited for in vain when it was last asked; 0 when it answered
}

// flight is a dial that several callers wait for. It ends when it succeeds, fails for good, or nobody waits any more.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	client *Client // after done
	err    error   // after done

	// guarded by Pool.mu
	waiters  int
	attempts int
	last     error   // of the last attempt
	upstream *flight // the bastion's dial this one waits for
}

// afterDenial is how long an authentication failure is remembered. Every resource of a plan would otherwise try
// again, and sshd shuts out a source that fails too often (PerSourcePenalties).
const afterDenial = 10 * time.Second

// NewPool makes an empty pool. It has to be closed.
func NewPool(o Options) *Pool {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Pool{
		logger: o.Logger, backoff: backoff, now: time.Now, termGrace: defaultTermGrace, closeGrace: defaultCloseGrace, lateKeyPause: afterDenial, ctx: ctx, cancel: cancel,
		entries: map[[sha256.Size]byte]*entry{}, turns: map[string]*slots{}, live: map[*Client]struct{}{},
	}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	return p
}

// backoff is the pause after a failed attempt: random, so that callers spread, and growing from 1 to 20 seconds.
func backoff(attempt int) time.Duration {
	limit := min(time.Second<<min(attempt-1, 5), 20*time.Second)
	return 100*time.Millisecond + rand.N(limit)
}

// Get gives the connection to a host, making it when there is none. Callers of the same host share the work. It waits
// for cfg.Timeout at most, trying again for as long as the host is refusing, silent, unreachable or hanging up. The
// error is a [ConfigError], [DialError], [AuthError] or [HostKeyError].
func (p *Pool) Get(ctx context.Context, cfg Config) (*Client, error) {
	given := cfg
	cfg = cfg.withDefaults()
	if c := p.connected(cfg); c != nil {
		return c, nil
	}
	if err := given.Validate(); err != nil {
		return nil, err
	}
	wait, cause := cfg.Timeout, fmt.Errorf("no connection within %s (timeout)", cfg.Timeout)
	if before := p.silence(cfg); before > 0 && cfg.SilentTimeout > 0 && cfg.SilentTimeout < wait {
		wait, cause = cfg.SilentTimeout, fmt.Errorf("no connection within %s, nor within %s before", cfg.SilentTimeout, before)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, wait, cause)
	defer cancel()
	client, err := p.get(bounded, cfg, nil)
	p.heard(cfg, err, ctx.Err() == nil && bounded.Err() != nil, wait)
	return client, err
}

// silence is how long the host was waited for in vain before; 0 when it answered, or was never asked.
func (p *Pool) silence(cfg Config) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[cfg.key()]; e != nil {
		return e.silent
	}
	return 0
}

// heard notes whether a host gave an answer of any kind. That it was not waited for to the end says nothing.
func (p *Pool) heard(cfg Config, err error, inVain bool, waited time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[cfg.key()]
	var dial *DialError
	switch {
	case e == nil:
	case !errors.As(err, &dial):
		e.silent = 0
	case inVain:
		e.silent = max(e.silent, waited)
	}
}

// connected gives the connection there is.
func (p *Pool) connected(cfg Config) *Client {
	key := cfg.key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[key]; e != nil && !p.closed {
		return e.client
	}
	return nil
}

// get waits for the connection until ctx ends; parent is the flight that needs it to get further.
func (p *Pool) get(ctx context.Context, cfg Config, parent *flight) (*Client, error) {
	key := cfg.key()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrPoolClosed
	}
	e := p.entries[key]
	if e == nil {
		e = &entry{}
		p.entries[key] = e
	}
	if e.client != nil {
		defer p.mu.Unlock()
		return e.client, nil
	}
	if e.denied != nil && p.now().Sub(e.deniedAt) < afterDenial {
		defer p.mu.Unlock()
		return nil, e.denied
	}
	f := e.flight
	if f == nil {
		// The dial belongs to all who wait for it: it must not end with the context of the one who came first.
		flightCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{cancel: cancel, done: make(chan struct{})}
		e.flight = f
		p.wg.Go(func() {
			defer context.AfterFunc(p.ctx, cancel)()
			defer cancel()
			p.fly(flightCtx, cfg, e, f)
		})
	}
	f.waiters++
	if parent != nil {
		parent.upstream = f
	}
	p.mu.Unlock()

	cause := p.await(ctx, cfg, f)
	p.mu.Lock()
	defer p.mu.Unlock()
	if parent != nil {
		parent.upstream = nil
	}
	f.waiters--
	select {
	case <-f.done:
		return f.client, f.err
	default:
	}
	if f.waiters == 0 {
		f.cancel()
		if e.flight == f { // the next caller begins afresh
			e.flight = nil
		}
	}
	return nil, f.gaveUp(cfg, cause)
}

// await waits for a dial, and says why it ended before there was a result.
func (p *Pool) await(ctx context.Context, cfg Config, f *flight) error {
	var refused <-chan time.Time
	if cfg.RefusedTimeout > 0 {
		timer := time.NewTimer(cfg.RefusedTimeout)
		defer timer.Stop()
		refused = timer.C
	}
	for {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-refused:
			p.mu.Lock()
			var last *DialError
			told := errors.As(f.last, &last) && last.Kind == DialRefused
			p.mu.Unlock()
			if told {
				return fmt.Errorf("refused for %s", cfg.RefusedTimeout)
			}
			refused = nil
		}
	}
}

// gaveUp tells a caller that leaves what the dial has met so far.
func (f *flight) gaveUp(cfg Config, cause error) error {
	for at := f; at != nil; at = at.upstream {
		var last *DialError
		if errors.As(at.last, &last) {
			told := *last
			told.Attempts = at.attempts
			told.Err = fmt.Errorf("%w; %w", last.Err, cause)
			return &told
		}
	}
	return &DialError{Addr: cfg.Address(), User: cfg.User, Kind: DialTimeout, Attempts: f.attempts, Err: cause}
}

// fly dials until there is a result or ctx ends.
func (p *Pool) fly(ctx context.Context, cfg Config, e *entry, f *flight) {
	for {
		client, err := p.connect(ctx, cfg, f)
		p.mu.Lock()
		f.attempts++
		var dial *DialError
		again := errors.As(err, &dial) && dial.temporary() && ctx.Err() == nil
		if again {
			f.last = err
			attempt := f.attempts
			p.mu.Unlock()
			wait := p.backoff(attempt)
			p.logger.DebugContext(ctx, "SSH connection failed, trying again", "host", cfg.Address(), "attempt", attempt, "pause", wait, "error", err.Error())
			if pause(ctx, wait) {
				continue
			}
			p.mu.Lock()
		}
		if dial != nil && dial.Attempts == 0 { // else it is a bastion's, and others read it
			dial.Attempts = f.attempts
		}
		var denied *AuthError
		if errors.As(err, &denied) {
			e.denied, e.deniedAt = err, p.now()
		}
		abandoned := e.flight != f || p.closed
		if !abandoned {
			e.flight = nil
		}
		if client != nil {
			if abandoned || client.isGone() {
				p.mu.Unlock()
				client.close(ErrPoolClosed)
				p.mu.Lock()
				client, err = nil, &ConnectionLostError{Addr: cfg.Address(), User: cfg.User, Err: errors.New("it ended as soon as it was made")}
			} else {
				e.client, e.denied = client, nil
			}
		}
		f.client, f.err = client, err
		close(f.done)
		p.mu.Unlock()
		return
	}
}

// dials gives the queue of those who connect to one address.
func (p *Pool) dials(addr string) *slots {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.turns[addr]
	if s == nil {
		s = newSlots(maxDials)
		p.turns[addr] = s
	}
	return s
}

// evict forgets a client, so that the next caller gets a new connection.
func (p *Pool) evict(c *Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries {
		if e.client == c {
			e.client = nil
		}
	}
}

// Close ends every connection and every dial, and waits until they are gone.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	clients := slices.Collect(maps.Keys(p.live))
	p.mu.Unlock()
	p.cancel()
	for _, c := range clients {
		c.close(ErrPoolClosed)
	}
	p.wg.Wait()
	return nil
}

// Host is a host that is connected to when something is to be run on it.
func (p *Pool) Host(cfg Config) *Host { return &Host{pool: p, cfg: cfg} }
