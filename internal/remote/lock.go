package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A lock that its holder cannot leave behind: a process on the host has it, and lives as long as somebody writes to its
// input. It ends with the holder, with the connection, and when the holder's machine falls silent.
//
// What is locked is a directory that every host has and every account may open: a file would have to be made, by one of
// several accounts, in a place that all of them may write to, and that is where kernels refuse them
// (fs.protected_regular). Who has it stands in the arguments of the process, where everybody may read it.

const (
	lockBeat   = 15 * time.Second // how often the holder says that it is still there
	lockLimit  = "60"             // after how many seconds without a word the host gives the lock up
	lockAnswer = 30 * time.Second // how long the host may take to say yes or no
	lockEnd    = 5 * time.Second  // how long the process may take to end
)

const (
	exitLocked  = 46
	exitNoFlock = 47
)

// lockHost takes the lock or says who has it. What it execs keeps the lock as descriptor 9.
const lockHost = `command -v flock >/dev/null 2>&1 || exit 47; d=$3; test -d "$d" || d=/; exec 9<"$d" || exit 1; ` +
	`if flock -n 9; then exec /bin/sh -c "$1" rabbitmq-topology-holds "$2"; fi; ` +
	`ps -eo pid=,args= 2>/dev/null | sed -n "s/^ *\([0-9]*\) .* rabbitmq-topology-hold[s] by \(.*\)$/by \2, as process \1 on the host/p" | head -n 1; exit 46`

const keepLock = `echo locked; while x=$(timeout ` + lockLimit + ` head -n 1) && test -n "$x"; do :; done`

// LockedError says that somebody else holds the lock of a host.
type LockedError struct {
	Host   string
	Holder string // as it told: "by root@ci, …"; empty when the host does not show it
}

func (e *LockedError) Error() string {
	holder := e.Holder
	if holder == "" {
		holder = "by a process that " + e.Host + " does not show to this login"
	}
	return fmt.Sprintf("%s is locked %s", e.Host, holder)
}

// NoFlockError says that a host has no flock(1), with which locks are held.
type NoFlockError struct{ Host string }

func (e *NoFlockError) Error() string { return e.Host + " has no program flock (of util-linux)" }

// Lock is the lock of one host.
type Lock struct {
	host   string
	input  *io.PipeWriter
	cancel context.CancelFunc
	gone   chan struct{} // closed when the process on the host has ended, or its connection has
}

// Lock takes the lock of this host for holder, which is what others are told: "by NAME, …". It does not wait: a lock
// that is taken is a [LockedError]. It is held until Release, whatever becomes of ctx, or until the connection ends.
func (h *Host) Lock(ctx context.Context, holder string) (*Lock, error) {
	return h.lock(ctx, "/run", holder)
}

func (h *Host) lock(ctx context.Context, directory, holder string) (*Lock, error) {
	runner := h.options.Lasting
	if runner == nil {
		runner = h.runner
	}
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	input, writer := io.Pipe()
	l := &Lock{host: h.address, input: writer, cancel: cancel, gone: make(chan struct{})}
	stdout, stderr := &announced{line: "locked", heard: make(chan struct{})}, &capped{limit: 64 << 10, full: func() {}}
	var code int
	var ended error
	go func() {
		defer close(l.gone)
		code, ended = runner.Run(held, "exec "+quoteShell(lockHost, "rabbitmq-topology-lock", keepLock, holder, directory), input, stdout, stderr)
		_ = input.Close() // whoever still reads or writes it
	}()
	timer := time.NewTimer(lockAnswer)
	defer timer.Stop()
	select {
	case <-stdout.heard:
		go l.beat()
		return l, nil
	case <-l.gone:
	case <-ctx.Done():
		l.Release()
		return nil, &notBegunError{Host: h.address, Err: context.Cause(ctx)}
	case <-timer.C:
		l.Release()
		return nil, fmt.Errorf("locking %s: no answer within %s", h.address, lockAnswer)
	}
	cancel()
	switch {
	case ended != nil:
		return nil, ended
	case code == exitLocked:
		return nil, &LockedError{Host: h.address, Holder: strings.TrimSpace(stdout.text())}
	case code == exitNoFlock:
		return nil, &NoFlockError{Host: h.address}
	}
	return nil, fmt.Errorf("locking %s: exit code %d, it prints %q", h.address, code, beginning(stderr.bytes()))
}

// beat tells the process on the host that this one is there.
func (l *Lock) beat() {
	ticker := time.NewTicker(lockBeat)
	defer ticker.Stop()
	for {
		select {
		case <-l.gone:
			return
		case <-ticker.C:
			if _, err := io.WriteString(l.input, "held\n"); err != nil {
				return
			}
		}
	}
}

// Held tells whether the lock is still held. It is not when its connection was lost.
func (l *Lock) Held() bool {
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

// Release gives the lock back and waits until the process on the host has ended.
func (l *Lock) Release() {
	_ = l.input.Close()
	timer := time.NewTimer(lockEnd)
	defer timer.Stop()
	select {
	case <-l.gone:
	case <-timer.C: // a host that hangs; its end of the connection goes with ours
	}
	l.cancel()
	<-l.gone
}

// announced waits for a line of a command that goes on after it.
type announced struct {
	line  string
	heard chan struct{}

	mu     sync.Mutex
	buffer bytes.Buffer
	said   bool
}

func (a *announced) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said || a.buffer.Len() > 64<<10 {
		return len(p), nil
	}
	a.buffer.Write(p)
	if bytes.Contains(append([]byte("\n"), a.buffer.Bytes()...), []byte("\n"+a.line+"\n")) {
		a.said = true
		close(a.heard)
	}
	return len(p), nil
}

func (a *announced) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.buffer.String()
}
