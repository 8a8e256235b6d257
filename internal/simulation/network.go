package simulation

import (
	"context"
	"crypto/ed25519"
	"io"
	"net"
	"sync"
	"syscall"

	xssh "golang.org/x/crypto/ssh"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// Network puts a real SSH server before each host of a fleet and connects to it without the operating system: it is for
// synctest bubbles, in which no real connection can be waited for. Everything of SSH but TCP is there.
type Network struct {
	fleet   *Fleet
	servers map[string]*sshtest.Server // by node name

	mu      sync.Mutex
	current *wires
}

// hostKey is the one of every simulated host: to make one for each would take longer than a handshake.
var hostKey = sync.OnceValue(func() xssh.Signer {
	key, err := xssh.NewSignerFromKey(ed25519.NewKeyFromSeed([]byte("the simulated hosts' own key 32b")))
	if err != nil {
		panic(err)
	}
	return key
})

// Network makes the network of a fleet.
func (f *Fleet) Network() *Network {
	n := &Network{fleet: f, servers: map[string]*sshtest.Server{}}
	for _, name := range f.Names() {
		b := f.Broker(name)
		n.servers[name] = sshtest.NewLocal(func(made *sshtest.Server) {
			made.Anyone, made.HostKeys = true, []xssh.Signer{hostKey()}
			made.Exec = func(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
				if isLock(line) {
					code, cut := b.lock(ctx, line, stdin, stdout)
					if cut {
						made.Disconnect()
					}
					return code
				}
				o := b.exec(ctx, user, line, stdin)
				_, _ = io.WriteString(stdout, o.out)
				_, _ = io.WriteString(stderr, o.err)
				if o.cut {
					made.Disconnect()
				}
				return o.code
			}
		})
		b.link = n.servers[name]
	}
	f.kill = n.Kill
	return n
}

// Close ends every connection.
func (n *Network) Close() {
	for _, server := range n.servers {
		server.Thaw(true)
		server.Close()
	}
}

// Kill ends the provider's process that runs now, as SIGKILL does: its connections end, and nothing that it still had to
// say is heard.
func (n *Network) Kill() {
	n.mu.Lock()
	w := n.current
	n.mu.Unlock()
	if w != nil {
		w.cut(true)
	}
}

// wires are the connections of one process of the provider.
type wires struct {
	network *Network
	killed  chan struct{}
	ended   chan struct{}

	mu    sync.Mutex
	over  bool
	conns []net.Conn
}

func (n *Network) open() *wires {
	w := &wires{network: n, killed: make(chan struct{}), ended: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current = w
	return w
}

// cut ends all connections and lets no new one be made: the process is gone, of itself or killed.
func (w *wires) cut(killed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.over = true
	if killed {
		close(w.killed)
	}
	close(w.ended)
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}

// dial is [ssh.Dialer].
func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: network, Err: err} }
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fail(err)
	}
	b := w.network.fleet.host(host)
	if b == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	up, shut := b.door()
	if !up {
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-w.ended:
		}
	}
	if shut {
		return fail(syscall.ECONNREFUSED)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return fail(net.ErrClosed)
	}
	conn := w.network.servers[b.Name].Connect()
	w.conns = append(w.conns, conn)
	return conn, nil
}
