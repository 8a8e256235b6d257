package ssh

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func TestValidateNamesTheAttribute(t *testing.T) {
	no := false
	key, public := sshtest.NewPrivateKey(t, "")
	valid := Config{Host: "rmq1", User: "deploy", PrivateKey: Secret(key), HostKey: []string{sshtest.Line(public)}}
	for _, host := range []string{"rmq1", "10.0.0.1", "2001:db8::1", "[2001:db8::1]", "fe80::1%eth0", "a.b-c.example"} {
		c := valid
		c.Host = host
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for attribute, changes := range map[string][]func(*Config){
		"host": {
			func(c *Config) { c.Host = "" }, func(c *Config) { c.Host = "rmq1:22" }, func(c *Config) { c.Host = "deploy@rmq1" },
			func(c *Config) { c.Host = "rmq1 rmq2" },
		},
		"port":                     {func(c *Config) { c.Port = -1 }, func(c *Config) { c.Port = 65536 }},
		"user":                     {func(c *Config) { c.User = "" }},
		"private_key":              {func(c *Config) { c.PrivateKeyFile = "x" }, func(c *Config) { c.PrivateKey = "junk" }},
		"certificate":              {func(c *Config) { c.Certificate, c.CertificateFile = "x", "y" }, func(c *Config) { c.Certificate = sshtest.Line(public) }},
		"agent_identity":           {func(c *Config) { c.Agent, c.AgentIdentity = &no, "x" }},
		"host_key":                 {func(c *Config) { c.HostKey = []string{"junk"} }, func(c *Config) { c.HostKey = []string{"@cert-authority * " + sshtest.Line(public)} }},
		"host_ca_key":              {func(c *Config) { c.HostCAKey = []string{""} }},
		"host_key_alias":           {func(c *Config) { c.HostKeyAlias = "*" }},
		"strict_host_key_checking": {func(c *Config) { c.StrictHostKeyChecking = "maybe" }},
		"timeout":                  {func(c *Config) { c.Timeout = -time.Second }},
		"connect_timeout":          {func(c *Config) { c.ConnectTimeout = -1 }},
		"keepalive_interval":       {func(c *Config) { c.KeepaliveInterval = -1 }},
		"proxy_url":                {func(c *Config) { c.ProxyURL = "ftp://proxy" }, func(c *Config) { c.ProxyURL = "http://" }},
		"bastions[0].user":         {func(c *Config) { c.Bastions = []Config{{Host: "b"}} }},
		"bastions[0].bastions":     {func(c *Config) { c.Bastions = []Config{{Host: "b", User: "u", Bastions: []Config{{}}}} }},
	} {
		for i, change := range changes {
			c := valid
			change(&c)
			got := as[*ConfigError](t, c.Validate())
			if got.Attribute != attribute {
				t.Errorf("%s, change %d: the error names %s: %v", attribute, i, got.Attribute, got)
			}
			if !strings.Contains(got.Error(), attribute) {
				t.Errorf("%q does not name %s", got, attribute)
			}
		}
	}
}

func TestHostKeysAreTakenAsToolsPrintThem(t *testing.T) {
	line := sshtest.Line(sshtest.NewKey(t).PublicKey())
	for _, text := range []string{line, line + " comment", "rmq1 " + line, "[rmq1]:2222,10.0.0.1 " + line, "# rmq1:22 SSH-2.0\nrmq1 " + line + "\n\n"} {
		if keys, err := parseHostKeyLines([]string{text}, "host_key"); err != nil || len(keys) != 1 {
			t.Errorf("%q: %d keys, %v", text, len(keys), err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := Config{Host: "rmq1", User: "deploy", PrivateKey: "s3cret", PrivateKeyPassphrase: "s3cret", Password: "s3cret", ProxyURL: "http://u:s3cret@proxy"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "password", c.Password)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "password", c.Password)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		all += fmt.Sprintf(verb+verb, c, c.Password)
	}
	for _, form := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), fmt.Sprintf("%X", "s3cret")} {
		if strings.Contains(all, form) {
			t.Errorf("a secret shows in %s", all)
		}
	}
}

func TestOneConnectionWhateverTheWait(t *testing.T) {
	base := Config{Host: "rmq1", Port: 22, User: "deploy"}
	same := base
	same.Timeout, same.ConnectTimeout, same.KeepaliveInterval, same.Host = time.Second, time.Second, time.Second, "RMQ1"
	if base.key() != same.key() {
		t.Error("the wait is part of the key")
	}
	for i, change := range []func(*Config){
		func(c *Config) { c.User = "root" }, func(c *Config) { c.Port = 23 }, func(c *Config) { c.PrivateKey = "a" }, func(c *Config) { c.Password = "a" },
		func(c *Config) { c.PrivateKeyPassphrase = "a" }, func(c *Config) { c.HostKey = []string{"a"} }, func(c *Config) { c.Bastions = []Config{{Host: "b"}} },
		func(c *Config) { c.StrictHostKeyChecking = "no" }, func(c *Config) { c.ProxyURL = "a" }, func(c *Config) { c.HostKeyAlias = "a" },
		func(c *Config) { c.Certificate = "a" }, func(c *Config) { c.AgentIdentity = "a" }, func(c *Config) { c.Purpose = "a" },
	} {
		other := base
		change(&other)
		if base.key() == other.key() {
			t.Errorf("change %d gets another's connection", i)
		}
	}
}

func TestFingerprintsReadLikeOpenSSH(t *testing.T) {
	key := sshtest.NewKey(t).PublicKey()
	if got, want := fingerprint(key), "ssh-ed25519 "+ssh.FingerprintSHA256(key); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
