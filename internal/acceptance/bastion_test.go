//go:build linux

package acceptance

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Brokers that nobody reaches but through two hosts in a row, each way to log in, with the least rights, against an sshd
// that allows one session and two logins at a time, and greets everybody.
func TestBehindTwoBastionsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	brokers := []*lab.Host{rmq1, rmq2, rmq3}
	b1, b2 := bastion(t, "b1"), bastion(t, "b2")
	w := newWorkspace(t)
	known := w.file("known_hosts", contentOf(t, suite.lab.KnownHostsFile())) // of before the host certificates below

	// An authority, and a key that only its certificate opens doors with.
	ca, certified := keyPair(t, "ca"), keyPair(t, "certified")
	local(t, "ssh-keygen", "-q", "-s", ca, "-I", "deploy", "-n", "deploy,nosudo", "-V", "+1h", certified+".pub")
	local(t, "ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", certified)
	for _, h := range append([]*lab.Host{b1, b2}, brokers...) {
		hard(t, h, contentOf(t, ca+".pub"), "MaxSessions 1", "MaxStartups 2", "Banner /etc/issue.net")
	}
	rights := leastRights(t)
	least(t, rights[0]+rights[1], brokers...)
	ctx := t.Context()
	for _, h := range append([]*lab.Host{b2}, brokers...) {
		must(t, h.CutMachine(ctx))
	}
	must(t, suite.lab.Partition(ctx, []*lab.Host{b1}, brokers))
	t.Cleanup(func() {
		ctx, cancel := bounded(t)
		defer cancel()
		must(t, suite.lab.Heal(ctx))
	})
	for _, h := range append([]*lab.Host{b2}, brokers...) {
		if conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address(), "22"), time.Second); err == nil {
			_ = conn.Close()
			t.Fatalf("%s can be reached without a bastion", h.Name())
		}
	}

	user := fmt.Sprintf("user = %q\n    known_hosts_files = [%q]", lab.UserNoSudo, known)
	hops := func(first, second string) string {
		return fmt.Sprintf("\n    bastions = [{ host = %q, user = %q%s }, { host = %q, user = %q%s }]", b1.Address(), lab.User, first, b2.Address(), lab.User, second)
	}
	certificate := user + fmt.Sprintf("\n    private_key_file = %q\n    private_key_passphrase = \"open sesame\"\n    certificate_file = %q", certified, certified+"-cert.pub") +
		hops(fmt.Sprintf(", host_key = %q", b1.HostKey()), "")
	agent := user + fmt.Sprintf("\n    private_key_file = null\n    agent_identity = %q", "lab") + hops("", "")
	keys := user + hops("", fmt.Sprintf(", private_key_file = %q, private_key_passphrase = \"open sesame\", certificate_file = %q", certified, certified+"-cert.pub"))

	w.tell("certificates form a cluster", func(t *testing.T) {
		w.write(hcl{ssh: certificate, members: entries(rmq1, rmq2)})
		o := w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		log := contentOf(t, o.log)
		for _, want := range []string{"through=" + b2.Address() + ":22", "through=" + b1.Address() + ":22", fingerprint(t, certified+".pub"), "known_from="} {
			if !strings.Contains(log, want) {
				t.Errorf("the log does not tell %q", want)
			}
		}
		w.planIsEmpty()
	})
	w.tell("an agent adds a member, and starts one that is stopped", func(t *testing.T) {
		w.env = []string{"SSH_AUTH_SOCK=" + agentWith(t, keyPair(t, "stray-1"), keyPair(t, "stray-2"), suite.lab.PrivateKeyFile())}
		must(t, rmq2.StopBroker(t.Context()))
		w.write(hcl{ssh: agent, members: entries(rmq1, rmq2, rmq3)})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
		w.env = nil
	})
	w.tell("keys, another for each, take one out", func(t *testing.T) {
		w.write(hcl{ssh: keys, members: entries(rmq1, rmq2)})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
	})
	w.tell("an ssh_config that names the hops", func(*testing.T) {
		config := w.file("ssh_config", fmt.Sprintf("Host %s\n  ProxyJump %s\nHost 10.77.*.*\n  User nosudo\n  IdentityFile %s\n  UserKnownHostsFile %s\nMatch host %s,%s\n", strings.Join([]string{rmq1.Address(), rmq2.Address(), rmq3.Address()}, " "),
			lab.User+"@"+b1.Address()+","+lab.User+"@"+b2.Address(), suite.lab.PrivateKeyFile(), known, b1.Address(), b2.Address()))
		w.write(hcl{ssh: fmt.Sprintf("user = null\n    private_key_file = null\n    known_hosts_files = null\n    ssh_config_file = %q", config), members: entries(rmq1, rmq2)})
		w.planIsEmpty()
	})
	w.tell("a cookie is rotated with the least rights", func(t *testing.T) {
		for _, h := range brokers {
			t.Cleanup(func() { writeCookie(t, h, sharedCookie); on(t, h, "sh", "-c", "rm -f "+cookieFile+".*") })
		}
		w.write(hcl{ssh: keys, members: entries(rmq1, rmq2), more: nodes(rmq1, rmq2) + cookieBlocks})
		w.wantCookie(sharedCookie, 1)
		w.mustApply()
		cookie := newCookie()
		w.wantCookie(cookie, 2)
		w.mustApply()
		haveCookie(t, cookie, rmq1, rmq2)
		w.planIsEmpty()
	})
	w.tell("a hosts file needs rights of its own", func(t *testing.T) {
		one := newWorkspace(t)
		one.only(keys+fmt.Sprintf("\n    private_key_file = %q", suite.lab.PrivateKeyFile()), fmt.Sprintf("resource \"rabbitmq_hosts_file\" \"rmq1\" {\n  host    = %q\n  entries = { db1 = \"10.1.1.1\" }\n}\n", rmq1.Address()))
		one.apply().fails(rmq1.Address(), "/etc/hosts", "root")
		least(t, rights[2], rmq1)
		one.mustApply()
		one.planIsEmpty()
		if got := on(t, rmq1, "cat", "/etc/hosts"); !strings.Contains(got, "10.1.1.1 db1") {
			t.Errorf("the file has %q", got)
		}
		one.mustDestroy()
	})
	least(t, rights[0]+rights[1], rmq1)
	w.tell("a wrong key at the second hop is told with the hop", func(t *testing.T) {
		stranger := keyPair(t, "stranger")
		w.write(hcl{ssh: user + hops("", fmt.Sprintf(", private_key_file = %q", stranger)), members: entries(rmq1, rmq2), more: nodes(rmq1, rmq2) + cookieBlocks})
		w.plan().fails(rmq1.Address()+":22 is reached through "+b2.Address()+":22: "+b2.Address()+":22 does not let deploy in (user deploy, from the provider's ssh.bastions[1])", fingerprint(t, stranger+".pub"))
	})
	w.tell("a hop that does not forward is told", func(t *testing.T) {
		hard(t, b2, contentOf(t, ca+".pub"), "AllowTcpForwarding no")
		w.write(hcl{ssh: keys, members: entries(rmq1, rmq2), more: nodes(rmq1, rmq2) + cookieBlocks})
		w.plan().fails("the bastion "+b2.Address()+":22 answers", "AllowTcpForwarding")
	})
}

// bastion boots a host without a broker, for the time of the test.
func bastion(t *testing.T, name string) *lab.Host {
	t.Helper()
	if old := suite.lab.Host(name); old != nil { // of a test that was killed, in a lab that is used again
		must(t, suite.lab.RemoveHost(old))
	}
	h, err := suite.lab.AddHost(t.Context(), lab.HostSpec{Name: name, NoBroker: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, suite.lab.RemoveHost(h)) })
	return h
}

// hard sets up the sshd of a host for the time of the test: it takes certificates of an authority, and more.
func hard(t *testing.T, h *lab.Host, ca string, lines ...string) {
	t.Helper()
	const config, authority = "/etc/ssh/sshd_config.d/aaa.conf", "/etc/ssh/user_ca.pub" // the first value of a setting counts
	must(t, h.WriteFile(authority, []byte(ca), 0o644, "root"))
	must(t, h.WriteFile("/etc/issue.net", []byte("Authorized use only!\n"), 0o644, "root"))
	must(t, h.WriteFile(config, []byte("TrustedUserCAKeys "+authority+"\n"+strings.Join(lines, "\n")+"\n"), 0o644, "root"))
	on(t, h, "systemctl", "reload", "ssh")
	t.Cleanup(func() {
		if h.Running() {
			on(t, h, "rm", "-f", config, authority)
			on(t, h, "systemctl", "reload", "ssh")
		}
	})
}

var sudoersBlock = regexp.MustCompile("(?s)```sudoers\n(.*?)```")

// leastRights are the lines that the guide on SSH calls the least: for clusters and members, for cookies, for hosts files.
func leastRights(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, block := range sudoersBlock.FindAllStringSubmatch(contentOf(t, "../../templates/guides/ssh.md.tmpl"), -1) {
		all = append(all, strings.ReplaceAll(block[1], "deploy ALL", lab.UserNoSudo+" ALL"))
	}
	if len(all) != 3 {
		t.Fatalf("the guide has %d blocks of sudoers", len(all))
	}
	return all
}

// least gives the account without rights those of these lines, and a login shell that is not bash.
func least(t *testing.T, lines string, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		const file = "/etc/sudoers.d/least"
		must(t, h.WriteFile(file, []byte(lines), 0o440, "root"))
		on(t, h, "visudo", "-c", "-q", "-f", file)
		on(t, h, "usermod", "-s", "/bin/dash", lab.UserNoSudo)
		t.Cleanup(func() { on(t, h, "rm", "-f", file); on(t, h, "usermod", "-s", "/bin/bash", lab.UserNoSudo) })
	}
}

// agentWith starts an agent with some keys and returns its socket.
func agentWith(t *testing.T, keys ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	stdout, err := agent.StdoutPipe()
	must(t, err)
	must(t, agent.Start())
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil { // it prints its socket once that is there
		t.Fatal(err)
	}
	add := exec.Command("ssh-add", append([]string{"-q"}, keys...)...)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	return socket
}
