//go:build linux

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// Three machines as they come out of an installation become one cluster with one secret, and the secret changes under
// a cluster at work. Nobody but the brokers ever learns it.
func TestCookieLifeOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := strangers(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	w := newWorkspace(t)
	w.blocks(nodes(hosts...) + cookieBlocks + memberBlocks("depends_on = [rabbitmq_erlang_cookie.this]"))
	cookie := newCookie()
	w.wantCookie(cookie, 1)

	w.tell("three hosts with three cookies become one cluster", func(t *testing.T) {
		w.traced(func() {
			w.planShows("Plan: 6 to add, 0 to change, 0 to destroy")
			w.shownAsJSON("plan.bin")
			w.isSecret(cookie, map[string]string{"plan.bin/tfplan": hosts[0].Address(), "plan.bin.json": hosts[0].Address()})
			var processes string
			w.watch(func(ctx context.Context, _ *exec.Cmd, _ string) { processes = processesOf(ctx, hosts) },
				"apply", "-no-color", "plan.bin").succeeds()
			areOneCluster(t, hosts...)
			haveCookie(t, cookie, hosts...)
			w.planIsEmpty()
			w.shownAsJSON("plan.bin")
			w.shownAsJSON("terraform.tfstate")
			hash := rabbitmq.CookieHash([]byte(cookie))
			w.isSecret(cookie, map[string]string{"terraform.tfstate": hash, "terraform.tfstate.json": hash, "plan.bin/tfstate": hash, "plan.bin.json": hash})
			if !strings.Contains(processes, "rabbitmqctl") || !strings.Contains(processes, "RABBITMQ_HOME=") {
				t.Error("the samples of processes and their environments miss what must be in them")
			}
			if n := leaks(processes, cookie); n > 0 {
				t.Errorf("processes on the hosts show the cookie %d times", n)
			}
		})
	})

	w.tell("a rotation closes no connection, loses no message and drops no link", func(t *testing.T) {
		downs := nodeDowns(t, hosts)
		work := startWork(t, hosts)
		work.goesOn(t)
		cookie = newCookie()
		w.wantCookie(cookie, 2)
		w.planShows("value_wo_version = 1 -> 2", "Plan: 0 to add, 3 to change, 0 to destroy")
		w.mustApplyPlan()
		haveCookie(t, cookie, hosts...)
		work.goesOn(t)
		work.end(t)
		if now := nodeDowns(t, hosts); now != downs {
			t.Errorf("brokers saw %d nodes go down", now-downs)
		}
		areOneCluster(t, hosts...)
		w.planIsEmpty()
	})

	w.tell("each node rejoins when it is restarted with the new cookie", func(t *testing.T) {
		full(t)
		downs := nodeDowns(t, hosts)
		for _, h := range hosts {
			restart(t, h)
			areOneCluster(t, hosts...)
		}
		if nodeDowns(t, hosts) == downs {
			t.Error("the brokers' logs do not show that nodes went down, so that they prove nothing above either")
		}
		w.planIsEmpty()
	})

	for i, h := range hosts {
		w.tell("a rotation that was cut off on "+h.Name()+" between broker and file is finished", func(t *testing.T) {
			if i > 0 {
				full(t)
			}
			cookie = newCookie()
			cutOff(t, h, cookie)
			w.wantCookie(cookie, 3+i)
			w.planShows("Plan: 0 to add, 3 to change, 0 to destroy")
			w.mustApplyPlan()
			haveCookie(t, cookie, hosts...)
			areOneCluster(t, hosts...)
			w.planIsEmpty()
		})
	}

	driftOfTheFile(w, rmq1, cookie)

	w.tell("a rotation whose provider was killed is finished", func(t *testing.T) {
		full(t)
		cookie = newCookie()
		w.wantCookie(cookie, 10)
		w.applyKilledWhen(rotates)
		w.planShows("to change")
		w.mustApplyPlan()
		haveCookie(t, cookie, hosts...)
		areOneCluster(t, hosts...)
		w.planIsEmpty()
		w.isSecret(cookie, map[string]string{"terraform.tfstate": rabbitmq.CookieHash([]byte(cookie))})
	})

	w.tell("a cookie that is destroyed stays on its host, and the plan says so", func(t *testing.T) {
		w.run("plan", "-no-color", "-destroy", "-target=rabbitmq_erlang_cookie.this", "-out=plan.bin").succeeds().
			shows("The cookie file stays", "leaves the file on its host")
		w.blocks(nodes(hosts...))
		w.run("state", "rm", "rabbitmq_cluster_member.this").succeeds()
		w.mustApply()
		haveCookie(t, cookie, hosts...)
		areOneCluster(t, hosts...)
	})
}

// Cookies of hosts that stand alone.
func TestCookieOfOneHost(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := strangers(t)
	t.Run("is copied from another host", func(t *testing.T) { cookieIsCopied(t, rmq1, rmq2, rmq3) })
	t.Run("is kept", func(t *testing.T) { cookieIsKept(t, rmq1) })
}

// Whatever state a host and its broker are in, the cookie is what is wanted in the end, or an error says why not.
func cookieIsKept(t *testing.T, rmq1 *lab.Host) {
	w := newWorkspace(t)
	w.blocks(nodes(rmq1) + cookieBlocks)
	cookie := newCookie()
	w.wantCookie(cookie, 1)
	w.mustApply()
	stray := newCookie()

	w.tell("another cookie, and the broker runs with it", func(t *testing.T) {
		writeCookie(t, rmq1, stray)
		restart(t, rmq1)
		w.planShows(`hash = "` + rabbitmq.CookieHash([]byte(stray)) + `" -> "` + rabbitmq.CookieHash([]byte(cookie)) + `"`)
		w.mustApplyPlan()
		haveCookie(t, cookie, rmq1)
		w.planIsEmpty()
	})

	w.tell("a file that is gone is written again", func(t *testing.T) {
		on(t, rmq1, "rm", cookieFile)
		w.planShows("Plan: 1 to add, 0 to change, 0 to destroy")
		w.mustApplyPlan()
		haveCookie(t, cookie, rmq1)
		w.planIsEmpty()
	})

	w.tell("a mode that Erlang takes as well stays", func(t *testing.T) {
		on(t, rmq1, "chmod", "0600", cookieFile)
		w.planIsEmpty()
		w.blocks(nodes(rmq1) + withRestart)
		w.planShows("restart_if_needed = false -> true")
		w.mustApplyPlan()
		w.blocks(nodes(rmq1) + cookieBlocks)
		w.wantCookie(cookie, 7)
		w.planShows("value_wo_version = 1 -> 7")
		w.mustApplyPlan()
		w.planIsEmpty()
		if mode := strings.TrimSpace(on(t, rmq1, "stat", "-c", "%a", cookieFile)); mode != "600" {
			t.Errorf("the file has mode %s", mode)
		}
		on(t, rmq1, "chmod", "0400", cookieFile)
	})

	w.tell("a value that changed without its version is not written, and the plan says so", func(t *testing.T) {
		w.wantCookie(newCookie(), 7)
		o := w.plan().shows("The cookie is not rotated", "Raise value_wo_version")
		if o.code != 0 {
			t.Errorf("exit code %d, want 0", o.code)
		}
		w.wantCookie(cookie, 7)
	})

	w.tell("a stopped broker gets the file and stays stopped", func(t *testing.T) {
		if err := rmq1.StopBroker(t.Context()); err != nil {
			t.Fatal(err)
		}
		cookie = newCookie()
		w.wantCookie(cookie, 8)
		if c := w.mustApply().changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		if state, err := rmq1.BrokerState(t.Context()); err != nil || state == "active" {
			t.Errorf("the broker is %s: %v", state, err)
		}
		isFile(t, rmq1, cookie)
		w.planIsEmpty()
		if err := rmq1.StartBroker(t.Context()); err != nil {
			t.Fatal(err)
		}
		haveCookie(t, cookie, rmq1)
	})

	w.tell("a broker with a cookie that no file has is restarted only when that is allowed", func(t *testing.T) {
		setLive(t, rmq1, newCookie())
		on(t, rmq1, "rm", "-f", cookieFile+".new")
		cookie = newCookie()
		w.wantCookie(cookie, 9)
		started := startTime(t, rmq1)
		w.apply().fails("Unable to write the Erlang cookie of host "+rmq1.Address(), "neither the wanted one nor the one that was in "+cookieFile, "restart_if_needed = true")
		if startTime(t, rmq1) != started {
			t.Error("the broker was restarted")
		}
		w.blocks(nodes(rmq1) + withRestart)
		w.planShows("restart_if_needed = false -> true", "value_wo_version = 8 -> 9")
		if n := countOf(w.mustApplyPlan().changes(), "restart"); n != 1 {
			t.Errorf("the broker was restarted %d times, want once", n)
		}
		haveCookie(t, cookie, rmq1)
		w.planIsEmpty()
	})
}

// What is no cookie is refused before any host is reached, and is not quoted: it may be a real one with a slip.
func TestCookieIsValidated(t *testing.T) {
	if suite.missing != nil {
		t.Skip(suite.missing)
	}
	const secret = "SECRETPART"
	cases := []struct{ name, attributes, says string }{
		{"empty", `value = ""`, "The cookie is empty"},
		{"long", `value = "` + secret + strings.Repeat("x", 256-len(secret)) + `"`, "The cookie has 256 characters, and Erlang takes 255 at the most"},
		{"blank", `value = "` + secret + ` "`, "Character 11 of the cookie is a blank"},
		{"newline", `value = "` + secret + `\n"`, "Character 11 of the cookie is a blank, a line end"},
		{"control", `value = "` + secret + `\u0007"`, "a control character"},
		{"foreign", `value = "` + secret + `é"`, "not ASCII"},
		{"write_only", "value_wo = \"" + secret + " \"\n  value_wo_version = 1", "Character 11 of the cookie is a blank"},
		{"both", "value = \"" + secret + "\"\n  value_wo = \"" + secret + "\"\n  value_wo_version = 1", "`value` and `value_wo` are both set"},
		{"neither", "", "Set `value_wo` and `value_wo_version`, or `value`"},
		{"unversioned", `value_wo = "` + secret + `"`, "`value_wo` is set without `value_wo_version`"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorkspace(t)
			w.blocks(fmt.Sprintf("resource \"rabbitmq_erlang_cookie\" \"this\" {\n  host = \"192.0.2.1\"\n  %s\n}\n", c.attributes))
			o := w.run("validate", "-no-color").fails(c.says, "rabbitmq_erlang_cookie.this")
			if strings.Contains(o.output, secret) {
				t.Error("the error quotes the cookie")
			}
		})
	}
}

// A new host gets the cookie of one that has it, and nobody writes it down on the way.
func cookieIsCopied(t *testing.T, rmq1, rmq2, rmq3 *lab.Host) {
	cookie := cookieOf(t, rmq1)
	w := newWorkspace(t)
	w.blocks(nodes(rmq2, rmq3) + fmt.Sprintf(`
ephemeral "rabbitmq_erlang_cookie" "seed" {
  host = %q
}

resource "rabbitmq_erlang_cookie" "this" {
  for_each         = local.nodes
  host             = each.value.host
  value_wo         = ephemeral.rabbitmq_erlang_cookie.seed.value
  value_wo_version = 1
}
`, rmq1.Address()))
	w.traced(func() {
		w.planShows("Plan: 2 to add, 0 to change, 0 to destroy")
		w.mustApplyPlan()
		haveCookie(t, cookie, rmq1, rmq2, rmq3)
		w.planIsEmpty()
		w.shownAsJSON("plan.bin")
		w.shownAsJSON("terraform.tfstate")
		hash := rabbitmq.CookieHash([]byte(cookie))
		w.isSecret(cookie, map[string]string{"terraform.tfstate": hash, "terraform.tfstate.json": hash, "plan.bin/tfstate": hash, "plan.bin.json": hash})
	})
}

// wantCookie sets the variables of cookieBlocks.
func (w *workspace) wantCookie(cookie string, version int) {
	w.env = []string{"TF_VAR_cookie=" + cookie, fmt.Sprintf("TF_VAR_cookie_version=%d", version)}
}

// rotates recognises a rotation that begins on a host, in the provider's log.
func rotates(line string) bool {
	return strings.Contains(line, "remote command starts") && strings.Contains(line, "set_cookie")
}

// applyKilledWhen applies and kills the provider when it logs a certain line, which it must.
func (w *workspace) applyKilledWhen(is func(line string) bool) {
	w.t.Helper()
	came := errors.New("it did not come")
	o := w.watch(func(ctx context.Context, cmd *exec.Cmd, log string) {
		for line := range follow(ctx, log) {
			if is(line) {
				came = w.killProvider(cmd)
				return
			}
		}
	}, "apply", "-no-color", "-auto-approve")
	if came != nil {
		w.t.Fatalf("killing it: %v", came)
	}
	if o.code == 0 {
		w.t.Fatal("the apply survived being killed")
	}
}

// blocks makes blocks the workspace's configuration, after the provider's.
func (w *workspace) blocks(blocks string) {
	w.t.Helper()
	text := fmt.Sprintf(`terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

provider "rabbitmq" {
  ssh = {
    user              = %q
    private_key_file  = %q
    known_hosts_files = [%q]
  }
}

%s`, lab.User, suite.lab.PrivateKeyFile(), suite.lab.KnownHostsFile(), blocks)
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// nodes is a map of nodes as resources take it.
func nodes(hosts ...*lab.Host) string {
	return "locals {\n  nodes = {\n" + entries(hosts...) + "  }\n}\n"
}

const cookieBlocks = `
variable "cookie" {
  type      = string
  ephemeral = true
}

variable "cookie_version" {
  type = number
}

resource "rabbitmq_erlang_cookie" "this" {
  for_each         = local.nodes
  host             = each.value.host
  value_wo         = var.cookie
  value_wo_version = var.cookie_version
}
`

// withRestart are the cookieBlocks that let a broker be restarted.
var withRestart = strings.Replace(cookieBlocks, "each.value.host", "each.value.host\n  restart_if_needed = true", 1)

// memberBlocks are the nodes as members, each with these attributes more.
func memberBlocks(attributes string) string {
	return fmt.Sprintf(`
resource "rabbitmq_cluster_member" "this" {
  for_each = local.nodes
  node     = each.key
  host     = each.value.host
  peers    = local.nodes
  %s
}
`, attributes)
}
