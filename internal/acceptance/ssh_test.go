//go:build linux

package acceptance

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Sixteen hosts at once, against an sshd as Debian ships it, and through one bastion: none is lost in ten runs.
func TestSixteenHostsAtOnce(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	dirty = false
	b1 := bastion(t, "b1")
	w := newWorkspace(t)
	var list, lines strings.Builder
	n := 0
	for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
		for port := 2201; port <= 2206 && n < 16; port++ {
			on(t, h, "/usr/sbin/sshd", "-p", strconv.Itoa(port), "-o", "PidFile=/run/sixteen-"+strconv.Itoa(port))
			fmt.Fprintf(&list, "    \"%s-%d\" = { host = %q, port = %d }\n", h.Name(), port, h.Address(), port)
			fmt.Fprintf(&lines, "[%s]:%d %s\n", h.Address(), port, h.HostKey())
			n++
		}
		t.Cleanup(func() { on(t, h, "sh", "-c", "cat /run/sixteen-* | xargs kill; rm -f /run/sixteen-*") })
	}
	fmt.Fprintf(&lines, "%s %s\n", b1.Address(), b1.HostKey())
	known := w.file("known_hosts", lines.String())
	for way, bastions := range map[string]string{"directly": "", "through one bastion": fmt.Sprintf("bastions = [{ host = %q }]", b1.Address())} {
		w.tell(way, func(t *testing.T) {
			w.only(fmt.Sprintf(`user = %q
    private_key_file = %q
    known_hosts_files = [%q]
    %s`, lab.User, suite.lab.PrivateKeyFile(), known, bastions), "locals {\n  hosts = {\n"+list.String()+`  }
}

ephemeral "rabbitmq_erlang_cookie" "each" {
  for_each = local.hosts
  host     = each.value.host
  ssh      = { port = each.value.port }
}
`)
			for range 10 {
				o := w.run("plan", "-no-color", "-parallelism=16").succeeds()
				if got := strings.Count(contentOf(t, o.log), "connected over SSH"); got < 16 {
					t.Errorf("%d hosts were connected to", got)
				}
			}
		})
	}
}

// Whatever happens to a connection in the middle of a change: the run ends, it says what happened, the next one makes
// the cluster whole, and nothing of either stays behind on a host.
func TestConnectionsBreakDuringApply(t *testing.T) {
	full(t)
	w := newWorkspace(t)
	// The test waits for silence to be noticed, and a user does not have to wait for this test.
	const impatient = "keepalive_interval = \"1s\"\n    connect_timeout = \"5s\"\n    timeout = \"20s\""
	for _, c := range []struct {
		what  string
		at    moment
		do    func(t *testing.T, h *lab.Host)
		says  string
		after func(t *testing.T, h *lab.Host)
	}{
		{
			what: "the connection is cut", at: moment{"join_cluster", second, true},
			do:   func(t *testing.T, h *lab.Host) { on(t, h, "pkill", "-KILL", "-f", "^sshd(-session)?: deploy") },
			says: "was lost while a command ran",
		},
		{
			what: "the host is frozen", at: moment{"start_app", third, true},
			do:    func(t *testing.T, h *lab.Host) { must(t, h.Freeze(t.Context())) },
			says:  "Check that",
			after: func(t *testing.T, h *lab.Host) { must(t, h.Thaw(t.Context())) },
		},
		{
			// What is connected stays so, and the run goes on.
			what: "sshd is restarted", at: moment{"stop_app", second, true},
			do: func(t *testing.T, h *lab.Host) { on(t, h, "systemctl", "restart", "ssh") },
		},
		{
			what: "sshd is restarted and its connections end with it", at: moment{"join_cluster", third, true},
			do: func(t *testing.T, h *lab.Host) {
				on(t, h, "sh", "-c", "systemctl stop ssh; pkill -KILL -f '^sshd(-session)?: deploy'; systemctl start ssh")
			},
			says: "was lost while a command ran",
		},
		// A shutdown ends rabbitmqctl, epmd and the connection in whatever order.
		{
			what: "the host is rebooted while it joins", at: moment{"join_cluster", second, true}, do: reboot,
			says: "could not join rabbit@rmq2 to the cluster of rabbit@rmq1",
		},
		{
			what: "the host is rebooted while its node starts", at: moment{"start_app", third, true}, do: reboot,
			says: "could not join rabbit@rmq3 to the cluster of rabbit@rmq1",
		},
	} {
		rmq1, rmq2, rmq3 := blank(t)
		w.tell(c.what, func(t *testing.T) {
			must(t, os.RemoveAll(filepath.Join(w.dir, "terraform.tfstate")))
			w.write(hcl{ssh: impatient, members: entries(rmq1, rmq2, rmq3)})
			h, came := c.at.host(suite.lab), false
			o := w.watch(func(ctx context.Context, _ *exec.Cmd, log string) {
				for line := range follow(ctx, log) {
					if ch, ok := parseChange(line); ok && ch.host == h.Address() && ch.starts == c.at.starts && strings.Contains(ch.args+" ", " "+c.at.command+" ") {
						came = true
						c.do(t, h)
						return
					}
				}
			}, "apply", "-no-color", "-auto-approve")
			if !came {
				t.Fatalf("%s never came", c.at)
			}
			if c.after != nil {
				c.after(t, h)
			}
			if o.took > 2*time.Minute { // the settings above bound each wait, and this is far more than all of them
				t.Errorf("it took %s", o.took)
			}
			if c.says == "" {
				o.succeeds()
			} else {
				o.fails(c.says, h.Address())
				w.mustApply()
			}
			areOneCluster(t, rmq1, rmq2, rmq3)
			w.planIsEmpty()
			for _, host := range []*lab.Host{rmq1, rmq2, rmq3} {
				eventually(t, "nothing of the runs is left on "+host.Name(), func() bool {
					left := on(t, host, "sh", "-c", `ps -eo args= | grep -E '[r]abbitmqctl|[e]rl_call|rabbitmq-topology-[h]olds|^sudo ' || true`)
					return left == ""
				})
			}
		})
	}
}

// reboot powers a host off as it should be, and boots it again.
func reboot(t *testing.T, h *lab.Host) {
	must(t, h.Stop(t.Context()))
	must(t, h.Boot(t.Context()))
}

// Password, passphrase, private key and become password: in no log at TRACE, no error, no state, no plan and no argument
// list on either side.
func TestSSHSecretsStaySecret(t *testing.T) {
	full(t)
	rmq1, rmq2, _ := blank(t)
	w := newWorkspace(t)
	passphrase := rand.Text()
	path := keyPair(t, "own")
	local(t, "ssh-keygen", "-q", "-p", "-N", passphrase, "-f", path)
	key := contentOf(t, path)
	secrets := map[string]string{"password": lab.Password, "passphrase": passphrase, "private key": strings.Split(key, "\n")[2]}
	w.env = []string{"TF_VAR_private_key=" + key, "TF_VAR_passphrase=" + passphrase, "TF_VAR_password=" + lab.Password}
	variables := ""
	for _, name := range []string{"private_key", "passphrase", "password"} {
		variables += fmt.Sprintf("variable %q {\n  type      = string\n  ephemeral = true\n}\n", name)
	}
	// The key opens nothing: the password is what lets in, and what sudo asks for.
	w.write(hcl{
		ssh: fmt.Sprintf(`user = %q
    private_key = var.private_key
    private_key_file = null
    private_key_passphrase = var.passphrase
    password = var.password
    become_password = var.password`, lab.UserSudoPassword),
		members: entries(rmq1, rmq2), more: variables,
	})
	ctx, stop := context.WithCancel(t.Context())
	theirs, ours := make(chan string, 1), make(chan string, 1)
	go func() { theirs <- processesOf(ctx, []*lab.Host{rmq1, rmq2}) }()
	go func() { ours <- argumentsHere(ctx) }()
	var said strings.Builder
	w.traced(func() {
		said.WriteString(w.plan().output)
		said.WriteString(w.run("apply", "-no-color", "plan.bin").succeeds().output)
		areOneCluster(t, rmq1, rmq2)
		w.planIsEmpty()
		env := w.env
		w.env = append(env, "TF_VAR_password=wrong-"+lab.Password) // the last one counts
		said.WriteString(w.plan().fails("does not let operator in").output)
		w.env = env
		w.shownAsJSON("terraform.tfstate")
		w.shownAsJSON("plan.bin")
	})
	stop()
	texts := map[string]string{"the processes on the hosts": <-theirs, "the processes here": <-ours, "what was said": said.String()}
	must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			texts[filepath.Base(path)] = contentOf(t, path)
		}
		return err
	}))
	for where, text := range texts {
		for what, secret := range secrets {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
				if strings.Contains(text, form) {
					t.Errorf("the %s is in %s", what, where)
				}
			}
		}
	}
	// What must be found, or the search proves nothing.
	for where, text := range map[string]string{
		"the processes on the hosts": "sudo -k -S", "the processes here": "apply -no-color plan.bin", "what was said": "operator",
		"terraform.tfstate": rmq1.Address(), "terraform.tfstate.json": rmq1.Address(), "plan.bin.json": rmq1.Address(), "log-02": "by=\"password",
	} {
		if !strings.Contains(texts[where], text) {
			t.Errorf("%s does not have %q in it, which it must", where, text)
		}
	}
	if !strings.Contains(texts["log-02"], "[TRACE]") {
		t.Error("the log has no TRACE lines")
	}
}

// argumentsHere samples the argument lists on this machine until ctx ends.
func argumentsHere(ctx context.Context) string {
	seen := map[string]bool{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				seen[strings.ReplaceAll(string(text), "\x00", " ")] = true
			}
		}
		select {
		case <-ctx.Done():
			var all strings.Builder
			for line := range seen {
				all.WriteString(line + "\n")
			}
			return all.String()
		case <-tick.C:
		}
	}
}

// only makes this the configuration: the provider's ssh, and blocks.
func (w *workspace) only(ssh, blocks string) {
	w.t.Helper()
	w.file("main.tf", fmt.Sprintf(`terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

provider "rabbitmq" {
  ssh = {
    %s
  }
}

%s`, ssh, blocks))
}

// file writes a file into the workspace and returns its path.
func (w *workspace) file(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func local(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
