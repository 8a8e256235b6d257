//go:build linux

package acceptance

import (
	_ "embed" // the container engine
	"fmt"
	"slices"
	"strings"
	"testing"
)

// pod does what a container engine does, with what every Linux has: a root, a network, a process table and a host name of
// its own for each broker, and `exec -i` into them.
//
//go:embed testdata/pod.sh
var pod []byte

// The guide's notes on containers: rabbitmqctl, the service and the cookie of each member lead into one.
func TestGuideContainers(t *testing.T) {
	full(t)
	h, _, _ := blank(t)
	if err := h.WriteFile("/usr/local/bin/pod", pod, 0o755, "root"); err != nil {
		t.Fatal(err)
	}
	on(t, h, "sh", "-c", `mkdir -p /srv/pods; printf "127.0.0.1 localhost\n172.30.0.11 c1\n172.30.0.12 c2\n" >/srv/pods/hosts
for n in c1 c2; do rm -rf /srv/pods/$n; install -d -o rabbitmq -g rabbitmq /srv/pods/$n; pod start $n; done`)
	t.Cleanup(func() {
		ctx, cancel := bounded(t)
		defer cancel()
		_, _ = h.Run(ctx, "sh", "-c", "pod stop c1; pod stop c2; ip link del pods; rm -rf /srv/pods /usr/local/bin/pod")
	})
	in := func(name string, argv ...string) string {
		t.Helper()
		return on(t, h, append([]string{"pod", "exec", "-i", "--user", "rabbitmq", name}, argv...)...)
	}
	for _, name := range []string{"c1", "c2"} {
		eventually(t, "the broker in "+name+" runs", func() bool {
			ctx, cancel := bounded(t)
			defer cancel()
			_, err := h.Run(ctx, "pod", "exec", "-i", "--user", "rabbitmq", name, "rabbitmq-diagnostics", "-q", "check_running")
			return err == nil
		})
	}
	w := newWorkspace(t)
	const cookie = "CONTAINERSHARED"
	blocks := fmt.Sprintf(`
locals {
  host = %q
  # One of them runs rabbitmqctl as the broker's account, the other one as root.
  users = { c1 = ["--user", "rabbitmq"], c2 = [] }
  ctl   = { for name, user in local.users : name => concat(["pod", "exec", "-i"], user, [name, "rabbitmqctl"]) }
}

resource "rabbitmq_erlang_cookie" "this" {
  for_each    = local.ctl
  host        = local.host
  rabbitmqctl = each.value
  path        = "/srv/pods/${each.key}/.erlang.cookie"
  broker_path = "/var/lib/rabbitmq/.erlang.cookie"
  owner       = "rabbitmq"
  value       = %q
}

resource "rabbitmq_cluster" "orders" {
  name = "orders"
  members = {
    for name, ctl in local.ctl : "rabbit@${name}" => {
      host        = local.host
      rabbitmqctl = ctl
      service_commands = {
        start = ["pod", "start", name]
        stop  = ["pod", "stop", name]
      }
    }
  }
  depends_on = [rabbitmq_erlang_cookie.this]
}
`, h.Address(), cookie)
	one := func() {
		t.Helper()
		for _, name := range []string{"c1", "c2"} {
			s := parseStatus(t, h, in(name, "rabbitmqctl", "-q", "cluster_status", "--formatter", "json"))
			if want := []string{"rabbit@c1", "rabbit@c2"}; !slices.Equal(s.Disc, want) || !slices.Equal(s.Running, want) {
				t.Errorf("%s lists %v and sees %v running", name, s.Disc, s.Running)
			}
		}
	}

	w.tell("two containers of one host, with cookies of their own, become one cluster", func(t *testing.T) {
		w.blocks(blocks)
		w.mustApply()
		one()
		if got := in("c1", "hostname"); got != "c1\n" {
			t.Errorf("the container is called %q", got)
		}
		if got := on(t, h, "sh", "-c", "cd /srv/pods && stat -c '%a %U' c1/.erlang.cookie && cmp c1/.erlang.cookie c2/.erlang.cookie && cat c1/.erlang.cookie"); got != "400 rabbitmq\n"+cookie {
			t.Errorf("the cookie file: %q", got)
		}
		areAlone(t, h) // the host's own broker has nothing to do with it
		w.planIsEmpty()
	})

	w.tell("a container that was stopped is started", func(t *testing.T) {
		on(t, h, "pod", "stop", "c2")
		w.planShows("running = false -> true", "start the service of rabbit@c2")
		w.mustApply()
		one()
		w.planIsEmpty()
	})

	w.tell("the cookie is rotated while they run", func(*testing.T) {
		w.blocks(strings.ReplaceAll(blocks, cookie, "CONTAINERROTATED"))
		w.mustApply()
		one()
		w.planIsEmpty()
	})

	w.tell("a destroy leaves them alone", func(t *testing.T) {
		w.mustDestroy()
		for _, name := range []string{"c1", "c2"} {
			if s := parseStatus(t, h, in(name, "rabbitmqctl", "-q", "cluster_status", "--formatter", "json")); len(s.Running) != 1 {
				t.Errorf("%s sees %v running", name, s.Running)
			}
		}
	})
}
