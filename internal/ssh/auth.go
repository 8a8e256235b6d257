package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeys is how many keys are offered at most: sshd hangs up at the sixth failure (MaxAuthTries).
const maxKeys = 5

// identity is a key to log in with, and where it came from.
type identity struct {
	signer ssh.Signer
	origin string
}

// login is what one hop is offered, and a record of what became of it.
type login struct {
	cfg        Config
	identities []identity
	agent      io.Closer // nil without one
	skipped    []string  // ways that were not open, for the error text

	mu      sync.Mutex
	reached bool // the host key was accepted and the server asked who we are
	tried   []string
	signed  string // the key that the server asked a signature of
	allowed []string
}

// prepareLogin loads keys and asks the agent. Its errors are [ConfigError].
func prepareLogin(ctx context.Context, cfg Config) (*login, error) {
	l := &login{cfg: cfg}
	fail := func(attribute string, err error) (*login, error) {
		l.close()
		return nil, &ConfigError{Host: cfg.Host, Attribute: attribute, Origin: cfg.Origins[attribute], Err: err}
	}
	certificate, attribute, err := loadCertificate(cfg)
	if err != nil {
		return fail(attribute, err)
	}
	key, attribute, err := loadPrivateKey(cfg)
	if err != nil {
		return fail(attribute, err)
	}
	var own []identity
	if key.signer != nil {
		own = append(own, key)
	}
	fromAgent, err := l.loadAgent(ctx)
	if err != nil {
		return fail("agent", err)
	}
	if cfg.AgentIdentity != "" {
		fromAgent = slices.DeleteFunc(fromAgent, func(i identity) bool { return !isIdentity(i, cfg.AgentIdentity) })
		if len(fromAgent) == 0 && l.agent != nil {
			return fail("agent_identity", fmt.Errorf("%q is no key of the agent: ssh-add -l lists those it holds", cfg.AgentIdentity))
		}
	}
	own = append(own, fromAgent...)
	if certificate != nil {
		at := slices.IndexFunc(own, func(i identity) bool { return sameKey(i.signer.PublicKey(), certificate.Key) })
		if at < 0 {
			return fail(certificateAttribute(cfg), fmt.Errorf("is for the key %s, which is neither the private key nor a key of the agent", fingerprint(certificate.Key)))
		}
		signer, err := ssh.NewCertSigner(certificate, own[at].signer)
		if err != nil {
			return fail(certificateAttribute(cfg), err)
		}
		own = slices.Insert(own, 0, identity{signer: signer, origin: certificateAttribute(cfg) + " with " + own[at].origin})
	}
	for _, i := range own {
		if len(l.identities) < maxKeys && !slices.ContainsFunc(l.identities, func(o identity) bool { return sameKey(o.signer.PublicKey(), i.signer.PublicKey()) }) {
			l.identities = append(l.identities, i)
		}
	}
	return l, nil
}

// close lets go of the agent.
func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close() // nothing was written that could be lost
	}
}

// methods holds each RFC 4252 method once: the library uses only the first of a kind, so that all keys, whatever they
// came from, belong into one.
func (l *login) methods() []ssh.AuthMethod {
	var methods []ssh.AuthMethod
	if len(l.identities) > 0 {
		methods = append(methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			signers := make([]ssh.Signer, len(l.identities))
			for i, id := range l.identities {
				signers[i] = l.watched(id)
				l.note("publickey %s (%s)", fingerprint(id.signer.PublicKey()), id.origin)
			}
			return signers, nil
		}))
	}
	if l.cfg.Password != "" {
		methods = append(methods,
			ssh.PasswordCallback(func() (string, error) {
				l.note("password (password%s)", l.cfg.from("password"))
				return string(l.cfg.Password), nil
			}),
			ssh.KeyboardInteractive(l.answer))
	}
	return methods
}

// offers lists what the server may be offered, in that order.
func (l *login) offers() []string {
	offers := []string{}
	for _, id := range l.identities {
		offers = append(offers, fmt.Sprintf("publickey %s (%s)", fingerprint(id.signer.PublicKey()), id.origin))
	}
	if l.cfg.Password != "" {
		offers = append(offers, "password", "keyboard-interactive")
	}
	return append(offers, l.skipped...)
}

// watched gives the signer of a key, which takes note when the server wants the key: only then is it asked to sign.
func (l *login) watched(id identity) ssh.Signer {
	note := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.signed = fmt.Sprintf("publickey %s (%s)", fingerprint(id.signer.PublicKey()), id.origin)
	}
	switch s := id.signer.(type) {
	case ssh.MultiAlgorithmSigner:
		return &multiSigner{s, note}
	case ssh.AlgorithmSigner:
		return &algorithmSigner{s, note}
	}
	return id.signer
}

type algorithmSigner struct {
	ssh.AlgorithmSigner
	note func()
}

func (s *algorithmSigner) SignWithAlgorithm(r io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.note()
	return s.AlgorithmSigner.SignWithAlgorithm(r, data, algorithm)
}

type multiSigner struct {
	ssh.MultiAlgorithmSigner
	note func()
}

func (s *multiSigner) SignWithAlgorithm(r io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.note()
	return s.MultiAlgorithmSigner.SignWithAlgorithm(r, data, algorithm)
}

// by is what let the user in.
func (l *login) by() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch last := len(l.tried) - 1; {
	case last < 0:
		return "none"
	case l.signed != "" && strings.HasPrefix(l.tried[last], "publickey "):
		return l.signed
	default:
		return l.tried[last]
	}
}

// answer gives the password to a server that asks one hidden question. Anything else is a question for a human.
func (l *login) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	switch {
	case len(questions) == 0: // a server may end with a message
		return nil, nil
	case len(questions) > 1 || echos[0]:
		return nil, errors.New("keyboard-interactive: the server asks for more than a password")
	}
	l.note("keyboard-interactive (password%s)", l.cfg.from("password"))
	return []string{string(l.cfg.Password)}, nil
}

func (l *login) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried = append(l.tried, fmt.Sprintf(format, args...))
}

// observe is an AuthCallback that only looks on: the library's own error names methods, not keys, and has no type.
func (l *login) observe(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached = true
	l.allowed = state.AllowedMethods
	return nil, nil
}

// failure gives the error for a handshake that ended during authentication, nil when it ended otherwise.
func (l *login) failure(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.reached {
		return nil
	}
	// Some servers say no by hanging up. Nobody said no where nothing was tried.
	if kind := dialKind(err); kind == DialTimeout || kind == DialReset && len(l.tried) == 0 {
		return nil
	}
	e := &AuthError{Addr: l.cfg.Address(), User: l.cfg.User, Origin: l.cfg.Origins["user"], Tried: append(slices.Clone(l.tried), l.skipped...), Allowed: slices.Clone(l.allowed)}
	if !strings.Contains(err.Error(), "no supported methods remain") { // which the text says better
		e.Err = err
	}
	return e
}

func loadPrivateKey(cfg Config) (identity, string, error) {
	attribute, origin, text := "private_key", "private_key", []byte(cfg.PrivateKey)
	if cfg.PrivateKeyFile != "" {
		attribute = "private_key_file"
		path, err := expandHome(cfg.PrivateKeyFile)
		if err != nil {
			return identity{}, attribute, err
		}
		origin = "private_key_file " + path
		if text, err = os.ReadFile(path); err != nil {
			return identity{}, attribute, fmt.Errorf("cannot be read: %w", err) // the error names the path
		}
	}
	if len(text) == 0 && cfg.PrivateKeyFile == "" {
		return identity{}, "", nil
	}
	signer, err := parsePrivateKey(text, cfg.PrivateKeyPassphrase)
	if err != nil {
		if cfg.PrivateKeyFile != "" {
			err = fmt.Errorf("%s: %w", cfg.PrivateKeyFile, err)
		}
		return identity{}, attribute, err
	}
	return identity{signer: signer, origin: origin + cfg.from(attribute)}, attribute, nil
}

var errEncrypted = errors.New("is encrypted: set private_key_passphrase, or load the key into the agent")

// parsePrivateKey has its own words for each fault: the library's errors may quote what they were given.
func parsePrivateKey(text []byte, passphrase Secret) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(text)
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		if passphrase == "" {
			return nil, errEncrypted
		}
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase)); err != nil {
			return nil, errors.New("cannot be decrypted with private_key_passphrase")
		}
		return signer, nil
	}
	if err == nil {
		return signer, nil
	}
	if _, _, _, _, isPublic := ssh.ParseAuthorizedKey(text); isPublic == nil {
		return nil, errors.New("holds a public key: the private one is the file without .pub")
	}
	if strings.Contains(err.Error(), "unhandled key type") {
		return nil, errors.New("is of a type that only an agent can use (such as a security key): load it into the agent")
	}
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		return nil, errors.New("holds no private key in PEM or OpenSSH form")
	}
	return nil, errors.New("holds a private key that cannot be read: it is damaged, cut off or of an unknown form")
}

func certificateAttribute(cfg Config) string {
	if cfg.CertificateFile != "" {
		return "certificate_file"
	}
	return "certificate"
}

func loadCertificate(cfg Config) (*ssh.Certificate, string, error) {
	text, attribute := []byte(cfg.Certificate), certificateAttribute(cfg)
	if cfg.CertificateFile != "" {
		path, err := expandHome(cfg.CertificateFile)
		if err != nil {
			return nil, attribute, err
		}
		if text, err = os.ReadFile(path); err != nil {
			return nil, attribute, fmt.Errorf("cannot be read: %w", err)
		}
	} else if cfg.Certificate == "" {
		return nil, "", nil
	}
	certificate, err := parseCertificate(text)
	if err == nil {
		err = currentCertificate(certificate, time.Now())
	}
	if err != nil && cfg.CertificateFile != "" {
		err = fmt.Errorf("%s: %w", cfg.CertificateFile, err)
	}
	return certificate, attribute, err
}

func parseCertificate(text []byte) (*ssh.Certificate, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, errors.New("is not a certificate line such as \"ssh-ed25519-cert-v01@openssh.com AAAA…\"")
	}
	certificate, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("is a public key, not a certificate: it is the file that ends in -cert.pub")
	}
	if certificate.CertType != ssh.UserCert {
		return nil, errors.New("is a host certificate, not a user's")
	}
	return certificate, nil
}

// currentCertificate says what sshd would only log on the host.
func currentCertificate(c *ssh.Certificate, now time.Time) error {
	at := uint64(max(now.Unix(), 0))
	switch {
	case at < c.ValidAfter:
		return fmt.Errorf("is not valid before %s", time.Unix(int64(c.ValidAfter), 0).UTC().Format(time.RFC3339)) //nolint:gosec // G115: for show
	case c.ValidBefore != ssh.CertTimeInfinity && at >= c.ValidBefore:
		return fmt.Errorf("expired at %s", time.Unix(int64(c.ValidBefore), 0).UTC().Format(time.RFC3339)) //nolint:gosec // G115: for show
	}
	return nil
}

// loadAgent lists the agent's keys. An agent that was asked for and does not answer is an error; one that merely seems
// to be there is left out.
func (l *login) loadAgent(ctx context.Context) ([]identity, error) {
	wanted := l.cfg.Agent != nil && *l.cfg.Agent || l.cfg.AgentIdentity != ""
	if l.cfg.Agent != nil && !*l.cfg.Agent {
		return nil, nil
	}
	socket := cmp.Or(l.cfg.AgentSocket, os.Getenv("SSH_AUTH_SOCK"))
	if socket == "" {
		if wanted {
			return nil, errors.New("is wanted, but SSH_AUTH_SOCK is not set: start an agent and export it")
		}
		return nil, nil
	}
	conn, err := dialAgent(ctx, socket)
	if err == nil {
		l.agent = conn
		// An agent that hangs must not hang us: closing the connection ends the call.
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer stop()
		var keys []identity
		if keys, err = listAgent(conn); err == nil {
			return keys, nil
		}
		l.close()
		l.agent = nil
	}
	if wanted {
		return nil, fmt.Errorf("at SSH_AUTH_SOCK (%s) does not answer: %w", socket, err)
	}
	l.skipped = append(l.skipped, fmt.Sprintf("agent (at %s, which does not answer: %v)", socket, err))
	return nil, nil
}

func listAgent(conn io.ReadWriter) ([]identity, error) {
	client := agent.NewClient(conn)
	keys, err := client.List()
	if err != nil {
		return nil, err
	}
	signers, err := client.Signers()
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, k := range keys {
		comments[string(k.Blob)] = k.Comment
	}
	identities := make([]identity, len(signers))
	for i, s := range signers {
		identities[i] = identity{signer: s, origin: strings.TrimSpace("agent " + comments[string(s.PublicKey().Marshal())])}
	}
	return identities, nil
}

// isIdentity compares with a fingerprint, a comment or a public key line.
func isIdentity(i identity, wanted string) bool {
	key := i.signer.PublicKey()
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	if wanted == ssh.FingerprintSHA256(key) || "agent "+wanted == i.origin {
		return true
	}
	line, _, _, _, err := ssh.ParseAuthorizedKey([]byte(wanted))
	return err == nil && (sameKey(line, key) || sameKey(line, i.signer.PublicKey()))
}
