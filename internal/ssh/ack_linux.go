package ssh

import (
	"net"
	"syscall"
)

// acknowledging has what was received acknowledged at once. sshd sends its next small packet only then (Nagle's
// algorithm), and Linux takes 40 milliseconds to acknowledge what it has no answer to: that much was lost in each login
// (measured). It gives nil where it cannot be done.
func acknowledging(conn net.Conn) func() {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	now := func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // it saves time, or it does not
	}
	return func() { _ = raw.Control(now) }
}
