package ssh

import (
	"net"
	"syscall"
	"testing"
)

// What an SSH connection runs on is acknowledged as soon as it is read, also once Linux has found that it may wait.
func TestWhatIsReadIsAcknowledgedAtOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	tcp, ok := near.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", near)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	atOnce := func(set ...int) (value int) {
		t.Helper()
		var failed error
		if err := raw.Control(func(fd uintptr) {
			for _, v := range set {
				failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, v)
			}
			if failed == nil {
				value, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if failed != nil {
			t.Fatal(failed)
		}
		return value
	}
	if atOnce(0) != 0 {
		t.Fatal("Linux cannot be told to wait")
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	wire := &wire{Conn: near, acknowledge: acknowledging(near)}
	if _, err := wire.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if atOnce() != 1 {
		t.Error("what comes next would be acknowledged late")
	}
}
