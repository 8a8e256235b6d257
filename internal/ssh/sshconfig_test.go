package ssh

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func TestConfigFileFillsWhatIsNotSet(t *testing.T) {
	sshtest.Require(t, "ssh")
	dir := t.TempDir()
	key, _ := sshtest.NewPrivateKey(t, "")
	locked, lockedPublic := sshtest.NewPrivateKey(t, "open sesame")
	for name, text := range map[string]string{
		"id": key, "locked": locked, "only.pub": sshtest.Line(lockedPublic) + " on a token",
		"more": "Host included\n  HostName 10.0.0.9\n",
		"config": `
Include ` + dir + `/more
Host db*
  HostName %h.example.com
  User dbadmin
  Port 2022
  IdentityFile ` + dir + `/missing
  IdentityFile ` + dir + `/id
  IdentitiesOnly yes
  UserKnownHostsFile ` + dir + `/known
  StrictHostKeyChecking accept-new
  HostKeyAlias the-db
  ConnectTimeout 7
  ServerAliveInterval 9
  CertificateFile ` + dir + `/cert
  ProxyJump jump2,ops@[2001:db8::1]:2200
Match host db1.example.com user special
  Port 2099
Host jump2
  ProxyJump jump1
  User jumper
Host jump1
  Port 2201
Host locked
  IdentityFile ` + dir + `/locked
Host token
  IdentityFile ` + dir + `/only.pub
  IdentityAgent /run/other-agent
Host quiet
  IdentityAgent none
  StrictHostKeyChecking ask
Host command
  ProxyCommand nc %h %p
Host loop
  ProxyJump pool
Host pool
  ProxyJump loop
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "config")
	fill := func(c Config) Config {
		t.Helper()
		got, err := FillFromFile(testContext(t), file, c)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	c := fill(Config{Host: "db1"})
	if c.Host != "db1.example.com" || c.User != "dbadmin" || c.Port != 2022 || c.PrivateKeyFile != dir+"/id" || c.Agent == nil || *c.Agent || c.HostKeyAlias != "the-db" ||
		c.StrictHostKeyChecking != StrictAcceptNew || c.ConnectTimeout != 7*time.Second || c.KeepaliveInterval != 9*time.Second || c.CertificateFile != dir+"/cert" ||
		!slices.Equal(c.KnownHostsFiles, []string{dir + "/known", "/etc/ssh/ssh_known_hosts"}) {
		t.Errorf("%+v", c)
	}
	if c.Origins["user"] != file || c.Origins["port"] != file {
		t.Errorf("origins %v", c.Origins)
	}
	var hops []string
	for _, b := range c.Bastions {
		hops = append(hops, b.User+"@"+b.Address())
	}
	if want := []string{"@jump1:2201", "jumper@jump2:22", "ops@[2001:db8::1]:2200"}; !slices.Equal(hops, want) {
		t.Errorf("hops %q, want %q", hops, want)
	}

	// What is set stays, and Match sees it.
	set := Config{
		Host: "db1", User: "special", PrivateKeyFile: "/mine", HostKeyAlias: "mine", StrictHostKeyChecking: StrictYes, KnownHostsFiles: []string{"/mine"},
		ConnectTimeout: time.Second, Bastions: []Config{{Host: "jump2"}}, Origins: map[string]string{"user": "RABBITMQ_SSH_USER"},
	}
	c = fill(set)
	if c.Port != 2022 && c.Port != 2099 || c.User != "special" || c.PrivateKeyFile != "/mine" || c.HostKeyAlias != "mine" || c.StrictHostKeyChecking != StrictYes || c.KnownHostsFiles[0] != "/mine" ||
		c.ConnectTimeout != time.Second || c.Origins["user"] != "RABBITMQ_SSH_USER" || len(c.Bastions) != 1 || c.Bastions[0].User != "jumper" {
		t.Errorf("%+v", c)
	}

	// ssh -G names the local user, its standard keys and files where the file says nothing. None of that is taken.
	if c := fill(Config{Host: "included"}); c.Host != "10.0.0.9" || c.User != "" || c.Port != 0 || c.PrivateKeyFile != "" || c.AgentIdentity != "" || c.KnownHostsFiles != nil || c.StrictHostKeyChecking != "" ||
		c.Agent != nil || c.Bastions != nil {
		t.Errorf("%+v", c)
	}
	if c := fill(Config{Host: "locked"}); c.PrivateKeyFile != "" || !strings.Contains(c.AgentIdentity, strings.Fields(sshtest.Line(lockedPublic))[1]) {
		t.Errorf("an encrypted key is the agent's to use: %+v", c)
	}
	if c := fill(Config{Host: "locked", PrivateKeyPassphrase: "open sesame"}); c.PrivateKeyFile != dir+"/locked" {
		t.Errorf("%+v", c)
	}
	if c := fill(Config{Host: "token"}); c.AgentIdentity != sshtest.Line(lockedPublic)+" on a token" || c.AgentSocket != "/run/other-agent" {
		t.Errorf("%+v", c)
	}
	if c := fill(Config{Host: "quiet"}); c.Agent == nil || *c.Agent {
		t.Errorf("%+v", c)
	}

	for host, says := range map[string]string{"command": "ProxyCommand for command, which is not supported", "loop": "more than 8 hops"} {
		_, err := FillFromFile(testContext(t), file, Config{Host: host})
		contains(t, as[*ConfigError](t, err).Error(), "ssh settings for "+host+": ssh_config_file", says)
	}
	if err := os.WriteFile(file, []byte("Host x\n  NoSuchKeyword yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := FillFromFile(testContext(t), file, Config{Host: "x"})
	contains(t, as[*ConfigError](t, err).Error(), "line 2: Bad configuration option", file)
	_, err = FillFromFile(testContext(t), filepath.Join(dir, "none"), Config{Host: "x"})
	contains(t, as[*ConfigError](t, err).Error(), "no such file")
	t.Setenv("PATH", dir)
	_, err = FillFromFile(testContext(t), file, Config{Host: "x"})
	contains(t, as[*ConfigError](t, err).Error(), "OpenSSH's ssh, which is not installed here")
}
