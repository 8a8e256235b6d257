package ssh

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

var encrypted struct {
	sync.Once
	key string
}

// encryptedKey is the same for all tests, as encrypting is slow by design. The passphrase is "open sesame".
func encryptedKey(t *testing.T) string {
	t.Helper()
	encrypted.Do(func() { encrypted.key, _ = sshtest.NewPrivateKey(t, "open sesame") })
	return encrypted.key
}

func TestUnusableKeysNameAttributeAndFileAndNothingElse(t *testing.T) {
	plain, public := sshtest.NewPrivateKey(t, "")
	encrypted := encryptedKey(t)
	material := strings.Split(plain, "\n")[1]
	damaged := strings.Replace(plain, material, material[:20]+"!"+material[21:], 1)
	s := sshtest.New(t)
	for name, c := range map[string]struct {
		content    string
		passphrase Secret
		says       string
	}{
		"missing":             {says: "no such file"},
		"empty":               {content: "\n", says: "holds no private key"},
		"garbage":             {content: "MIIEpAIBAAKC" + material, says: "holds no private key"},
		"damaged":             {content: damaged, says: "damaged"},
		"cut":                 {content: plain[:len(plain)/2], says: "damaged"},
		"public":              {content: sshtest.Line(public), says: ".pub"},
		"encrypted":           {content: encrypted, says: "private_key_passphrase"},
		"wrong passphrase":    {content: encrypted, passphrase: "close sesame", says: "cannot be decrypted"},
		"directory as a file": {says: "directory"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configFor(t, s)
			path := filepath.Join(t.TempDir(), "id")
			switch {
			case c.content != "":
				path = writeFile(t, "id", c.content)
			case strings.HasPrefix(name, "directory"):
				path = t.TempDir()
			}
			for _, attribute := range []string{"private_key_file", "private_key"} {
				cfg.PrivateKey, cfg.PrivateKeyFile, cfg.PrivateKeyPassphrase = "", path, c.passphrase
				if attribute == "private_key" {
					if c.content == "" || c.passphrase != "" { // decrypting takes a second
						continue
					}
					cfg.PrivateKey, cfg.PrivateKeyFile = Secret(c.content), ""
				}
				_, err := newPool(t).Get(testContext(t), cfg)
				if got := as[*ConfigError](t, err); got.Attribute != attribute {
					t.Errorf("the error names %s", got.Attribute)
				}
				contains(t, err.Error(), c.says, attribute)
				if attribute == "private_key_file" {
					contains(t, err.Error(), path)
				}
				for _, secret := range []string{material[:12], "sesame", "MIIE", string(c.passphrase)} {
					if secret != "" && strings.Contains(err.Error(), secret) {
						t.Errorf("the error quotes the key: %v", err)
					}
				}
			}
		})
	}
	if got := s.Stats().Connections; got != 0 {
		t.Errorf("%d connections made with an unusable key", got)
	}
}

func TestKeyForms(t *testing.T) {
	s := sshtest.New(t)
	plain, _ := sshtest.NewPrivateKey(t, "")
	encrypted := encryptedKey(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.WriteFile(filepath.Join(home, "id"), []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"text":                    func(c *Config) { c.PrivateKey = Secret(plain) },
		"text without a newline":  func(c *Config) { c.PrivateKey = Secret(strings.TrimSpace(plain)) },
		"text in a heredoc":       func(c *Config) { c.PrivateKey = Secret("\n" + plain + "\n\n") },
		"text from Windows":       func(c *Config) { c.PrivateKey = Secret(strings.ReplaceAll(plain, "\n", "\r\n")) },
		"file below ~":            func(c *Config) { c.PrivateKeyFile = "~/id" },
		"encrypted":               func(c *Config) { c.PrivateKey, c.PrivateKeyPassphrase = Secret(encrypted), "open sesame" },
		"not encrypted after all": func(c *Config) { c.PrivateKey, c.PrivateKeyPassphrase = Secret(plain), "open sesame" },
	} {
		cfg := configFor(t, s)
		cfg.PrivateKey = ""
		change(&cfg)
		if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeniedLoginSaysWhatWasTriedAndIsNotRepeated(t *testing.T) {
	_, public := sshtest.NewPrivateKey(t, "")
	s := sshtest.New(t, func(s *sshtest.Server) {
		s.Authorized = func(_ string, key ssh.PublicKey) bool { return sameKey(key, public) }
	})
	cfg := configFor(t, s)
	own, err := ssh.ParsePrivateKey([]byte(cfg.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t)
	now := time.Now()
	p.now = func() time.Time { return now }
	for range 3 { // as three resources on one host would
		_, err = p.Get(testContext(t), cfg)
		got := as[*AuthError](t, err)
		if got.User != "deploy" || got.Addr != s.Addr() || len(got.Tried) != 1 || len(got.Allowed) != 1 {
			t.Errorf("%+v", got)
		}
		contains(t, err.Error(), s.Addr(), "deploy", fingerprint(own.PublicKey()), "(private_key)", "the server allows publickey", "authorized_keys")
	}
	if got := s.Stats().Connections; got != 1 {
		t.Errorf("%d connections: a denied login must not be repeated", got)
	}
	now = now.Add(afterDenial)
	_, _ = p.Get(testContext(t), cfg)
	if got := s.Stats().Connections; got != 2 {
		t.Errorf("%d connections: a denial must not last for ever", got)
	}
	cfg.PrivateKey = ""
	_, err = p.Get(testContext(t), cfg)
	as[*AuthError](t, err)
	contains(t, err.Error(), "nothing to log in with", "private_key_file", "SSH_AUTH_SOCK")
}

func TestPasswordServesBothMethods(t *testing.T) {
	for name, method := range map[string]string{"password": "password", "keyboard-interactive": "keyboard-interactive"} {
		s := sshtest.New(t, func(s *sshtest.Server) {
			s.Password, s.PasswordMethod = "s3cret", method
			s.Authorized = func(string, ssh.PublicKey) bool { return false }
		})
		cfg := configFor(t, s)
		cfg.Password = "s3cret"
		p, log := newLoggedPool(t)
		if _, err := p.Get(testContext(t), cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		contains(t, log.String(), name+" (password)")
		if strings.Contains(log.String(), "s3cret") {
			t.Errorf("the log holds the password: %s", log)
		}
		cfg.Password = "wr0ng"
		_, err := newPool(t).Get(testContext(t), cfg)
		as[*AuthError](t, err)
		contains(t, err.Error(), name+" (password)", "publickey ssh-ed25519 SHA256:")
		if strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// startAgent serves keys on a socket, and is the one at SSH_AUTH_SOCK.
func startAgent(t *testing.T, keys ...agent.AddedKey) {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	serveAgent(t, func(conn net.Conn) { _ = agent.ServeAgent(ring, conn) })
}

func serveAgent(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
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
				serve(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	t.Setenv("SSH_AUTH_SOCK", listener.Addr().String())
}

func agentKey(t *testing.T, comment string) (agent.AddedKey, ssh.PublicKey) {
	t.Helper()
	text, public := sshtest.NewPrivateKey(t, "")
	private, err := ssh.ParseRawPrivateKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return agent.AddedKey{PrivateKey: private, Comment: comment}, public
}

// The library takes only the first method of a kind: with one for the key and one for the agent, the agent would never
// be asked.
func TestAgentIsAskedAlthoughThereIsAKey(t *testing.T) {
	added, public := agentKey(t, "laptop")
	startAgent(t, added)
	s := sshtest.New(t, func(s *sshtest.Server) {
		s.Authorized = func(_ string, key ssh.PublicKey) bool { return sameKey(key, public) }
	})
	cfg := configFor(t, s)
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Error(err)
	}
	no := false
	cfg.Agent = &no
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*AuthError](t, err); len(got.Tried) != 1 {
		t.Errorf("agent = false, and tried %v", got.Tried)
	}
}

func TestAgentIdentityIsTheOnlyOneOffered(t *testing.T) {
	var keys []agent.AddedKey
	var wanted ssh.PublicKey
	for i := range 8 { // more than sshd has patience for
		key, public := agentKey(t, "key"+string(rune('0'+i)))
		keys = append(keys, key)
		wanted = public
	}
	startAgent(t, keys...)
	s := sshtest.New(t, func(s *sshtest.Server) {
		s.Authorized = func(_ string, key ssh.PublicKey) bool { return sameKey(key, wanted) }
	})
	cfg := configFor(t, s)
	cfg.PrivateKey = ""
	for _, identity := range []string{"key7", ssh.FingerprintSHA256(wanted), sshtest.Line(wanted)} {
		cfg.AgentIdentity = identity
		if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
			t.Errorf("%.20s: %v", identity, err)
		}
	}
	if got := s.Stats().Denials; got != 0 {
		t.Errorf("%d other keys were offered", got)
	}
	cfg.AgentIdentity = "key9"
	_, err := newPool(t).Get(testContext(t), cfg)
	if got := as[*ConfigError](t, err); got.Attribute != "agent_identity" {
		t.Error(err)
	}
	cfg.AgentIdentity = ""
	_, err = newPool(t).Get(testContext(t), cfg)
	if got := as[*AuthError](t, err); len(got.Tried) != maxKeys {
		t.Errorf("%d keys offered, sshd hangs up after six failures", len(got.Tried))
	}
}

func TestAgentThatDoesNotAnswer(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	yes := true
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "none"))
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Errorf("nobody asked for the agent: %v", err)
	}
	cfg.Agent = &yes
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*ConfigError](t, err).Error(), "agent", "SSH_AUTH_SOCK")
	t.Setenv("SSH_AUTH_SOCK", "")
	_, err = newPool(t).Get(testContext(t), cfg)
	contains(t, as[*ConfigError](t, err).Error(), "SSH_AUTH_SOCK is not set")

	hung := make(chan struct{})
	defer close(hung)
	serveAgent(t, func(net.Conn) { <-hung })
	cfg.ConnectTimeout = 20 * time.Millisecond
	_, err = newPool(t).Get(testContext(t), cfg)
	contains(t, as[*ConfigError](t, err).Error(), "agent", "does not answer")
}

func TestUserCertificates(t *testing.T) {
	authority := sshtest.NewKey(t)
	checker := &ssh.CertChecker{IsUserAuthority: func(key ssh.PublicKey) bool { return sameKey(key, authority.PublicKey()) }}
	s := sshtest.New(t, func(s *sshtest.Server) {
		s.Authorized = func(user string, key ssh.PublicKey) bool {
			cert, ok := key.(*ssh.Certificate)
			return ok && checker.IsUserAuthority(cert.SignatureKey) && checker.CheckCert(user, cert) == nil
		}
	})
	text, public := sshtest.NewPrivateKey(t, "")
	certify := func(change func(*ssh.Certificate)) string {
		return sshtest.Line(sshtest.Certify(t, authority, public, func(c *ssh.Certificate) {
			c.CertType, c.ValidPrincipals = ssh.UserCert, []string{"deploy"}
			change(c)
		}))
	}
	good := certify(func(*ssh.Certificate) {})
	cfg := configFor(t, s)
	cfg.PrivateKey, cfg.Certificate = Secret(text), good
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Error(err)
	}
	cfg.Certificate, cfg.CertificateFile = "", writeFile(t, "id-cert.pub", good)
	if _, err := newPool(t).Get(testContext(t), cfg); err != nil {
		t.Error(err)
	}
	connections := s.Stats().Connections
	other, _ := sshtest.NewPrivateKey(t, "")
	for says, change := range map[string]func(*Config){
		"expired at 1970-01-01T00:00:10Z": func(c *Config) { c.Certificate = certify(func(c *ssh.Certificate) { c.ValidBefore = 10 }) },
		"not valid before":                func(c *Config) { c.Certificate = certify(func(c *ssh.Certificate) { c.ValidAfter = 1 << 40 }) },
		"neither the private key":         func(c *Config) { c.Certificate, c.PrivateKey = good, Secret(other) },
		"host certificate":                func(c *Config) { c.Certificate = certify(func(c *ssh.Certificate) { c.CertType = ssh.HostCert }) },
		"-cert.pub":                       func(c *Config) { c.Certificate = sshtest.Line(public) },
	} {
		c := cfg
		c.CertificateFile = ""
		change(&c)
		_, err := newPool(t).Get(testContext(t), c)
		contains(t, as[*ConfigError](t, err).Error(), says, "certificate")
	}
	if got := s.Stats().Connections; got != connections {
		t.Error("connected with a certificate that cannot serve")
	}
	cfg.CertificateFile, cfg.Certificate = "", certify(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"somebody"} })
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*AuthError](t, err).Error(), "certificate with private_key", "ssh-ed25519-cert-v01@openssh.com")
}
