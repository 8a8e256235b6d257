package ssh

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// dialProxy connects to addr through the proxy at the URL. Names are resolved by the proxy.
func dialProxy(ctx context.Context, proxy Secret, addr string) (net.Conn, error) {
	u, err := parseProxyURL(proxy)
	if err != nil {
		return nil, fmt.Errorf("proxy_url %w", err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "1080"
	}
	at := net.JoinHostPort(u.Hostname(), port)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("the proxy %s: %w", at, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if u.Scheme == "http" {
		err = connectHTTP(conn, u.User, addr)
	} else {
		err = connectSOCKS5(conn, u.User, addr)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the proxy %s: %w", at, err)
	}
	return conn, nil
}

// connectHTTP asks for a tunnel (RFC 9110, CONNECT).
func connectHTTP(conn net.Conn, user *url.Userinfo, addr string) error {
	request := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return err
	}
	// One byte at a time: what follows the answer already belongs to the SSH server.
	response, err := http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answers %s", response.Status)
	}
	return nil
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

// socksReplies are the texts of RFC 1928, section 6.
var socksReplies = []string{
	"", "general failure", "not allowed by its rules", "network unreachable", "host unreachable", "connection refused", "TTL expired",
	"command not supported", "address type not supported",
}

// connectSOCKS5 follows RFC 1928 and, for the password, RFC 1929.
func connectSOCKS5(conn net.Conn, user *url.Userinfo, addr string) error {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return err
	}
	if len(host) > 255 {
		return errors.New("the host name is too long for SOCKS")
	}
	ask := func(request []byte, answer int) ([]byte, error) {
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		reply := make([]byte, answer)
		_, err := io.ReadFull(conn, reply)
		return reply, err
	}
	const none, byPassword = 0, 2
	greeting := []byte{5, 1, none}
	if user != nil {
		greeting = []byte{5, 2, none, byPassword}
	}
	reply, err := ask(greeting, 2)
	switch {
	case err != nil:
		return err
	case reply[0] != 5:
		return errors.New("does not speak SOCKS5")
	case reply[1] == byPassword && user != nil:
		password, _ := user.Password()
		if len(user.Username()) > 255 || len(password) > 255 {
			return errors.New("the user name or password is too long for SOCKS")
		}
		login := append([]byte{1, byte(len(user.Username()))}, user.Username()...)
		login = append(append(login, byte(len(password))), password...)
		if reply, err = ask(login, 2); err != nil {
			return err
		}
		if reply[1] != 0 {
			return errors.New("refuses the user name and password of proxy_url")
		}
	case reply[1] != none:
		return errors.New("wants a login that proxy_url does not give")
	}
	request := []byte{5, 1, 0}
	switch ip := net.ParseIP(host); {
	case ip == nil:
		request = append(append(request, 3, byte(len(host))), host...)
	case ip.To4() != nil:
		request = append(append(request, 1), ip.To4()...)
	default:
		request = append(append(request, 4), ip...)
	}
	if reply, err = ask(binary.BigEndian.AppendUint16(request, uint16(port)), 4); err != nil {
		return err
	}
	if code := int(reply[1]); code != 0 {
		if code < len(socksReplies) {
			return fmt.Errorf("answers: %s", socksReplies[code])
		}
		return fmt.Errorf("answers with code %d", code)
	}
	// The address it connects from is of no use, but has to be read.
	rest := map[byte]int{1: 4, 4: 16}[reply[3]]
	if reply[3] == 3 {
		length, err := ask(nil, 1)
		if err != nil {
			return err
		}
		rest = int(length[0])
	}
	_, err = ask(nil, rest+2)
	return err
}
