package sshtest

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server, and breaks them when told to.
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	frozen chan struct{} // closed by Thaw
	limit  int           // bytes from the client still to be passed on; negative: no limit
	conns  map[net.Conn]bool
	closed bool
}

// NewProxy starts a proxy to target; the test's end stops it.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: listener, limit: -1, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Port is where it listens.
func (p *Proxy) Port() int {
	_, port, err := net.SplitHostPort(p.listener.Addr().String())
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	return n
}

// Freeze makes the network vanish: connections stay open and nothing passes, in either direction.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// CutAfter cuts every connection once the client has sent that many more bytes.
func (p *Proxy) CutAfter(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = bytes
}

// Close cuts every connection and waits.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true // first: what was frozen must not get through now
	p.mu.Unlock()
	p.cut()
	p.Thaw()
	p.wg.Wait()
}

func (p *Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *Proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	if p.closed {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.keep(client)
		p.keep(server)
		p.wg.Go(func() { p.pass(server, client, true) })
		p.wg.Go(func() { p.pass(client, server, false) })
	}
}

func (p *Proxy) pass(to, from net.Conn, counted bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		frozen, cut := p.frozen, false
		if counted && p.limit >= 0 {
			if n > p.limit {
				n, cut = p.limit, true
			}
			p.limit -= n
		}
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
			if p.isClosed() {
				return
			}
		}
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil || err != nil || cut {
			return
		}
	}
}
