package sshtest

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// line is what the connections to one local server run over. A write never waits, so that nobody holds a lock while
// waiting for the other side: the clock of a synctest bubble would stand still then.
type line struct {
	mu     sync.Mutex
	moved  sync.Cond
	frozen bool
	left   int // bytes until it breaks; negative: it does not
	broke  func()
	ends   map[*end]bool
}

func (l *line) init() { l.moved.L, l.left, l.ends = &l.mu, -1, map[*end]bool{} }

// end is one end of a connection.
type end struct {
	line   *line
	other  *end
	buffer []byte // to be read here
	closed bool   // here
	reset  bool
}

// Connect makes a connection to a local server.
func (s *Server) Connect() net.Conn {
	l := &s.line
	l.mu.Lock()
	client, server := &end{line: l}, &end{line: l}
	client.other, server.other = server, client
	l.ends[client], l.ends[server] = true, true
	l.mu.Unlock()
	s.take(server)
	return client
}

// Freeze holds everything on the way to and from a local server, as a host does that stands still or whose cable is
// out, until it is thawed. Reset then tells whether the connections of before turn out to be dead.
func (s *Server) Freeze() {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.line.frozen = true
}

// Thaw ends a freeze.
func (s *Server) Thaw(reset bool) {
	l := &s.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = false
	if reset {
		l.reset()
	}
	l.moved.Broadcast()
}

// BreakAfter resets every connection to a local server after so many more bytes, in both directions together, and then
// calls broke.
func (s *Server) BreakAfter(bytes int, broke func()) {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.line.left, s.line.broke = bytes, broke
}

func (l *line) reset() {
	for e := range l.ends {
		e.reset, e.buffer = true, nil
	}
}

func (e *end) Read(p []byte) (int, error) {
	l := e.line
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case e.reset:
			return 0, syscall.ECONNRESET
		case len(e.buffer) > 0 && !l.frozen:
			n := copy(p, e.buffer)
			e.buffer = e.buffer[n:]
			return n, nil
		case e.other.closed && !l.frozen:
			return 0, io.EOF
		}
		l.moved.Wait()
	}
}

func (e *end) Write(p []byte) (int, error) {
	l := e.line
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case e.closed:
		return 0, net.ErrClosed
	case e.reset:
		return 0, syscall.ECONNRESET
	case e.other.closed && !l.frozen:
		return 0, syscall.EPIPE
	}
	n := len(p)
	breaks := l.left >= 0 && n >= l.left
	if breaks {
		n = l.left
	}
	e.other.buffer = append(e.other.buffer, p[:n]...)
	if l.left >= 0 {
		l.left -= n
	}
	l.moved.Broadcast()
	if !breaks {
		return n, nil
	}
	// What got through is read before the reset is seen only if the reader is quick: drop nothing that the other side
	// could have had.
	l.left = -1
	for other := range l.ends {
		if other != e.other {
			other.reset, other.buffer = true, nil
		}
	}
	e.other.other = &end{line: l, closed: true} // it reads what came, then the end
	broke := l.broke
	l.broke = nil
	if broke != nil {
		go broke()
	}
	return n, syscall.ECONNRESET
}

func (e *end) Close() error {
	l := e.line
	l.mu.Lock()
	defer l.mu.Unlock()
	e.closed = true
	delete(l.ends, e)
	l.moved.Broadcast()
	return nil
}

type address struct{}

func (address) Network() string { return "local" }
func (address) String() string  { return "local" }

func (*end) LocalAddr() net.Addr              { return address{} }
func (*end) RemoteAddr() net.Addr             { return address{} }
func (*end) SetDeadline(time.Time) error      { return nil }
func (*end) SetReadDeadline(time.Time) error  { return nil }
func (*end) SetWriteDeadline(time.Time) error { return nil }
