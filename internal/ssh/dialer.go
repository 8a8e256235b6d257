package ssh

import (
	"context"
	"net"
)

// Dialer makes the connection under SSH, as [net.Dialer.DialContext] does.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

type dialerKey struct{}

// WithDialer returns a context in which hosts, and first bastions, are connected to through dial. It is how the
// simulation puts hosts in reach that are on no network; everything above the connection stays what it is.
func WithDialer(ctx context.Context, dial Dialer) context.Context {
	return context.WithValue(ctx, dialerKey{}, dial)
}

// dialer gives what connects in ctx: the network, unless [WithDialer] says otherwise.
func dialer(ctx context.Context) Dialer {
	if dial, ok := ctx.Value(dialerKey{}).(Dialer); ok {
		return dial
	}
	return new(net.Dialer).DialContext
}
