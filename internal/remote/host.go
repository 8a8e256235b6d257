package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Runner runs one line in the login shell of a host's user and gives its exit code. A nil stdin is an empty one. When
// ctx ends it ends the command as far as it can. An error with a method CommandStarted() bool that gives false proves
// that the command never began.
type Runner interface {
	Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (exit int, err error)
}

// Options of a [Host].
type Options struct {
	// Become says whether other accounts than the login user's may be used, through BecomeMethod. When it is false,
	// commands for another account are refused, unless the login user is root.
	Become bool
	// Lasting reaches the host for what is held for long, over a connection of its own: where sshd allows one session
	// to a connection, nothing else would get through. Default: the runner.
	Lasting Runner
	// BecomeMethod is the program that changes accounts: [Sudo] (default) or [Doas].
	BecomeMethod string
	// BecomeUser is the one account that BecomeMethod is used for. Empty: each command's own. From root, every other
	// account is reached; from any other, none.
	BecomeUser string
	// BecomePassword answers sudo when it asks for a password, and only then.
	BecomePassword Secret
	// Logger gets each command with its duration and exit code; never input, never output. Default: none.
	Logger *slog.Logger
}

// DefaultMaxOutput is the number of bytes a command may print on each stream where it says nothing else.
const DefaultMaxOutput = 16 << 20

// Host is one host. It is safe for concurrent use.
type Host struct {
	runner  Runner
	address string
	options Options
	logger  *slog.Logger

	probing chan struct{} // holds one token: whoever has it may probe
	mu      sync.Mutex
	login   *loginUser
	asks    map[string]bool // the accounts for which sudo was seen to want the password, and to take it

	patience time.Duration // see promptPatience
}

// loginUser is what the probe found.
type loginUser struct {
	name   string
	root   bool
	become bool // the program that changes accounts is there
}

// New gives the host that r reaches. Errors call it by address. Nothing is run.
func New(r Runner, address string, o Options) *Host {
	h := &Host{runner: r, address: address, options: o, logger: o.Logger, probing: make(chan struct{}, 1), asks: map[string]bool{}, patience: promptPatience}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	return h
}

// Address is what errors call this host.
func (h *Host) Address() string { return h.address }

// Command is one program to run.
type Command struct {
	// Args is the program and its arguments, as it gets them: no shell reads them. They are logged and can be seen in
	// the host's process list, so that none may be a secret.
	Args []string
	// User is the account it runs as. Empty: the login user.
	User string
	// Stdin is its input. Zero: empty and closed.
	Stdin Secret
	// Timeout bounds the wait. Zero: only the context does.
	Timeout time.Duration
	// MaxOutput bounds each of the two streams, in bytes. Zero: [DefaultMaxOutput].
	MaxOutput int
}

// Result is what a program left behind.
type Result struct {
	Stdout   []byte
	Stderr   []byte
	ExitCode int
}

// Run runs a program, with the locale C.UTF-8. Its own failure is an exit code and no error. An error means that there
// is no exit status to trust: the Runner's errors, [TimeoutError], [ErrOutputTooLarge]; or that the program did not
// run: [SudoError], [CommandNotFoundError], [NoisyShellError].
func (h *Host) Run(ctx context.Context, c Command) (Result, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return Result{}, errors.New("no program to run")
	}
	for _, arg := range c.Args {
		if strings.Contains(arg, "\x00") {
			return Result{}, fmt.Errorf("an argument of %s holds a NUL byte", c.Args[0])
		}
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, errCommandTimeout)
		defer cancel()
	}
	login, err := h.probe(ctx)
	if err != nil {
		return Result{}, err
	}
	args, err := h.argv(login, c)
	if err != nil {
		return Result{}, err
	}
	log := h.logger.With("host", h.address, "as", c.User, "args", c.Args)
	// Both ends: where the provider is killed in between, the first line alone tells what may still go on there.
	log.DebugContext(ctx, "remote command starts")
	started := time.Now()
	result, err := h.become(ctx, login, c, args)
	log = log.With("duration", time.Since(started))
	if err != nil {
		log.DebugContext(ctx, "remote command gave no exit code", "error", err.Error())
		if ctx.Err() != nil && !errors.Is(err, ErrOutputTooLarge) && !notStarted(err) {
			timeout := c.Timeout
			if !errors.Is(context.Cause(ctx), errCommandTimeout) {
				timeout = 0
			}
			err = &TimeoutError{Host: h.address, Args: c.Args, Timeout: timeout, Err: err}
		}
		return result, err
	}
	log.DebugContext(ctx, "remote command ended", "exit", result.ExitCode)
	return result, nil
}

// errCommandTimeout tells the command's own bound from the caller's.
var errCommandTimeout = fmt.Errorf("the command's timeout: %w", context.DeadlineExceeded)

// run runs one line of the login shell.
func (h *Host) run(ctx context.Context, line string, stdin io.Reader, limit int) (Result, error) {
	if limit == 0 {
		limit = DefaultMaxOutput
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdout, stderr := &capped{limit: limit, full: cancel}, &capped{limit: limit, full: cancel}
	code, err := h.runner.Run(ctx, line, stdin, stdout, stderr)
	result := Result{Stdout: stdout.bytes(), Stderr: stderr.bytes(), ExitCode: code}
	if stdout.over() || stderr.over() {
		return result, h.tooLarge(limit)
	}
	return result, err
}

func (h *Host) tooLarge(limit int) error {
	return fmt.Errorf("%s: %w: more than %d bytes", h.address, ErrOutputTooLarge, limit)
}

// capped keeps what fits and takes the rest without an error: a writer that fails makes SSH sessions hang.
type capped struct {
	limit int
	full  func()

	mu     sync.Mutex
	buffer bytes.Buffer
	excess bool
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.limit - c.buffer.Len()
	if len(p) > room {
		c.buffer.Write(p[:room])
		if !c.excess {
			c.excess = true
			c.full()
		}
		return len(p), nil
	}
	c.buffer.Write(p)
	return len(p), nil
}

func (c *capped) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.excess
}

func (c *capped) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buffer.Bytes())
}

// missingMark is what our own wrapper prints when there is no such program.
const missingMark = "rabbitmq-topology: no such program"

// inPath runs a program with the directories of system programs in PATH: non-interactive sessions of ordinary users
// often lack them. It tells a missing program from one that ends with 127.
const inPath = `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH; ` +
	`command -v "$0" >/dev/null 2>&1 || { echo "` + missingMark + `" >&2; exit 127; }; exec "$0" "$@"`

// probe learns once who the login user is, and that the shell adds nothing to what commands print. A probe that
// failed is made again by the next command.
func (h *Host) probe(ctx context.Context) (loginUser, error) {
	if known := h.probed(); known != nil {
		return *known, nil
	}
	select {
	case h.probing <- struct{}{}:
		defer func() { <-h.probing }()
	case <-ctx.Done():
		return loginUser{}, &notBegunError{Host: h.address, Err: context.Cause(ctx)}
	}
	if known := h.probed(); known != nil {
		return *known, nil
	}
	nonce := rand.Text()
	result, err := h.run(ctx, "exec "+quoteShell(`echo "$0"; id -un; id -u; command -v `+h.method()+` >/dev/null 2>&1 && echo yes; echo "$0"`, nonce), nil, 64<<10)
	if err != nil {
		if ctx.Err() != nil && !notStarted(err) {
			err = &notBegunError{Host: h.address, Err: err}
		}
		return loginUser{}, err
	}
	before, rest, found := strings.Cut(string(result.Stdout), nonce+"\n")
	answer, after, complete := strings.Cut(rest, nonce+"\n")
	lines := strings.Split(answer, "\n")
	if !found || !complete || len(lines) < 3 {
		return loginUser{}, fmt.Errorf("%s: the login shell cannot run /bin/sh: exit code %d, it prints %q and %q", h.address, result.ExitCode, beginning(result.Stdout), beginning(result.Stderr))
	}
	if before+after != "" {
		return loginUser{}, &NoisyShellError{Host: h.address, User: lines[0], Text: beginning([]byte(before + after))}
	}
	login := loginUser{name: lines[0], root: lines[1] == "0", become: lines[2] == "yes"}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.login = &login
	return login, nil
}

func (h *Host) probed() *loginUser {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.login
}

func beginning(b []byte) string { return string(b[:min(len(b), 200)]) }

// notBegunError is a wait that ended while the host was still being looked at.
type notBegunError struct {
	Host string
	Err  error
}

func (e *notBegunError) Error() string {
	return fmt.Sprintf("gave up waiting for %s before the command was begun: %v", e.Host, e.Err)
}

func (e *notBegunError) Unwrap() error { return e.Err }

// CommandStarted is false: only the probe ran.
func (*notBegunError) CommandStarted() bool { return false }
