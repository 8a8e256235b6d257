package ssh

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// What the log and the errors tell of a connection.

// The log of a connection tells each hop, what it was offered, what it took, and its key.
func TestLogTellsHopMethodAndFingerprint(t *testing.T) {
	hop, target := sshtest.New(t), sshtest.New(t)
	cfg := configFor(t, target)
	cfg.Origins = map[string]string{"user": "RABBITMQ_SSH_USER", "private_key": "the provider's ssh"}
	cfg.Bastions = []Config{configFor(t, hop)}
	p, log := newLoggedPool(t)
	run(t, p.Host(cfg), "x", "")
	signer, err := ssh.ParsePrivateKey([]byte(cfg.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	text := log.String()
	contains(t, text, "connecting over SSH", "host="+target.Addr(), "host="+hop.Addr(), "through="+hop.Addr(), "user_from=RABBITMQ_SSH_USER",
		`by="publickey ssh-ed25519 `+ssh.FingerprintSHA256(signer.PublicKey())+` (private_key, from the provider's ssh)"`)
	for _, s := range []*sshtest.Server{hop, target} {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.HostKeyLine()))
		if err != nil {
			t.Fatal(err)
		}
		contains(t, text, fmt.Sprintf("host_key=\"%s\" known_from=\"%[1]s (host_key)\"", fingerprint(key)))
	}
}

// Two keys are offered at once, and the log tells which of them the server took.
func TestLogTellsTheKeyThatWasTaken(t *testing.T) {
	s := sshtest.New(t)
	cfg := configFor(t, s)
	text, public := sshtest.NewPrivateKey(t, "")
	authority := sshtest.NewKey(t)
	cfg.PrivateKey = Secret(text)
	cfg.Certificate = sshtest.Line(sshtest.Certify(t, authority, public, func(c *ssh.Certificate) { c.CertType, c.ValidPrincipals = ssh.UserCert, []string{"deploy"} }))
	p, log := newLoggedPool(t)
	run(t, p.Host(cfg), "x", "")
	contains(t, log.String(), `by="publickey ssh-ed25519-cert-v01@openssh.com `+ssh.FingerprintSHA256(public)+" signed by "+ssh.FingerprintSHA256(authority.PublicKey()))
}

// Where a setting comes from stands beside it in the errors.
func TestErrorsTellWhereSettingsComeFrom(t *testing.T) {
	s := denying(t, 1)
	cfg := configFor(t, s)
	cfg.Origins = map[string]string{"user": "RABBITMQ_SSH_USER", "private_key": "RABBITMQ_SSH_PRIVATE_KEY", "private_key_file": "RABBITMQ_SSH_PRIVATE_KEY_FILE", "port": "RABBITMQ_SSH_PORT", "timeout": "RABBITMQ_SSH_TIMEOUT"}
	_, err := newPool(t).Get(testContext(t), cfg)
	contains(t, as[*AuthError](t, err).Error(), "does not let deploy in (user deploy, from RABBITMQ_SSH_USER)", "(private_key, from RABBITMQ_SSH_PRIVATE_KEY)")
	bad := cfg
	bad.Timeout = -1
	contains(t, as[*ConfigError](t, bad.Validate()).Error(), "timeout (from RABBITMQ_SSH_TIMEOUT)")
	bad = cfg
	bad.PrivateKey, bad.PrivateKeyFile = "", "/nonexistent"
	_, err = newPool(t).Get(testContext(t), bad)
	contains(t, as[*ConfigError](t, err).Error(), "private_key_file (from RABBITMQ_SSH_PRIVATE_KEY_FILE)")
	refused := &DialError{Addr: "rmq1:2222", User: "deploy", Kind: DialRefused, Origin: "RABBITMQ_SSH_PORT", Err: io.EOF}
	contains(t, refused.Error(), "(port 2222, from RABBITMQ_SSH_PORT)")
}

// denying is a server that turns the first so many keys down.
func denying(t *testing.T, keys int32) *sshtest.Server {
	var seen atomic.Int32
	return sshtest.New(t, func(s *sshtest.Server) {
		s.Authorized = func(string, ssh.PublicKey) bool { return seen.Add(1) > keys }
	})
}
