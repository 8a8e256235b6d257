package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// ConfigError says that a setting is wrong or names something that cannot be used. Nothing was sent to a host. The
// text never holds key material.
type ConfigError struct {
	Host      string // host the settings are for
	Attribute string // as users write it, such as private_key_file or bastions[0].user
	Origin    string // where the value comes from, when that is known
	Err       error
}

func (e *ConfigError) Error() string {
	host := ""
	if e.Host != "" {
		host = " for " + e.Host
	}
	origin := ""
	if e.Origin != "" {
		origin = fmt.Sprintf(" (from %s)", e.Origin)
	}
	return fmt.Sprintf("ssh settings%s: %s%s %v", host, e.Attribute, origin, e.Err)
}

func (e *ConfigError) Unwrap() error { return e.Err }

// CommandStarted is false: no command was sent.
func (*ConfigError) CommandStarted() bool { return false }

// DialKind is what stopped a connection from being made.
type DialKind string

// Kinds of [DialError].
const (
	DialResolve     DialKind = "resolve"     // the name has no address
	DialRefused     DialKind = "refused"     // nothing listens there
	DialTimeout     DialKind = "timeout"     // no answer in time
	DialUnreachable DialKind = "unreachable" // no route
	DialReset       DialKind = "reset"       // the other side hung up, before or while the handshake ran
	DialHandshake   DialKind = "handshake"   // it answered, but the two sides found no common ground
	DialForward     DialKind = "forward"     // a bastion would not open the way to the next hop
	DialOther       DialKind = "other"
)

// DialError says that no connection came about, so that no command ran.
type DialError struct {
	Addr     string // host:port of the hop that failed
	User     string
	Kind     DialKind
	Attempts int    // how often it was tried
	Origin   string // where the port comes from, when that is known
	Err      error

	final bool // another attempt would not go better, although the kind suggests so
}

func (e *DialError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot connect to %s as %s", e.Addr, e.User)
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	host, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		host, port = e.Addr, ""
	}
	switch e.Kind {
	case DialResolve:
		fmt.Fprintf(&b, ". The name %s does not resolve here: correct host, or set it to an address", host)
	case DialRefused:
		fmt.Fprintf(&b, ". Nothing accepts connections on port %s of %s: check that sshd runs there and that port is right", port, host)
		if e.Origin != "" {
			fmt.Fprintf(&b, " (port %s, from %s)", port, e.Origin)
		}
	case DialTimeout:
		fmt.Fprintf(&b, ". Check that %s is up and that no firewall drops port %s; a host that needs a bastion must name it in bastions", host, port)
	case DialUnreachable:
		fmt.Fprintf(&b, ". There is no route to %s: check host, the network, and whether a bastion is needed", host)
	case DialReset:
		fmt.Fprintf(&b, ". %s accepts connections but hangs up: it may be starting, be at its limit (MaxStartups), or refuse this source for a while (PerSourcePenalties)", host)
	case DialHandshake:
		fmt.Fprintf(&b, ". Check that an SSH server answers on port %s of %s and is not too old", port, host)
	case DialForward:
		b.WriteString(". Check that the hop before it can reach this address and that its sshd has AllowTcpForwarding on")
	case DialOther:
	}
	return b.String()
}

func (e *DialError) Unwrap() error { return e.Err }

// CommandStarted is false: no command was sent.
func (*DialError) CommandStarted() bool { return false }

// temporary says whether another attempt may go better.
func (e *DialError) temporary() bool {
	switch e.Kind {
	case DialRefused, DialTimeout, DialUnreachable, DialReset, DialForward:
		return !e.final
	}
	return false
}

// AuthError says that a host turned the user away. It is not retried but for [Config.LateKey]: each further attempt may
// lock the user out.
type AuthError struct {
	Addr    string
	User    string
	Origin  string   // where the user's name comes from, when that is known
	Tried   []string // method, key type, fingerprint and where it came from
	Allowed []string // the methods the server last offered to go on with
	Err     error
}

func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s does not let %s in", e.Addr, e.User)
	if e.Origin != "" {
		fmt.Fprintf(&b, " (user %s, from %s)", e.User, e.Origin)
	}
	if len(e.Tried) == 0 {
		b.WriteString(": there was nothing to log in with")
	} else {
		fmt.Fprintf(&b, ": tried %s", strings.Join(e.Tried, ", "))
	}
	if len(e.Allowed) > 0 {
		fmt.Fprintf(&b, "; the server allows %s", strings.Join(e.Allowed, ", "))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	if len(e.Tried) == 0 {
		b.WriteString(". Set private_key, private_key_file or password, or load a key into the agent and export SSH_AUTH_SOCK")
	} else {
		fmt.Fprintf(&b, ". Check user, and that the key is in the authorized_keys of %s on that host", e.User)
	}
	return b.String()
}

func (e *AuthError) Unwrap() error { return e.Err }

// CommandStarted is false: no command was sent.
func (*AuthError) CommandStarted() bool { return false }

// HostKeyKind is why a host key was not accepted.
type HostKeyKind string

// Kinds of [HostKeyError].
const (
	HostKeyUnknown     HostKeyKind = "unknown"     // nothing is known of this host
	HostKeyChanged     HostKeyKind = "changed"     // another key is known
	HostKeyRevoked     HostKeyKind = "revoked"     // the key is marked as revoked
	HostKeyCertificate HostKeyKind = "certificate" // a host certificate that does not hold
	HostKeyUnrecorded  HostKeyKind = "unrecorded"  // accept-new, but the key could not be written down
)

// KnownHostKey is a key that was expected, and where that is written.
type KnownHostKey struct {
	Fingerprint string // type and SHA256 fingerprint
	File        string // a known_hosts file, or the attribute
	Line        int    // counted from 1; 0 for an attribute
	CA          bool   // it is an authority's key
}

func (k KnownHostKey) String() string {
	where := k.File
	if k.Line > 0 {
		where = fmt.Sprintf("%s:%d", k.File, k.Line)
	}
	if k.CA {
		return fmt.Sprintf("certificate authority %s (%s)", k.Fingerprint, where)
	}
	return fmt.Sprintf("%s (%s)", k.Fingerprint, where)
}

// HostKeyError says that the host could not prove to be the one that is meant. It is never retried.
type HostKeyError struct {
	Addr    string // as it was looked up
	User    string
	Kind    HostKeyKind
	Offered string // type and SHA256 fingerprint of the key the host showed
	Line    string // known_hosts line for the offered key
	Known   []KnownHostKey
	Err     error // why a certificate does not hold, why it could not be recorded
}

func (e *HostKeyError) Error() string {
	var b strings.Builder
	known := make([]string, len(e.Known))
	for i, k := range e.Known {
		known[i] = k.String()
	}
	host, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		host, port = e.Addr, "22"
	}
	scan := "ssh-keyscan " + host
	if port != "22" {
		scan = fmt.Sprintf("ssh-keyscan -p %s %s", port, host)
	}
	switch e.Kind {
	case HostKeyUnknown:
		// The line stands alone, and begins with a space so that no CLI breaks it: what is copied must be whole.
		fmt.Fprintf(&b, "the host key of %s is unknown: it shows %s. Add this line to known_hosts (%s prints it too), or set host_key:\n\n    %s\n\n"+
			"First check that fingerprint on the host itself", e.Addr, e.Offered, scan, e.Line)
	case HostKeyChanged:
		fmt.Fprintf(&b, "the host key of %s is not the known one: it shows %s, known is %s. Either the host was rebuilt or somebody else answers in its place. "+
			"If it was rebuilt, check the new fingerprint on the host itself and replace the known one", e.Addr, e.Offered, strings.Join(known, ", "))
	case HostKeyRevoked:
		fmt.Fprintf(&b, "the host key of %s is revoked: it shows %s, revoked by %s. Give the host a new key", e.Addr, e.Offered, strings.Join(known, ", "))
	case HostKeyCertificate:
		fmt.Fprintf(&b, "the host certificate of %s does not hold: it shows %s: %v", e.Addr, e.Offered, e.Err)
		if len(known) > 0 {
			fmt.Fprintf(&b, "; known is %s", strings.Join(known, ", "))
		}
		b.WriteString(". Have it signed again, or set host_key")
	case HostKeyUnrecorded:
		fmt.Fprintf(&b, "the host key of %s is new and could not be recorded, so it is not accepted: it shows %s: %v. "+
			"Make the first of known_hosts_files writable, or set host_key", e.Addr, e.Offered, e.Err)
	}
	return b.String()
}

func (e *HostKeyError) Unwrap() error { return e.Err }

// CommandStarted is false: no command was sent.
func (*HostKeyError) CommandStarted() bool { return false }

// SessionRefusedError says that a connected host would not start a command. The connection lives on.
type SessionRefusedError struct {
	Addr string
	User string
	Err  error
}

func (e *SessionRefusedError) Error() string {
	return fmt.Sprintf("%s refuses to run a command for %s: %v. Check MaxSessions in its sshd_config, and that the account is not limited to SFTP or to a forced command",
		e.Addr, e.User, e.Err)
}

func (e *SessionRefusedError) Unwrap() error { return e.Err }

// CommandStarted is false: no command was sent.
func (*SessionRefusedError) CommandStarted() bool { return false }

// ConnectionLostError says that the connection, or the session, ended without the command's exit status. When Started
// is set the command may have run, and may still be running: its outcome is unknown and has to be read from the host.
type ConnectionLostError struct {
	Addr    string
	User    string
	Started bool
	Err     error
}

func (e *ConnectionLostError) Error() string {
	if !e.Started {
		return fmt.Sprintf("the connection to %s as %s was lost before the command was sent: %v", e.Addr, e.User, e.Err)
	}
	return fmt.Sprintf("the connection to %s as %s was lost while a command ran: %v. The command may have run or may still be running: look at the host before it is run again",
		e.Addr, e.User, e.Err)
}

func (e *ConnectionLostError) Unwrap() error { return e.Err }

// CommandStarted says whether the command may have reached the host.
func (e *ConnectionLostError) CommandStarted() bool { return e.Started }

// InterruptedError says that the caller's context ended first. When Started is set the command was told to end, but
// may still be running, and what it had begun may still take effect.
type InterruptedError struct {
	Addr    string
	User    string
	Started bool
	Err     error // the context's cause
}

func (e *InterruptedError) Error() string {
	if !e.Started {
		return fmt.Sprintf("gave up waiting for %s as %s before the command was sent: %v", e.Addr, e.User, e.Err)
	}
	return fmt.Sprintf("gave up waiting for a command on %s as %s: %v. It was told to end, but may still be running", e.Addr, e.User, e.Err)
}

func (e *InterruptedError) Unwrap() error { return e.Err }

// CommandStarted says whether the command may have reached the host.
func (e *InterruptedError) CommandStarted() bool { return e.Started }

// dialKind sorts the error of one attempt.
func dialKind(err error) DialKind {
	var dns *net.DNSError
	var negotiation *ssh.AlgorithmNegotiationError
	var netErr net.Error
	switch {
	case errors.As(err, &negotiation):
		return DialHandshake
	case errors.As(err, &dns):
		if dns.IsTimeout {
			return DialTimeout
		}
		return DialResolve
	case errors.Is(err, syscall.ECONNREFUSED):
		return DialRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return DialUnreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return DialTimeout
	case errors.As(err, &netErr) && netErr.Timeout():
		return DialTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return DialReset
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return DialUnreachable
	}
	return DialOther
}
