package ssh

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// startProxy serves each connection with greet, which gives the address that is asked for, and then passes bytes to target.
func startProxy(t *testing.T, target string, greet func(net.Conn) error) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				if greet(conn) != nil {
					return
				}
				server, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				wg.Go(func() { _, _ = io.Copy(server, conn); _ = server.Close() })
				_, _ = io.Copy(conn, server)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}

func httpProxy(wantAddr, wantLogin string) func(net.Conn) error {
	return func(conn net.Conn) error {
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return err
		}
		user, password, _ := proxyLogin(request)
		if request.Method != http.MethodConnect || request.Host != wantAddr || user+":"+password != wantLogin {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
			return errors.New("refused")
		}
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		return err
	}
}

func proxyLogin(r *http.Request) (user, password string, ok bool) {
	r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
	return r.BasicAuth()
}

func socksProxy(wantAddr, wantLogin string, code byte) func(net.Conn) error {
	return func(conn net.Conn) error {
		read := func(n int) []byte {
			b := make([]byte, n)
			_, _ = io.ReadFull(conn, b)
			return b
		}
		methods := read(int(read(2)[1]))
		if wantLogin == "" {
			_, _ = conn.Write([]byte{5, 0})
		} else if len(methods) < 2 {
			_, _ = conn.Write([]byte{5, 0xff})
			return errors.New("no login")
		} else {
			_, _ = conn.Write([]byte{5, 2})
			user := string(read(int(read(2)[1])))
			password := string(read(int(read(1)[0])))
			if user+":"+password != wantLogin {
				_, _ = conn.Write([]byte{1, 1})
				return errors.New("denied")
			}
			_, _ = conn.Write([]byte{1, 0})
		}
		var host string
		switch read(4)[3] {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		case 4:
			host = net.IP(read(16)).String()
		}
		addr := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(read(2))))
		if addr != wantAddr {
			code = 4
		}
		_, _ = conn.Write(append([]byte{5, code, 0, 3, 4}, "name\x00\x16"...))
		if code != 0 {
			return errors.New("refused")
		}
		return nil
	}
}

func TestProxies(t *testing.T) {
	s := sshtest.New(t)
	for _, c := range []struct {
		name, url, host string
		greet           func(net.Conn) error
	}{
		{"http", "http://%s", "rmq1.internal", httpProxy("rmq1.internal:22", ":")},
		{"http with a login", "http://me:p%%40ss@%s", "10.0.0.1", httpProxy("10.0.0.1:22", "me:p@ss")},
		{"socks5", "socks5://%s", "rmq1.internal", socksProxy("rmq1.internal:22", "", 0)},
		{"socks5 with a login", "socks5://me:p%%40ss@%s", "10.0.0.1", socksProxy("10.0.0.1:22", "me:p@ss", 0)},
		{"socks5 to IPv6", "socks5h://%s", "2001:db8::1", socksProxy("[2001:db8::1]:22", "", 0)},
	} {
		cfg := configFor(t, s)
		cfg.Host, cfg.Port, cfg.ProxyURL = c.host, 0, Secret(fmt.Sprintf(c.url, startProxy(t, s.Addr(), c.greet)))
		p := newPool(t)
		if code, _, _ := run(t, p.Host(cfg), "x", ""); code != 0 {
			t.Errorf("%s: code %d", c.name, code)
		}
		if err := p.Close(); err != nil { // the proxy's pumps end with it
			t.Error(err)
		}
	}
}

func TestProxyThatRefuses(t *testing.T) {
	s := sshtest.New(t)
	for says, c := range map[string]struct {
		url   string
		greet func(net.Conn) error
	}{
		"407 Proxy Authentication": {"http://me:s3cret@%s", httpProxy("rmq1:22", "me:other")},
		"refuses the user name":    {"socks5://me:s3cret@%s", socksProxy("rmq1:22", "me:other", 0)},
		"does not give":            {"socks5://%s", socksProxy("rmq1:22", "me:other", 0)},
		"not allowed by its rules": {"socks5://%s", socksProxy("rmq1:22", "", 2)},
		"does not speak SOCKS5":    {"socks5://%s", func(c net.Conn) error { _, err := io.WriteString(c, "SSH-2.0-x"); return errors.Join(err, io.EOF) }},
		"no answer within 10ms":    {"http://%s", func(c net.Conn) error { _, err := io.Copy(io.Discard, c); return errors.Join(err, io.EOF) }},
	} {
		cfg := configFor(t, s)
		cfg.Host, cfg.Port, cfg.ProxyURL = "rmq1", 0, Secret(fmt.Sprintf(c.url, startProxy(t, s.Addr(), c.greet)))
		if strings.HasPrefix(says, "no answer") {
			cfg.ConnectTimeout = 10 * time.Millisecond
		}
		p := newPool(t)
		ctx, leave := context.WithCancelCause(testContext(t))
		p.backoff = onceThen(func() { leave(errors.New("enough")) })
		_, err := p.Get(ctx, cfg)
		as[*DialError](t, err)
		contains(t, err.Error(), says, "rmq1:22")
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// Only the first hop goes through the proxy; the others go through the hop before them.
func TestProxyServesTheFirstHop(t *testing.T) {
	target := sshtest.New(t)
	bastion := sshtest.New(t, func(s *sshtest.Server) { s.ForwardTo = func(string) (string, error) { return target.Addr(), nil } })
	hop := configFor(t, bastion)
	hop.Host, hop.Port = "bastion.example", 0
	cfg := configFor(t, target)
	cfg.Host, cfg.Port, cfg.Bastions = "rmq1.internal", 0, []Config{hop}
	cfg.ProxyURL = Secret("http://" + startProxy(t, bastion.Addr(), httpProxy("bastion.example:22", ":")))
	p := newPool(t)
	run(t, p.Host(cfg), "x", "")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
