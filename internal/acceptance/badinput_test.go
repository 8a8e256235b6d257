//go:build linux

package acceptance

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Every bad input is an error that names the host or the node and says what to do, before anything is touched.

// What can be told without any host is told without any host.
func TestBadMembersAreRefusedWithoutAHost(t *testing.T) {
	blank(t)
	dirty = false
	for _, c := range []struct {
		name, members string
		says          []string
	}{
		{"no member", "", []string{"members", "at least 1 element"}},
		{"no @", `"rmq1" = { host = "10.0.0.1" }`, []string{"Invalid node name", `rmq1`, "@"}},
		{
			"upper and lower case", `
			"rabbit@rmq1" = { host = "10.0.0.1" }
			"rabbit@RMQ1" = { host = "10.0.0.2" }`,
			[]string{"Node named twice", "rabbit@RMQ1 and rabbit@rmq1 differ in upper and lower case only", "keep the one that"},
		},
		{
			"the same node on the same host", `
			"rabbit@rmq1" = { host = "10.0.0.1" }
			"rabbit@rmq2" = { host = "10.0.0.1" }`,
			[]string{"Two members on one host", "rabbit@rmq1 and rabbit@rmq2 are both rabbit on 10.0.0.1", "correct `host`"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorkspace(t)
			w.write(hcl{members: c.members})
			if o := w.plan().fails(c.says...); o.reached() {
				t.Errorf("a host was reached")
			}
		})
	}
}

// While a host's address is not known yet, a plan does not ask any host, and the apply finds it.
func TestUnknownHostsArePlannedWithoutAHost(t *testing.T) {
	rmq1, _, _ := blank(t)
	w := newWorkspace(t)
	w.write(hcl{
		members: `"rabbit@rmq1" = { host = terraform_data.machine.output }`,
		more:    fmt.Sprintf("resource \"terraform_data\" \"machine\" { input = %q }\n", rmq1.Address()),
	})
	if o := w.planShows("host = (known after apply)", "2 to add"); o.reached() {
		t.Errorf("a host was reached")
	}
	if c := w.mustApplyPlan().changes(); len(c) > 0 {
		t.Errorf("adopting a lone node ran %q", c)
	}
	w.planIsEmpty()
	dirty = false
}

// What is wrong with a connection is a warning in the plan, because the same apply may make the host; the apply says it
// of all hosts at once and touches none.
func TestBadConnectionsAreNamed(t *testing.T) {
	rmq1, rmq2, rmq3 := blank(t)

	t.Run("a name that does not resolve, a wrong port, a wrong key", func(t *testing.T) {
		stranger := keyPair(t, "stranger")
		w := newWorkspace(t)
		w.write(hcl{
			ssh: `timeout = "2s"`,
			members: `"rabbit@rmq1" = { host = "no-such-host.invalid" }
			` + entry(rmq2, `ssh = { port = 2222 }`) + entry(rmq3, fmt.Sprintf("ssh = { private_key_file = %q }", stranger)),
		})
		says := []string{
			"rabbit@rmq1: cannot connect to no-such-host.invalid:22", "The name no-such-host.invalid does not resolve here: correct host",
			"rabbit@rmq2: cannot connect to " + rmq2.Address() + ":2222", "Nothing accepts connections on port 2222 of " + rmq2.Address(),
			"rabbit@rmq3: " + rmq3.Address() + ":22 does not let deploy in", fingerprint(t, stranger+".pub"), "authorized_keys of deploy",
		}
		w.warnsAndRefuses(says...)
	})

	t.Run("an unknown key, a changed key, no sudo", func(t *testing.T) {
		dir := t.TempDir()
		known := filepath.Join(dir, "known_hosts")
		old := keyPair(t, "old")
		oldKey, err := os.ReadFile(old + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		lines := "# two hosts\n" + rmq2.Address() + " " + string(oldKey) + rmq3.Address() + " " + rmq3.HostKey() + "\n"
		if err := os.WriteFile(known, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		shown := filepath.Join(dir, "rmq2.pub")
		if err := os.WriteFile(shown, []byte(rmq2.HostKey()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newWorkspace(t)
		w.write(hcl{
			ssh:     fmt.Sprintf("known_hosts_files = [%q]", known),
			members: entries(rmq1, rmq2) + entry(rmq3, fmt.Sprintf("ssh = { user = %q }", lab.UserNoSudo)),
		})
		w.warnsAndRefuses(
			"rabbit@rmq1: the host key of "+rmq1.Address()+":22 is unknown", "Add this line to known_hosts", rmq1.Address()+" "+rmq1.HostKey(), "First check that fingerprint",
			"rabbit@rmq2: the host key of "+rmq2.Address()+":22 is not the known one", fingerprint(t, shown), fingerprint(t, old+".pub"), known+":2",
			"If it was rebuilt, check the new fingerprint",
			"rabbit@rmq3: nosudo cannot run commands as rabbitmq on "+rmq3.Address(), "nosudo ALL=(rabbitmq) NOPASSWD")
	})
	areAlone(t, rmq1, rmq2, rmq3)
	dirty = false
}

// A host that is not ready is named, and the same apply goes on once it is mended.
func TestBadHostsAreNamedAndMended(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})

	w.tell("no rabbitmqctl, another cookie, a name that a member cannot resolve", func(t *testing.T) {
		on(t, rmq1, "mv", "/usr/sbin/rabbitmqctl", "/usr/sbin/rabbitmqctl.away")
		t.Cleanup(func() { on(t, rmq1, "mv", "/usr/sbin/rabbitmqctl.away", "/usr/sbin/rabbitmqctl") })
		giveCookie(t, rmq3, "ANOTHERCOOKIE")
		t.Cleanup(func() { giveCookie(t, rmq3, sharedCookie) })
		names := on(t, rmq3, "cat", "/etc/hosts")
		if err := rmq3.WriteFile("/etc/hosts", []byte(without(names, rmq2.Name())), 0o644, "root"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := rmq3.WriteFile("/etc/hosts", []byte(names), 0o644, "root"); err != nil {
				t.Error(err)
			}
		})
		w.warnsAndRefuses(
			"rabbit@rmq1: rabbitmqctl is not installed on host "+rmq1.Address(), "install RabbitMQ there",
			"rabbit@rmq3: it runs with cookie hash "+cookieHash("ANOTHERCOOKIE")+", and rabbit@rmq2 with "+cookieHash(sharedCookie), "Give both the same cookie",
			"rabbit@rmq3: it cannot resolve rmq2, the host name of rabbit@rmq2", "Add the line `"+rmq2.Address()+" rmq2` to /etc/hosts on the host of rabbit@rmq3")
	})

	w.tell("a RabbitMQ that does not start", func(t *testing.T) {
		if err := rmq2.StopBroker(t.Context()); err != nil {
			t.Fatal(err)
		}
		on(t, rmq2, "systemctl", "mask", "rabbitmq-server")
		t.Cleanup(func() { on(t, rmq2, "systemctl", "unmask", "rabbitmq-server") })
		o := w.apply().fails("could not start the service of rabbit@rmq2", "rabbitmq-server on host "+rmq2.Address()+" does not start",
			"masked", "journalctl -u rabbitmq-server")
		for _, c := range o.changes() {
			if !strings.HasPrefix(c, rmq2.Address()+": systemctl ") {
				t.Errorf("it ran %q", c)
			}
		}
		areAlone(t, rmq1, rmq3)
		w.hasNoState()
	})

	w.tell("the next apply goes on, and starts what is stopped", func(t *testing.T) {
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})
}

// warnsAndRefuses checks that the plan warns of all this, that the apply fails with it, and that neither runs anything
// or leaves a state.
func (w *workspace) warnsAndRefuses(texts ...string) {
	w.t.Helper()
	plan := w.planShows(append(texts, "Not ready yet to change the cluster")...)
	apply := w.run("apply", "-no-color", "plan.bin").fails(append(texts, "Refused to create the cluster", "Nothing was done after this was found")...)
	for _, o := range []outcome{plan, apply} {
		if c := o.changes(); len(c) > 0 {
			w.t.Errorf("%q ran %q", o.args, c)
		}
	}
	w.hasNoState()
}

// keyPair makes an SSH key and returns the path of its private half.
func keyPair(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	return path
}

// fingerprint is what ssh-keygen calls a public key.
func fingerprint(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("ssh-keygen", "-l", "-f", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[1]
}

// giveCookie makes a broker run with a cookie.
func giveCookie(t *testing.T, h *lab.Host, cookie string) {
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	if err := h.StopBroker(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.SetCookie(cookie); err != nil {
		t.Fatal(err)
	}
	if err := h.StartBroker(ctx); err != nil {
		t.Fatal(err)
	}
}

// cookieHash is what `rabbitmq-diagnostics erlang_cookie_hash` prints.
func cookieHash(cookie string) string {
	sum := md5.Sum([]byte(cookie))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// without takes the lines that end with a name out of a hosts file.
func without(hosts, name string) string {
	var kept string
	for line := range strings.Lines(hosts) {
		if !strings.HasSuffix(strings.TrimSpace(line), " "+name) {
			kept += line
		}
	}
	return kept
}
