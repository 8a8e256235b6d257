package ssh

import (
	"context"
	"errors"
	"io"
)

// Host runs command lines on one host, over the connection that its pool has or makes.
type Host struct {
	pool *Pool
	cfg  Config
}

// Run is [Client.Run] on the host's connection. When that turns out to have died before the command was sent, it is
// sent over a new one; a command that may have been sent is never sent again.
func (h *Host) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
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
		return -1, err
	}
}
