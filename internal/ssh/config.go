package ssh

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Values of [Config.StrictHostKeyChecking].
const (
	StrictYes       = "yes"
	StrictAcceptNew = "accept-new"
	StrictNo        = "no"
)

// Defaults of a [Config].
const (
	DefaultPort              = 22
	DefaultTimeout           = 5 * time.Minute
	DefaultConnectTimeout    = 15 * time.Second
	DefaultKeepaliveInterval = 15 * time.Second
)

// Secret is a setting that must not be printed. Every way of formatting or encoding one gives a fixed text;
// string(s) gives the value.
type Secret string

const hidden = "(hidden)"

// String hides the value.
func (Secret) String() string { return hidden }

// GoString hides the value.
func (Secret) GoString() string { return hidden }

// Format hides the value from every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// LogValue hides the value.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the value; it also covers JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Config holds the resolved settings of one host. A zero field means its default.
type Config struct {
	// Host is a name or an address; a bare IPv6 address is fine.
	Host string
	// Port is 22 when zero.
	Port int
	// User is the login name. There is no default: nobody logs in as root by accident.
	User string

	// PrivateKey is a key in PEM or OpenSSH form; PrivateKeyFile is the path of one, with ~ expanded.
	PrivateKey           Secret
	PrivateKeyFile       string
	PrivateKeyPassphrase Secret
	// Certificate is an OpenSSH user certificate for the private key (or for a key of the agent), as one
	// authorized_keys line; CertificateFile is the path of one.
	Certificate     string
	CertificateFile string
	// Password serves the methods password and keyboard-interactive.
	Password Secret
	// Agent says whether keys of the agent at SSH_AUTH_SOCK are offered. Nil means: when there is one.
	Agent *bool
	// AgentSocket is where the agent listens; SSH_AUTH_SOCK when empty.
	AgentSocket string
	// AgentIdentity limits the agent to one key: a public key line, a SHA256 fingerprint or a comment.
	AgentIdentity string

	// HostKey holds the accepted host keys as authorized_keys lines. When it or HostCAKey is set, known_hosts is
	// consulted for revocations only, and StrictHostKeyChecking does not loosen the check.
	HostKey []string
	// HostCAKey holds the keys of authorities whose host certificates are accepted.
	HostCAKey []string
	// KnownHostsFiles defaults to the user's and the system's files. A missing file is skipped.
	KnownHostsFiles []string
	// StrictHostKeyChecking is yes (default), accept-new or no.
	StrictHostKeyChecking string
	// HostKeyAlias is looked up in known_hosts, and in a host certificate's names, in place of Host and Port.
	HostKeyAlias string

	// Timeout bounds the whole wait for a connection, retries included. Default 5 minutes.
	Timeout time.Duration
	// LateKey says that the host may be so new that it does not know our key yet: a refused login is tried again, twice
	// and slowly.
	LateKey bool
	// RefusedTimeout bounds the wait for a host whose port refuses connections: it is up, and has no sshd. Default:
	// Timeout.
	RefusedTimeout time.Duration
	// SilentTimeout bounds the wait for a host that did not answer for as long as it was waited for before: whoever asks
	// it again and again waits long once. It is asked all the same. Default: Timeout.
	SilentTimeout time.Duration
	// ConnectTimeout bounds one attempt at one hop: connect, handshake and authentication. Default 15 seconds.
	ConnectTimeout time.Duration
	// KeepaliveInterval is the time between two probes of a connection; after three without an answer it is
	// closed. Default 15 seconds.
	KeepaliveInterval time.Duration

	// Bastions are the hops on the way, in order. Each is complete in itself: nothing is inherited here, and what
	// the caller lets a hop inherit must never be a port, a password or a host key. Their own Bastions are unused.
	Bastions []Config
	// ProxyURL is a socks5:// or http:// proxy for the first hop's TCP connection. It may hold a password.
	ProxyURL Secret

	// Purpose keeps connections to one host apart: those of different purposes are not shared.
	Purpose string

	// Origins says of attributes, as users write them, where their values come from. It is for error texts only.
	Origins map[string]string
}

// from is ", from" and the origin of an attribute, for an error text.
func (c Config) from(attribute string) string {
	if origin := c.Origins[attribute]; origin != "" {
		return ", from " + origin
	}
	return ""
}

// Validate checks what can be checked without touching network or files. The error is a [ConfigError].
func (c Config) Validate() error { return c.validate("") }

func (c Config) validate(path string) error {
	fail := func(attribute, format string, args ...any) error {
		return &ConfigError{Host: c.Host, Attribute: path + attribute, Origin: c.Origins[attribute], Err: fmt.Errorf(format, args...)}
	}
	switch {
	case strings.TrimSpace(c.Host) == "":
		return fail("host", "is empty")
	case strings.ContainsAny(c.Host, " \t\r\n\x00/"):
		return fail("host", "%q is neither a host name nor an address", c.Host)
	case strings.ContainsAny(c.Host, "@"):
		return fail("host", "%q holds a user name: set user instead", c.Host)
	case strings.Contains(c.Host, ":") && net.ParseIP(zoneless(strings.Trim(c.Host, "[]"))) == nil:
		return fail("host", "%q holds a port: set port instead", c.Host)
	case c.Port < 0 || c.Port > 65535:
		return fail("port", "%d is not between 1 and 65535", c.Port)
	case c.User == "":
		return fail("user", "is not set")
	case c.PrivateKey != "" && c.PrivateKeyFile != "":
		return fail("private_key", "is set together with private_key_file: set one of them")
	case c.Certificate != "" && c.CertificateFile != "":
		return fail("certificate", "is set together with certificate_file: set one of them")
	case c.AgentIdentity != "" && c.Agent != nil && !*c.Agent:
		return fail("agent_identity", "is set while agent is false")
	case strings.ContainsAny(c.HostKeyAlias, " \t\r\n,*?!"):
		return fail("host_key_alias", "%q is not a name", c.HostKeyAlias)
	case c.Timeout < 0:
		return fail("timeout", "%s is negative", c.Timeout)
	case c.ConnectTimeout < 0:
		return fail("connect_timeout", "%s is negative", c.ConnectTimeout)
	case c.KeepaliveInterval < 0:
		return fail("keepalive_interval", "%s is negative", c.KeepaliveInterval)
	}
	switch c.StrictHostKeyChecking {
	case "", StrictYes, StrictAcceptNew, StrictNo:
	default:
		return fail("strict_host_key_checking", "%q is none of yes, accept-new, no", c.StrictHostKeyChecking)
	}
	if _, err := parseHostKeyLines(c.HostKey, "host_key"); err != nil {
		return fail("host_key", "%w", err)
	}
	if _, err := parseHostKeyLines(c.HostCAKey, "host_ca_key"); err != nil {
		return fail("host_ca_key", "%w", err)
	}
	if c.PrivateKey != "" {
		// Decrypting a key is slow by design, and left to the login.
		_, err := parsePrivateKey([]byte(c.PrivateKey), "")
		if err != nil && (!errors.Is(err, errEncrypted) || c.PrivateKeyPassphrase == "") {
			return fail("private_key", "%w", err)
		}
	}
	if c.Certificate != "" {
		if _, err := parseCertificate([]byte(c.Certificate)); err != nil {
			return fail("certificate", "%w", err)
		}
	}
	if c.ProxyURL != "" {
		if _, err := parseProxyURL(c.ProxyURL); err != nil {
			return fail("proxy_url", "%w", err)
		}
	}
	for i, b := range c.Bastions {
		at := fmt.Sprintf("%sbastions[%d].", path, i)
		if len(b.Bastions) > 0 {
			return &ConfigError{Host: c.Host, Attribute: at + "bastions", Err: errors.New("a bastion has none of its own: list the hops in order")}
		}
		if b.ProxyURL != "" {
			return &ConfigError{Host: c.Host, Attribute: at + "proxy_url", Err: errors.New("a proxy serves the first hop: set it beside bastions")}
		}
		if err := b.validate(at); err != nil {
			return err
		}
	}
	return nil
}

// parseProxyURL never quotes the URL: it may hold a password.
func parseProxyURL(s Secret) (*url.URL, error) {
	u, err := url.Parse(string(s))
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	switch u.Scheme {
	case "socks5", "socks5h", "http":
	default:
		return nil, fmt.Errorf("has the scheme %q: socks5 and http are known", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("names no host")
	}
	return u, nil
}

// withDefaults fills every zero field that has a default.
func (c Config) withDefaults() Config {
	c.Host = strings.Trim(c.Host, "[]")
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	if c.KeepaliveInterval == 0 {
		c.KeepaliveInterval = DefaultKeepaliveInterval
	}
	if c.StrictHostKeyChecking == "" {
		c.StrictHostKeyChecking = StrictYes
	}
	if len(c.KnownHostsFiles) == 0 {
		c.KnownHostsFiles = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts"}
	}
	hops := make([]Config, len(c.Bastions))
	for i, b := range c.Bastions {
		hops[i] = b.withDefaults()
	}
	c.Bastions = hops
	return c
}

// Address is host:port as it is dialled.
func (c Config) Address() string {
	port := c.Port
	if port == 0 {
		port = DefaultPort
	}
	return net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(port))
}

// hostKeyAddress is what known_hosts is asked for. OpenSSH compares without case; the library does not.
func (c Config) hostKeyAddress() string {
	if c.HostKeyAlias != "" {
		return net.JoinHostPort(strings.ToLower(c.HostKeyAlias), "22")
	}
	return net.JoinHostPort(strings.ToLower(c.Host), strconv.Itoa(c.Port))
}

// key tells connections apart. Where a setting comes from, how long a caller is ready to wait, and how the connection is watched, are no part
// of it: a read and a create share one connection.
func (c Config) key() [sha256.Size]byte {
	type plain struct {
		Host, User, PrivateKey, PrivateKeyFile, Passphrase, Certificate, CertificateFile, Password string
		AgentIdentity, AgentSocket, Strict, Alias, Proxy, Purpose                                  string
		Port                                                                                       int
		Agent                                                                                      *bool
		HostKey, HostCAKey, KnownHosts                                                             []string
	}
	var all []plain
	for _, h := range append(c.Bastions[:len(c.Bastions):len(c.Bastions)], c) {
		all = append(all, plain{
			Host: strings.ToLower(h.Host), Port: h.Port, User: h.User, PrivateKey: string(h.PrivateKey), PrivateKeyFile: h.PrivateKeyFile,
			Passphrase: string(h.PrivateKeyPassphrase), Certificate: h.Certificate, CertificateFile: h.CertificateFile,
			Password: string(h.Password), Agent: h.Agent, AgentIdentity: h.AgentIdentity, AgentSocket: h.AgentSocket, Strict: h.StrictHostKeyChecking,
			Alias: h.HostKeyAlias, HostKey: h.HostKey, HostCAKey: h.HostCAKey, KnownHosts: h.KnownHostsFiles, Proxy: string(h.ProxyURL), Purpose: h.Purpose,
		})
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // strings, numbers and lists of them always encode
	}
	return sha256.Sum256(text)
}

// zoneless cuts the zone off an IPv6 address: net.ParseIP takes none.
func zoneless(host string) string {
	address, _, _ := strings.Cut(host, "%")
	return address
}

// expandHome replaces a leading ~/ by the home directory.
func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("the home directory for %s is unknown: %w", path, err)
	}
	return filepath.Join(home, rest), nil
}
