package ssh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// knownAs gives settings under which only a known_hosts file speaks for the server.
func knownAs(t *testing.T, s *sshtest.Server, lines ...string) (cfg Config, path string) {
	t.Helper()
	cfg = configFor(t, s)
	path = writeFile(t, "known_hosts", strings.Join(lines, "\n")+"\n")
	cfg.HostKey, cfg.KnownHostsFiles = nil, []string{filepath.Join(t.TempDir(), "missing"), path}
	return cfg, path
}

func ecdsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func name(s *sshtest.Server) string { return fmt.Sprintf("[127.0.0.1]:%d", s.Port()) }

func TestKnownHostIsAccepted(t *testing.T) {
	ecdsaSigner := ecdsaKey(t)
	s := sshtest.New(t, func(s *sshtest.Server) { s.HostKeys = []ssh.Signer{ecdsaSigner, sshtest.NewKey(t)} })
	second := sshtest.Line(s.HostKeys[1].PublicKey())
	other := sshtest.Line(sshtest.NewKey(t).PublicKey())
	for what, lines := range map[string][]string{
		"first key":                  {name(s) + " " + s.HostKeyLine()},
		"not the server's favourite": {name(s) + " " + second},
		"hashed":                     {knownhosts.HashHostname(name(s)) + " " + second},
		"wildcard without a port":    {"127.0.0.* " + second},
		"several names":              {"rmq1," + name(s) + ",10.0.0.1 " + second},
		"one of two keys":            {name(s) + " " + other, name(s) + " " + second},
		"beside lines nobody can read": {
			"rmq9 ssh-future AAAAC3NzaC1lZDI1NTE5", "junk", "!!! 1024 35 123", "@strange * " + other, "a,! " + other, "[a " + other, "|1|x " + other,
			"rmq8 ssh-ed25519 " + strings.Repeat("A", 100_000), "# comment", "", name(s) + " " + second,
		},
	} {
		cfg, _ := knownAs(t, s, lines...)
		if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestUnreadableKnownHostsLinesAreLogged(t *testing.T) {
	s := sshtest.New(t)
	cfg, path := knownAs(t, s, "junk", name(s)+" "+s.HostKeyLine())
	p, log := newLoggedPool(t)
	if _, err := p.Get(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	contains(t, log.String(), path+":1", "level=WARN")
}

func TestHostNamesAreComparedWithoutCase(t *testing.T) {
	key := sshtest.NewKey(t).PublicKey()
	for _, written := range []string{"RMQ1.Example", "rmq1.example", knownhosts.HashHostname("rmq1.example")} {
		cfg := Config{Host: "Rmq1.EXAMPLE", Port: 22, KnownHostsFiles: []string{writeFile(t, "known_hosts", written+" "+sshtest.Line(key))}}
		known, _, err := readKnownHosts(t.Context(), cfg, cfg.hostKeyAddress(), discard)
		if err != nil || len(known) != 1 {
			t.Errorf("%s: %d keys, %v", written, len(known), err)
		}
	}
}

func TestUnknownHostKeyIsRefusedWithTheLineToAdd(t *testing.T) {
	s := sshtest.New(t)
	cfg, _ := knownAs(t, s, "rmq1 "+s.HostKeyLine(), "127.0.0.1 "+s.HostKeyLine()) // another name, another port
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*HostKeyError](t, err); got.Kind != HostKeyUnknown || got.Addr != s.Addr() {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), fingerprint(s.HostKeys[0].PublicKey()), name(s)+" "+s.HostKeyLine(), fmt.Sprintf("ssh-keyscan -p %d 127.0.0.1", s.Port()), "host_key")
	if got := s.Stats(); got.Connections != 1 || got.Logins != 0 {
		t.Errorf("%+v: a host key error must not be retried", got)
	}
}

func TestChangedHostKeyShowsBothAndWhereTheKnownOneIs(t *testing.T) {
	s := sshtest.New(t)
	known := ecdsaKey(t).PublicKey() // of another type, even: still changed, not "unknown" or "no common algorithm"
	cfg, path := knownAs(t, s, "# first", name(s)+" "+sshtest.Line(known))
	_, err := newPool(t).Get(testContext(t), cfg)
	got := as[*HostKeyError](t, err)
	if got.Kind != HostKeyChanged || len(got.Known) != 1 || got.Known[0] != (KnownHostKey{Fingerprint: fingerprint(known), File: path, Line: 2}) {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), fingerprint(s.HostKeys[0].PublicKey()), fingerprint(known), path+":2", s.Addr())

	pinned := configFor(t, s)
	pinned.HostKey = []string{sshtest.Line(known)}
	for _, strict := range []string{StrictYes, StrictAcceptNew, StrictNo} { // a pin is stricter than the setting
		pinned.StrictHostKeyChecking = strict
		_, err = newPool(t).Get(testContext(t), pinned)
		if got := as[*HostKeyError](t, err); got.Kind != HostKeyChanged || got.Known[0].File != "host_key" {
			t.Errorf("%s: %+v", strict, got)
		}
	}
	if got := s.Stats(); got.Logins != 0 || got.Connections != 4 {
		t.Errorf("%+v: a host key error must not be retried", got)
	}
}

func TestRevokedHostKeyIsRefusedWhateverElseSpeaksForIt(t *testing.T) {
	s := sshtest.New(t)
	cfg, path := knownAs(t, s, name(s)+" "+s.HostKeyLine(), "@revoked * "+s.HostKeyLine())
	for _, change := range []func(*Config){
		func(*Config) {}, func(c *Config) { c.HostKey = []string{s.HostKeyLine()} }, func(c *Config) { c.StrictHostKeyChecking = StrictNo },
		func(c *Config) { c.StrictHostKeyChecking = StrictAcceptNew },
	} {
		c := cfg
		change(&c)
		_, err := newPool(t).Get(testContext(t), c)
		if got := as[*HostKeyError](t, err); got.Kind != HostKeyRevoked {
			t.Errorf("%+v", got)
		}
		contains(t, err.Error(), path+":2", "revoked")
	}
	cfg, path = knownAs(t, s, "@revoked * ssh-future AAAA", name(s)+" "+s.HostKeyLine())
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*ConfigError](t, err).Error(), "known_hosts_files", path+":1", "@revoked")
}

func TestUnreadableKnownHostsFileIsAnError(t *testing.T) {
	s := sshtest.New(t)
	cfg, _ := knownAs(t, s)
	cfg.KnownHostsFiles = []string{t.TempDir()}
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*ConfigError](t, err).Error(), "known_hosts_files", cfg.KnownHostsFiles[0])
}

func TestStrictNoAcceptsAndWarns(t *testing.T) {
	s := sshtest.New(t)
	for _, lines := range [][]string{nil, {name(s) + " " + sshtest.Line(sshtest.NewKey(t).PublicKey())}} {
		cfg, _ := knownAs(t, s, lines...)
		cfg.StrictHostKeyChecking = StrictNo
		p, log := newLoggedPool(t)
		if _, err := p.Get(testContext(t), cfg); err != nil {
			t.Error(err)
		}
		contains(t, log.String(), "level=WARN", "unverified", ssh.FingerprintSHA256(s.HostKeys[0].PublicKey()))
	}
}

func TestAcceptNewRecordsTheDialledNameOnce(t *testing.T) {
	key := sshtest.NewKey(t)
	s := sshtest.New(t, func(s *sshtest.Server) { s.HostKeys = []ssh.Signer{key, ecdsaKey(t)} })
	cfg := configFor(t, s)
	file := filepath.Join(t.TempDir(), "new", "known_hosts")
	cfg.Host, cfg.HostKey, cfg.KnownHostsFiles, cfg.StrictHostKeyChecking = "LocalHost", nil, []string{file}, StrictAcceptNew
	var hosts sync.WaitGroup
	for i := range 8 { // at once, each with a connection of its own
		c := cfg
		c.User = fmt.Sprint("user", i)
		hosts.Go(func() {
			if _, err := newPool(t).Get(testContext(t), c); err != nil {
				t.Error(err)
			}
		})
	}
	hosts.Wait()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(string(text)), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], fmt.Sprintf("[localhost]:%d ", s.Port())) {
		t.Errorf("recorded %q", text)
	}
	strict := cfg
	strict.StrictHostKeyChecking = StrictYes
	if _, err := newPool(t).Get(testContext(t), strict); err != nil {
		t.Errorf("what was recorded is not found again: %v", err)
	}
	impostor := sshtest.New(t)
	cfg.HostKeyAlias = "rmq1"
	if err := os.WriteFile(file, []byte("rmq1 "+s.HostKeyLine()), 0o600); err != nil { // no newline at its end
		t.Fatal(err)
	}
	cfg.Port = impostor.Port()
	_, err = newPool(t).Get(testContext(t), cfg)
	if got := as[*HostKeyError](t, err); got.Kind != HostKeyChanged {
		t.Errorf("%+v", got)
	}
	cfg.HostKeyAlias = "rmq2"
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Error(err)
	}
	if text, _ = os.ReadFile(file); !strings.HasSuffix(string(text), "\nrmq2 "+impostor.HostKeyLine()+"\n") {
		t.Errorf("recorded %q", text)
	}
}

func TestAcceptNewRefusesWhatItCannotRecord(t *testing.T) {
	s := sshtest.New(t)
	cfg, _ := knownAs(t, s)
	cfg.StrictHostKeyChecking = StrictAcceptNew
	cfg.KnownHostsFiles = []string{"/proc/no/known_hosts"} // where not even root makes a directory
	if runtime.GOOS != "linux" {
		t.Skip("has no /proc")
	}
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*HostKeyError](t, err); got.Kind != HostKeyUnrecorded {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "not accepted", "known_hosts_files")
	if got := s.Stats().Logins; got != 0 {
		t.Error("logged in to a host whose key was not recorded")
	}
}

func TestAuthoritysKeyIsNoHostKey(t *testing.T) {
	s := sshtest.New(t) // shows the authority's own key
	cfg, path := knownAs(t, s, "@cert-authority * "+s.HostKeyLine())
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*HostKeyError](t, err); got.Kind != HostKeyChanged || !got.Known[0].CA {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "certificate authority", path+":1")
	pinned := configFor(t, s)
	pinned.HostKey, pinned.HostCAKey = nil, []string{s.HostKeyLine()}
	_, err = newPool(t).Get(testContext(t), pinned)
	as[*HostKeyError](t, err)
	if got := s.Stats().Logins; got != 0 {
		t.Error("an authority's key was taken for a host's")
	}
}

func TestHostCertificates(t *testing.T) {
	authority, stranger := sshtest.NewKey(t), sshtest.NewKey(t)
	start := func(signer ssh.Signer, change func(*ssh.Certificate)) *sshtest.Server {
		return sshtest.New(t, func(s *sshtest.Server) {
			key := ecdsaKey(t) // of another type than the authority's
			cert := sshtest.Certify(t, signer, key.PublicKey(), func(c *ssh.Certificate) {
				c.CertType, c.ValidPrincipals = ssh.HostCert, []string{"127.0.0.1", "rmq1"}
				change(c)
			})
			certSigner, err := ssh.NewCertSigner(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			s.HostKeys = []ssh.Signer{key, certSigner}
		})
	}
	ca := sshtest.Line(authority.PublicKey())
	good := start(authority, func(*ssh.Certificate) {})
	attribute := configFor(t, good)
	attribute.HostKey, attribute.HostCAKey = nil, []string{ca}
	file, _ := knownAs(t, good, "@cert-authority 127.0.0.* "+ca)
	alias := attribute
	alias.HostKeyAlias = "RMQ1"
	for what, cfg := range map[string]Config{"host_ca_key": attribute, "known_hosts": file, "alias": alias} {
		if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	plain := configFor(t, good) // the same host, known by its key only
	if _, err := newPool(t).Get(testContext(t), plain); err != nil {
		t.Errorf("known by its key: %v", err)
	}
	for says, server := range map[string]*sshtest.Server{
		"no authorities":  start(stranger, func(*ssh.Certificate) {}),
		"principal":       start(authority, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"rmq9"} }),
		"expired":         start(authority, func(c *ssh.Certificate) { c.ValidBefore = 10 }),
		"has type 1":      start(authority, func(c *ssh.Certificate) { c.CertType = ssh.UserCert }),
		"critical option": start(authority, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": "y"} }),
	} {
		cfg := attribute
		cfg.Port = server.Port()
		_, err := newPool(t).Get(testContext(t), cfg)
		if got := as[*HostKeyError](t, err); got.Kind != HostKeyCertificate {
			t.Errorf("%s: %+v", says, got)
		}
		contains(t, err.Error(), says)
		if server.Stats().Logins != 0 {
			t.Errorf("logged in although the certificate does not hold: %s", says)
		}
	}
	cfg, _ := knownAs(t, good, "@cert-authority * "+ca, "@revoked * "+ca)
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*HostKeyError](t, err); got.Kind != HostKeyRevoked {
		t.Errorf("%+v", got)
	}
}

func TestWeakHostKeyAlgorithmsAreNeverOffered(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h := hostKeys{known: []knownKey{{key: public}}}
	algorithms := h.algorithms()
	if algorithms[0] != ssh.KeyAlgoRSASHA512 || algorithms[1] != ssh.KeyAlgoRSASHA256 || slices.Contains(algorithms, ssh.KeyAlgoRSA) || slices.Contains(algorithms, "ssh-dss") {
		t.Errorf("%v", algorithms)
	}
}

// A connection through a bastion has no address of its own: the name that was asked for is what counts.
func TestAcceptNewThroughBastionRecordsTheTarget(t *testing.T) {
	target := sshtest.New(t)
	bastion := sshtest.New(t, func(s *sshtest.Server) {
		s.ForwardTo = func(string) (string, error) { return target.Addr(), nil }
	})
	cfg := configFor(t, target)
	file := filepath.Join(t.TempDir(), "known_hosts")
	cfg.Host, cfg.Port, cfg.HostKey, cfg.KnownHostsFiles, cfg.StrictHostKeyChecking = "rmq1.internal", 0, nil, []string{file}, StrictAcceptNew
	cfg.Bastions = []Config{configFor(t, bastion)}
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); string(text) != "rmq1.internal "+target.HostKeyLine()+"\n" {
		t.Errorf("recorded %q", text)
	}
}

func FuzzKnownHostsFilter(f *testing.F) {
	line := "rmq1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbvCG6Z4MdAXdU5V4b5k2r1kJXcKyYy9m7sX1g1yWkZ"
	for _, seed := range []string{line, "@revoked * " + line, "@cert-authority " + line, "|1|aaaa|bbbb ssh-ed25519 AAAA", "[a]:b,!c " + line, "\x00", "a b c\r\nd e f"} {
		f.Add(seed + "\n" + line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := writeFile(t, "known_hosts", text)
		_, _, err := readKnownHosts(t.Context(), Config{KnownHostsFiles: []string{path}}, "rmq1:22", discard)
		if err != nil && !strings.Contains(err.Error(), "@revoked") {
			t.Errorf("one bad line spoils the file: %v", err)
		}
	})
}
