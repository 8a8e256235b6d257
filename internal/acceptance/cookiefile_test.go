//go:build linux

package acceptance

import (
	"crypto/rand"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// What somebody does to a cookie file by hand is seen, without a word of what is in it, and mended.
func driftOfTheFile(w *workspace, rmq1 *lab.Host, cookie string) {
	hash, stray := rabbitmq.CookieHash([]byte(cookie)), newCookie()
	for _, c := range []struct {
		what  string
		drift func(t *testing.T)
		shown []string
	}{
		{"another cookie in the file", func(t *testing.T) {
			writeCookie(t, rmq1, stray)
		}, []string{`hash = "` + rabbitmq.CookieHash([]byte(stray)) + `" -> "` + hash + `"`}},
		{"a mode that lets others read", func(t *testing.T) {
			on(t, rmq1, "chmod", "0644", cookieFile)
		}, []string{`mode = "0644" -> "0400"`}},
		{"another owner", func(t *testing.T) {
			on(t, rmq1, "chown", "root:root", cookieFile)
		}, []string{`owner = "root" -> "rabbitmq"`}},
		{"another cookie, mode and owner", func(t *testing.T) {
			writeCookie(t, rmq1, stray)
			on(t, rmq1, "chown", "root:root", cookieFile)
			on(t, rmq1, "chmod", "0666", cookieFile)
		}, []string{`mode = "0666" -> "0400"`, `owner = "root" -> "rabbitmq"`, `" -> "` + hash + `"`}},
	} {
		w.tell(c.what, func(t *testing.T) {
			c.drift(t)
			o := w.planShows(append(c.shown, "Plan: 0 to add, 1 to change, 0 to destroy")...)
			if leaks(o.output, cookie)+leaks(o.output, stray) > 0 {
				t.Error("the plan shows a cookie")
			}
			w.mustApplyPlan()
			haveCookie(t, cookie, rmq1)
			w.planIsEmpty()
		})
	}
}

const cookieFile = "/var/lib/rabbitmq/.erlang.cookie"

// newCookie is a random one with characters that shells and JSON take for their own.
func newCookie() string { return rand.Text() + `"'$&;` }

// strangers gives the lab's hosts with blank brokers and a cookie of its own each, as fresh installations have.
func strangers(t *testing.T) (rmq1, rmq2, rmq3 *lab.Host) {
	t.Helper()
	if suite.missing != nil {
		t.Skip(suite.missing)
	}
	for _, h := range suite.lab.Hosts() {
		writeCookie(t, h, rand.Text())
		t.Cleanup(func() {
			writeCookie(t, h, sharedCookie)
			on(t, h, "sh", "-c", "rm -f "+cookieFile+".*")
		})
	}
	dirty = true
	return blank(t)
}

func writeCookie(t *testing.T, h *lab.Host, cookie string) {
	t.Helper()
	if err := h.SetCookie(cookie); err != nil {
		t.Fatal(err)
	}
}

func cookieOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	cookie, err := h.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// haveCookie checks that on each of the hosts the file and the running broker have the cookie, and that nothing waits
// beside the file.
func haveCookie(t *testing.T, cookie string, hosts ...*lab.Host) {
	t.Helper()
	each(hosts, func(h *lab.Host) {
		isFile(t, h, cookie)
		live := on(t, h, "runuser", "-u", "rabbitmq", "--", "rabbitmq-diagnostics", "-q", "erlang_cookie_hash")
		if !slices.Contains(strings.Fields(live), rabbitmq.CookieHash([]byte(cookie))) {
			t.Errorf("the broker on %s runs with another cookie: its hash is %s", h.Name(), live)
		}
	})
}

// isFile checks the cookie file of a host.
func isFile(t *testing.T, h *lab.Host, cookie string) {
	t.Helper()
	if got, err := h.Cookie(); err != nil || got != cookie {
		t.Errorf("the cookie file of %s has another cookie: %v", h.Name(), err)
	}
	if got, want := on(t, h, "sh", "-c", "stat -c '%n %a %U:%G' "+cookieFile+"*"), cookieFile+" 400 rabbitmq:rabbitmq\n"; got != want {
		t.Errorf("%s has the cookie files\n%swant\n%s", h.Name(), got, want)
	}
}

// setLive makes a running broker take a cookie as the provider does, and leaves its file as it is.
func setLive(t *testing.T, h *lab.Host, cookie string) {
	t.Helper()
	if err := h.WriteFile(cookieFile+".new", []byte(cookie), 0o400, "rabbitmq"); err != nil {
		t.Fatal(err)
	}
	if out := ctl(t, h, "-q", "eval", `{ok,C}=file:read_file("`+cookieFile+`.new"),K=binary_to_atom(C,latin1),erlang:set_cookie(node(),K).`); !strings.Contains(out, "true") {
		t.Fatalf("%s: %s", h.Name(), out)
	}
}

// cutOff leaves a host as a provider does that was killed between the two halves of a rotation: the broker has the new
// cookie, the new file waits, and the file is the old one.
func cutOff(t *testing.T, h *lab.Host, cookie string) {
	t.Helper()
	setLive(t, h, cookie)
	if isIn := cookieOf(t, h); isIn == cookie {
		t.Fatal("the file has the new cookie already")
	}
}

// restart restarts a broker as an operator does, and returns when it has booted.
func restart(t *testing.T, h *lab.Host) {
	t.Helper()
	on(t, h, "systemctl", "restart", "rabbitmq-server")
	if err := h.WaitBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// startTime tells when a host's broker was started.
func startTime(t *testing.T, h *lab.Host) string {
	t.Helper()
	return on(t, h, "systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "rabbitmq-server")
}

// nodeDown is what a broker logs when it loses the link to another.
var nodeDown = regexp.MustCompile(`rabbit on node '?rabbit@\w+'? down|node '?rabbit@\w+'? down`)

// nodeDowns counts how often the brokers lost each other since they were blank.
func nodeDowns(t *testing.T, hosts []*lab.Host) int {
	t.Helper()
	n := 0
	for _, h := range hosts {
		log, err := h.ReadFile("/var/log/rabbitmq/" + h.NodeName() + ".log")
		if err != nil {
			t.Fatal(err)
		}
		n += len(nodeDown.FindAll(log, -1))
	}
	return n
}
