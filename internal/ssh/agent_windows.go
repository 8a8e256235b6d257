package ssh

import (
	"context"
	"io"
	"os"
	"strings"

	"net"
)

// dialAgent reaches the agent of Windows, a named pipe, or one that serves a socket.
func dialAgent(ctx context.Context, socket string) (io.ReadWriteCloser, error) {
	if strings.HasPrefix(socket, `\\.\pipe\`) {
		return os.OpenFile(socket, os.O_RDWR, 0)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", socket)
}
