package simulation

import (
	"context"
	"io"
	"strings"
	"time"
)

// The lock of a host, as internal/remote takes it: it is there until its holder's input ends, or the host does.

// isLock tells the command that takes the lock from all others.
func isLock(line string) bool { return strings.Contains(line, "rabbitmq-topology-lock") }

// lock takes the lock and holds it, or says that it is taken. cut tells that the host has ended under it.
func (b *Broker) lock(ctx context.Context, line string, stdin io.Reader, stdout io.Writer) (code int, cut bool) {
	words, err := split(line)
	if err != nil || len(words) < 3 {
		return b.unknown("locking with %q: %v", line, err).code, false
	}
	if f := b.fleet.strike(b, []string{"lock"}); f != nil {
		if f.Kind == KillBefore || f.Kind == KillDuring || f.Kind == KillAfter {
			b.fleet.kill()
		}
		return 255, true
	}
	holder := words[len(words)-2]
	b.fleet.mu.Lock()
	other, boot := b.lockedBy, b.boot
	if other == "" {
		b.lockedBy = holder
	}
	b.fleet.mu.Unlock()
	if other != "" {
		_, _ = io.WriteString(stdout, other+", as process 1 on the host\n")
		return 46, false
	}
	defer func() {
		b.fleet.mu.Lock()
		defer b.fleet.mu.Unlock()
		b.lockedBy = ""
	}()
	if _, err := io.WriteString(stdout, "locked\n"); err != nil {
		return 0, true
	}
	ended := make(chan struct{})
	b.fleet.background.Go(func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, stdin)
	})
	for {
		select {
		case <-ended:
			return 0, false
		case <-ctx.Done():
			return 0, true
		case <-b.fleet.closed:
			return 0, true
		case <-time.After(time.Second):
			if b.closedDoor() || b.bootNow() != boot {
				return 0, true
			}
		}
	}
}

func (b *Broker) bootNow() string {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.boot
}
