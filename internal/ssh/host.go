package ssh

import (
	"context"
	"errors"
	"io"
	"time"
)

// Host runs command lines on one host, over the connection that its pool has or makes.
type Host struct {
	pool *Pool
	cfg  Config
}

// lateKeyTries is how often a login is tried at a host that may not know our key yet.
const lateKeyTries = 3

// Run is [Client.Run] on the host's connection. When that turns out to have died before the command was sent, it is
// sent over a new one; a command that may have been sent is never sent again.
func (h *Host) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	began, denials := time.Now(), 0
	for attempt := 1; ; attempt++ {
		client, err := h.pool.Get(ctx, h.cfg)
		if err == nil {
			var code int
			if code, err = client.Run(ctx, line, stdin, stdout, stderr); err == nil {
				return code, nil
			}
		}
		var lost *ConnectionLostError
		if attempt < 3 && errors.As(err, &lost) && !lost.Started && ctx.Err() == nil {
			continue
		}
		var denied *AuthError
		if h.cfg.LateKey && errors.As(err, &denied) && denials+1 < lateKeyTries && time.Since(began)+h.pool.lateKeyPause < h.cfg.withDefaults().Timeout {
			denials++
			h.pool.logger.InfoContext(ctx, "the host does not know our key, or does not know it yet: trying again", "host", denied.Addr, "user", denied.User, "pause", h.pool.lateKeyPause)
			if pause(ctx, h.pool.lateKeyPause) {
				continue
			}
		}
		return -1, err
	}
}
