package ssh

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// knownKey is one key that a host may, or must not, show.
type knownKey struct {
	key  ssh.PublicKey
	ca   bool
	file string
	line int
}

func (k knownKey) describe() KnownHostKey {
	return KnownHostKey{Fingerprint: fingerprint(k.key), File: k.file, Line: k.line, CA: k.ca}
}

// hostKeys is what is known about the keys of one hop, and the verdict on the one it shows.
type hostKeys struct {
	cfg     Config
	addr    string // what known_hosts calls the hop
	known   []knownKey
	revoked []knownKey
	logger  *slog.Logger
	ctx     context.Context // of the dial, for the logger

	shown, knownFrom string // the key that was accepted, and what speaks for it, for the log
}

// fingerprint names a key the way ssh-keygen -l does.
func fingerprint(key ssh.PublicKey) string {
	if cert, ok := key.(*ssh.Certificate); ok {
		return fmt.Sprintf("%s %s signed by %s", cert.Type(), ssh.FingerprintSHA256(cert.Key), ssh.FingerprintSHA256(cert.SignatureKey))
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// parseHostKeyLines reads keys given as attributes: authorized_keys lines, and lines as ssh-keyscan prints them.
func parseHostKeyLines(lines []string, attribute string) ([]knownKey, error) {
	var keys []knownKey
	for i, text := range lines {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			key, err := parseKeyLine(line)
			if err != nil {
				return nil, fmt.Errorf("entry %d %w", i+1, err)
			}
			keys = append(keys, knownKey{key: key, file: attribute, ca: attribute == "host_ca_key"})
		}
	}
	if len(lines) > 0 && len(keys) == 0 {
		return nil, errors.New("holds no key")
	}
	return keys, nil
}

func parseKeyLine(line string) (ssh.PublicKey, error) {
	fields := strings.Fields(line)
	if strings.HasPrefix(fields[0], "@") {
		return nil, fmt.Errorf("begins with %s: give the key alone (an authority's belongs into host_ca_key)", fields[0])
	}
	for at := 0; at < 2 && at+1 < len(fields); at++ { // "type key" or "host type key"
		blob, err := base64.StdEncoding.DecodeString(fields[at+1])
		if err != nil {
			continue
		}
		key, err := ssh.ParsePublicKey(blob)
		if err != nil || key.Type() != fields[at] {
			continue
		}
		if _, isCert := key.(*ssh.Certificate); isCert {
			return nil, errors.New("is a certificate: give the key, or the authority's in host_ca_key")
		}
		return key, nil
	}
	return nil, errors.New("is not a public key line such as \"ssh-ed25519 AAAA…\"")
}

// loadHostKeys gathers what is known about one hop.
func loadHostKeys(ctx context.Context, cfg Config, logger *slog.Logger) (*hostKeys, error) {
	h := &hostKeys{cfg: cfg, addr: cfg.hostKeyAddress(), logger: logger, ctx: ctx}
	pins, err := parseHostKeyLines(cfg.HostKey, "host_key")
	if err != nil {
		return nil, &ConfigError{Host: cfg.Host, Attribute: "host_key", Origin: cfg.Origins["host_key"], Err: err}
	}
	authorities, err := parseHostKeyLines(cfg.HostCAKey, "host_ca_key")
	if err != nil {
		return nil, &ConfigError{Host: cfg.Host, Attribute: "host_ca_key", Origin: cfg.Origins["host_ca_key"], Err: err}
	}
	h.known = append(pins, authorities...)
	recorded, revoked, err := readKnownHosts(ctx, cfg, h.addr, logger)
	if err != nil {
		return nil, &ConfigError{Host: cfg.Host, Attribute: "known_hosts_files", Origin: cfg.Origins["known_hosts_files"], Err: err}
	}
	h.revoked = revoked
	if len(h.known) == 0 {
		h.known = recorded
	}
	return h, nil
}

func (h *hostKeys) pinned() bool { return len(h.cfg.HostKey)+len(h.cfg.HostCAKey) > 0 }

// algorithms lists those of the known keys first: a host has several keys, and the one it shows is chosen by this
// order, so without it a host known by its ed25519 key shows its ECDSA key and looks changed. The others follow, never
// to be accepted, but so that a changed key is reported as such and not as "no common algorithm".
func (h *hostKeys) algorithms() []string {
	supported := ssh.SupportedAlgorithms().HostKeys
	var first []string
	add := func(algorithms ...string) {
		for _, a := range algorithms {
			if slices.Contains(supported, a) && !slices.Contains(first, a) {
				first = append(first, a)
			}
		}
	}
	for _, k := range h.known {
		if k.ca { // the host's own key may be of any type, whatever the authority's is
			for _, a := range supported {
				if strings.Contains(a, "-cert-") {
					add(a)
				}
			}
		}
	}
	for _, k := range h.known {
		switch {
		case k.ca:
		case k.key.Type() == ssh.KeyAlgoRSA:
			add(ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			add(k.key.Type())
		}
	}
	for _, a := range supported {
		if !strings.Contains(a, "-cert-") {
			add(a)
		}
	}
	return first
}

// check is the HostKeyCallback. It looks at nothing the network says about names: the address is the one that was
// asked for.
func (h *hostKeys) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	cert, _ := key.(*ssh.Certificate)
	h.shown = fingerprint(key)
	fail := func(kind HostKeyKind, known []knownKey, err error) error {
		e := &HostKeyError{Addr: h.addr, User: h.cfg.User, Kind: kind, Offered: fingerprint(key), Err: err}
		if cert == nil {
			e.Line = knownhosts.Line([]string{h.addr}, key)
		}
		for _, k := range known {
			e.Known = append(e.Known, k.describe())
		}
		return e
	}
	for _, r := range h.revoked {
		if sameKey(r.key, key) || cert != nil && (sameKey(r.key, cert.Key) || sameKey(r.key, cert.SignatureKey)) {
			return fail(HostKeyRevoked, []knownKey{r}, nil)
		}
	}
	if cert != nil {
		if err := h.checkCertificate(cert); err != nil {
			return fail(HostKeyCertificate, h.known, err)
		}
		for _, k := range h.known {
			if k.ca && sameKey(k.key, cert.SignatureKey) {
				h.knownFrom = k.describe().String()
			}
		}
		return nil
	}
	for _, k := range h.known {
		if !k.ca && sameKey(k.key, key) { // an authority's key is no host's key
			h.knownFrom = k.describe().String()
			return nil
		}
	}
	strict := h.cfg.StrictHostKeyChecking
	switch {
	case len(h.known) > 0 && (strict != StrictNo || h.pinned()):
		return fail(HostKeyChanged, h.known, nil)
	case strict == StrictNo:
		h.knownFrom = "nothing: strict_host_key_checking is no"
		h.logger.WarnContext(h.ctx, "accepting an unverified host key, as strict_host_key_checking is no", "host", h.addr, "key", fingerprint(key))
		return nil
	case strict == StrictAcceptNew:
		h.knownFrom = "nothing: it is new, and recorded now"
		return h.record(key, fail)
	}
	return fail(HostKeyUnknown, nil, nil)
}

func (h *hostKeys) checkCertificate(cert *ssh.Certificate) error {
	checker := ssh.CertChecker{
		IsHostAuthority: func(authority ssh.PublicKey, _ string) bool {
			return slices.ContainsFunc(h.known, func(k knownKey) bool { return k.ca && sameKey(k.key, authority) })
		},
		HostKeyFallback: func(string, net.Addr, ssh.PublicKey) error { return errors.New("not a certificate") },
	}
	return checker.CheckHostKey(h.addr, &net.TCPAddr{}, cert)
}

// recording keeps two connections of this process from writing known_hosts at once; a file lock does so for others.
var recording sync.Mutex

// record writes a new host's key down under the name that was dialled (never the address the name resolved to, under
// which it would not be found again). What cannot be recorded is not accepted.
func (h *hostKeys) record(key ssh.PublicKey, fail func(HostKeyKind, []knownKey, error) error) error {
	recording.Lock()
	defer recording.Unlock()
	path, err := expandHome(h.cfg.KnownHostsFiles[0])
	if err != nil {
		return fail(HostKeyUnrecorded, nil, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(HostKeyUnrecorded, nil, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fail(HostKeyUnrecorded, nil, err)
	}
	defer func() { _ = f.Close() }() // the write below is what counts, and it is synced
	if err := lockFile(f); err != nil {
		return fail(HostKeyUnrecorded, nil, fmt.Errorf("lock %s: %w", path, err))
	}
	// Somebody else may have recorded a key since this connection began: that one counts.
	known, _, err := readKnownHosts(h.ctx, h.cfg, h.addr, h.logger)
	if err != nil {
		return fail(HostKeyUnrecorded, nil, err)
	}
	for _, k := range known {
		if !k.ca && sameKey(k.key, key) {
			return nil
		}
	}
	if len(known) > 0 {
		return fail(HostKeyChanged, known, nil)
	}
	line := knownhosts.Line([]string{h.addr}, key) + "\n"
	if !endsWithNewline(f) {
		line = "\n" + line
	}
	if _, err := f.WriteString(line); err != nil {
		return fail(HostKeyUnrecorded, nil, err)
	}
	if err := f.Sync(); err != nil {
		return fail(HostKeyUnrecorded, nil, err)
	}
	h.logger.InfoContext(h.ctx, "recorded the key of a new host", "host", h.addr, "key", fingerprint(key), "file", path)
	return nil
}

func endsWithNewline(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return true
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return err != nil || last[0] == '\n'
}

// readKnownHosts gives the entries for one address, and every revoked key, of the files that are there.
//
// The library refuses a whole file for one line it cannot read (a new key type, an SSH 1 key, junk), where OpenSSH
// skips the line. So it is given filtered copies, with the line numbers kept.
func readKnownHosts(ctx context.Context, cfg Config, addr string, logger *slog.Logger) (known, revoked []knownKey, err error) {
	dir := ""
	defer func() { _ = os.RemoveAll(dir) }() // public keys only; nothing to remove where there is no such file
	var copies []string
	original := map[string]string{}
	authority := map[string]bool{}
	place := func(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }
	for i, name := range cfg.KnownHostsFiles {
		path, err := expandHome(name)
		if err != nil {
			return nil, nil, err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		filtered, err := filterKnownHosts(content, func(number int, text string, err error) error {
			if strings.HasPrefix(text, "@revoked") { // a revocation that cannot be read must not be overlooked
				return fmt.Errorf("%s: cannot read a @revoked line: %w", place(path, number), err)
			}
			logger.WarnContext(ctx, "skipping a line of known_hosts that cannot be read", "line", place(path, number), "error", err.Error())
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		for _, l := range filtered.lines {
			if l.marker == "@revoked" {
				revoked = append(revoked, knownKey{key: l.key, file: path, line: l.number})
			}
			authority[place(path, l.number)] = l.marker == "@cert-authority"
		}
		if dir == "" {
			if dir, err = os.MkdirTemp("", "known_hosts"); err != nil {
				return nil, nil, err
			}
		}
		copied := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(copied, filtered.text, 0o600); err != nil {
			return nil, nil, err
		}
		copies = append(copies, copied)
		original[copied] = path
	}
	if len(copies) == 0 {
		return nil, revoked, nil
	}
	db, err := knownhosts.NewDB(copies...)
	if err != nil {
		return nil, nil, err
	}
	// There is no look-up in the library; a key that nobody has makes it list those that were expected.
	var mismatch *xknownhosts.KeyError
	if errors.As(db.HostKeyCallback()(addr, &net.TCPAddr{IP: net.IPv4zero}, nobodysKey{}), &mismatch) {
		for _, want := range mismatch.Want {
			file := original[want.Filename]
			known = append(known, knownKey{key: want.Key, file: file, line: want.Line, ca: authority[place(file, want.Line)]})
		}
	}
	return known, revoked, nil
}

type knownHostsLine struct {
	number int
	marker string
	key    ssh.PublicKey
}

type knownHosts struct {
	text  []byte
	lines []knownHostsLine
}

// filterKnownHosts blanks the lines that cannot be used, asking skip about each, and lower-cases host names.
func filterKnownHosts(content []byte, skip func(number int, text string, err error) error) (knownHosts, error) {
	var out knownHosts
	scanner := bufio.NewScanner(bytes.NewReader(content))
	scanner.Buffer(nil, len(content)+1)
	for number := 1; scanner.Scan(); number++ {
		text := strings.TrimSpace(scanner.Text())
		if text != "" && text[0] != '#' {
			line, kept, err := parseKnownHostsLine(text)
			if err == nil {
				line.number = number
				out.lines = append(out.lines, line)
				out.text = append(out.text, kept...)
			} else if err := skip(number, text, err); err != nil {
				return out, err
			}
		}
		out.text = append(out.text, '\n')
	}
	return out, scanner.Err()
}

func parseKnownHostsLine(text string) (line knownHostsLine, kept string, err error) {
	fields := strings.Fields(text)
	if strings.HasPrefix(fields[0], "@") {
		line.marker = fields[0]
		if line.marker != "@revoked" && line.marker != "@cert-authority" {
			return line, "", fmt.Errorf("unknown marker %s", line.marker)
		}
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return line, "", errors.New("too few fields")
	}
	hosts := fields[0]
	if !strings.HasPrefix(hosts, "|") { // a hash is base64: its case counts
		hosts = strings.ToLower(hosts)
	}
	line.key, err = parseKeyLine(fields[1] + " " + fields[2])
	if err != nil {
		return line, "", err
	}
	kept = strings.TrimSpace(strings.Join([]string{line.marker, hosts, fields[1], fields[2]}, " "))
	return line, kept, checkHostPatterns(hosts)
}

// checkHostPatterns tells what the library would refuse, and with it the whole file.
func checkHostPatterns(hosts string) error {
	if len(hosts) > 32<<10 {
		return errors.New("the host patterns are too long")
	}
	if strings.HasPrefix(hosts, "|") {
		parts := strings.Split(hosts, "|")
		if len(parts) != 4 || parts[1] != "1" {
			return errors.New("unknown form of a hashed host")
		}
		for _, part := range parts[2:] {
			if _, err := base64.StdEncoding.DecodeString(part); err != nil {
				return errors.New("unknown form of a hashed host")
			}
		}
		return nil
	}
	for pattern := range strings.SplitSeq(hosts, ",") {
		bare := strings.TrimPrefix(pattern, "!")
		if pattern != "" && bare == "" {
			return errors.New("a negation without a host")
		}
		if strings.HasPrefix(bare, "[") {
			if _, _, err := net.SplitHostPort(bare); err != nil {
				return err
			}
		}
	}
	return nil
}

// nobodysKey equals no host's key.
type nobodysKey struct{}

func (nobodysKey) Type() string                        { return "nobody" }
func (nobodysKey) Marshal() []byte                     { return []byte("nobody") }
func (nobodysKey) Verify([]byte, *ssh.Signature) error { return errors.New("nobody signs") }
