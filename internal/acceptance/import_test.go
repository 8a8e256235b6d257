//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// A cluster that somebody formed by hand, named and put something into is taken over in every way there is, without
// losing anything.
func TestClusterFormedByHandIsTakenOver(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	ctl(t, rmq1, "set_cluster_name", "byhand")
	ctl(t, rmq2, "add_vhost", "kept")
	ctl(t, rmq2, "add_user", "keeper", "keeper")

	t.Run("members adopt it", func(t *testing.T) { membersAdopt(t, rmq1, rmq2, rmq3) })
	t.Run("members and cookies are imported", func(t *testing.T) { membersAndCookiesAreImported(t, rmq1, rmq2, rmq3) })
	t.Run("its configuration is generated", func(t *testing.T) { configurationIsGenerated(t, rmq1, rmq2, rmq3) })
	t.Run("it is imported and changed", func(t *testing.T) { clusterIsImported(t, rmq1, rmq2, rmq3) })
	for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
		if !slices.Contains(vhosts(t, h), "kept") || !strings.Contains(ctl(t, h, "-q", "list_users"), "keeper") {
			t.Errorf("%s has lost the vhost or the user", h.Name())
		}
	}
}

// Members that are created find themselves in the cluster already.
func membersAdopt(t *testing.T, rmq1, rmq2, rmq3 *lab.Host) {
	full(t)
	w := newWorkspace(t)
	w.blocks(nodes(rmq1, rmq2, rmq3) + memberBlocks(""))
	if c := w.mustApply().changes(); len(c) > 0 {
		t.Errorf("it ran %q", c)
	}
	areOneCluster(t, rmq1, rmq2, rmq3)
	w.planIsEmpty()
}

// The cluster is brought in by any one of its members, and managed from then on.
func clusterIsImported(t *testing.T, rmq1, rmq2, rmq3 *lab.Host) {
	w := newWorkspace(t)
	imports := fmt.Sprintf("import {\n  to = rabbitmq_cluster.orders\n  id = %q\n}\n", rmq2.NodeName()+","+rmq2.Address())

	w.tell("one member brings in all of them", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "byhand"`, more: imports})
		o := w.plan().shows("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy")
		if c := slices.Concat(o.changes(), w.mustApplyPlan().changes()); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		s, _ := w.state()
		if len(s.Members) != 3 || s.Name != "byhand" || s.ID == "" {
			t.Errorf("the state has %+v", s)
		}
		for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			if got, want := s.Members[h.NodeName()], (memberState{Host: h.Address(), Type: "disc", Running: true}); got != want {
				t.Errorf("the state has %s as %+v, want %+v", h.NodeName(), got, want)
			}
		}
		w.planIsEmpty()
	})

	w.tell("a name change works", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
		w.planShows(`name = "byhand" -> "orders"`)
		w.mustApplyPlan()
		if name := clusterStatus(t, rmq3).Name; name != "orders" {
			t.Errorf("rmq3 calls the cluster %q", name)
		}
		w.planIsEmpty()
	})

	w.tell("a type change works, there and back", func(t *testing.T) {
		full(t)
		if onKhepri() {
			t.Skip("Khepri has no RAM nodes")
		}
		for _, kind := range []string{"ram", "disc"} {
			w.write(hcl{members: entries(rmq1, rmq2) + entry(rmq3, fmt.Sprintf("type = %q", kind)), attributes: `name = "orders"`})
			w.planShows(fmt.Sprintf("-> %q", kind), "0 to add, 1 to change, 0 to destroy")
			w.mustApplyPlan()
			s := clusterStatus(t, rmq1)
			if isRAM := slices.Contains(s.RAM, rmq3.NodeName()); isRAM != (kind == "ram") || len(s.Running) != 3 {
				t.Errorf("as %s rmq3 is in %+v", kind, s)
			}
			w.planIsEmpty()
		}
	})
}

// The CLI writes the configuration of what it imports, and it is one that changes nothing.
func configurationIsGenerated(t *testing.T, rmq1, rmq2, rmq3 *lab.Host) {
	full(t)
	w := newWorkspace(t)
	w.blocks(fmt.Sprintf(`
import {
  to = rabbitmq_cluster.orders
  id = "%s,%s"
}
`, rmq3.NodeName(), rmq3.Address()))
	w.generated("1 to import, 0 to add, 0 to change, 0 to destroy")
	if c := w.mustApply().changes(); len(c) > 0 {
		t.Errorf("it ran %q", c)
	}
	w.planIsEmpty()
	areOneCluster(t, rmq1, rmq2, rmq3)

	w.tell("and the same by identity", func(t *testing.T) {
		w.cli = tofu(t)
		w.mustForget()
		w.blocks(fmt.Sprintf(`
import {
  to       = rabbitmq_cluster.orders
  identity = { node = %q, host = %q }
}
`, rmq2.NodeName(), rmq2.Address()))
		w.plan().shows("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy")
		w.mustApplyPlan()
		w.planIsEmpty()
	})
}

// A member and a cookie are brought in by name and by host.
func membersAndCookiesAreImported(t *testing.T, rmq1, rmq2, rmq3 *lab.Host) {
	w := newWorkspace(t)
	imports := func(format string, args ...any) string {
		return nodes(rmq1, rmq2, rmq3) + memberBlocks("") + cookieBlocks + fmt.Sprintf(`
import {
  for_each = local.nodes
  to       = rabbitmq_cluster_member.this[each.key]
  `+format+`
}

import {
  for_each = local.nodes
  to       = rabbitmq_erlang_cookie.this[each.key]
  `+format+`
}
`, args...)
	}
	w.wantCookie(sharedCookie, 1)

	w.tell("by id", func(t *testing.T) {
		w.blocks(imports("id = %s", `"${each.key},${each.value.host}"`, "each.value.host"))
		w.imported(t)
	})

	w.tell("by identity", func(t *testing.T) {
		full(t)
		w.cli = tofu(t)
		w.mustForget()
		w.blocks(imports("identity = %s", "{ node = each.key, host = each.value.host }", "{ host = each.value.host }"))
		w.imported(t)
		w.changesAddress(rmq3, 4, rmq1, rmq2, rmq3) // three members that have it among their peers, and one cookie
	})

	w.tell("a stopped broker cannot tell who is with it", func(t *testing.T) {
		full(t)
		ctl(t, rmq1, "stop_app")
		w.mustForget()
		w.blocks(imports("id = %s", `"${each.key},${each.value.host}"`, "each.value.host"))
		w.plan().fails("Unable to import rabbit@rmq1", "start it, or name another member")
		ctl(t, rmq1, "start_app")
	})

	w.tell("an id that is none is refused", func(*testing.T) {
		w.mustForget()
		w.blocks(imports("id = %s", `"${each.value.host}"`, `"${each.value.host},relative"`))
		w.plan().fails("Invalid import id", "The id is NODE or NODE,HOST", "HOST or HOST,PATH")
	})
}

// imported checks that the imports of three members and three cookies are planned and change no broker.
func (w *workspace) imported(t *testing.T) {
	t.Helper()
	// What was written last is not known of an import: the cookies take the first version without a change on the host.
	o := w.planShows("Plan: 6 to import, 0 to add, 3 to change, 0 to destroy")
	if strings.Contains(o.output, sharedCookie) {
		t.Error("the plan shows the cookie")
	}
	if c := w.mustApplyPlan().changes(); len(c) > 0 {
		t.Errorf("it ran %q", c)
	}
	haveCookie(t, sharedCookie, suite.lab.Hosts()...)
	w.planIsEmpty()
}

// mustForget empties the state.
func (w *workspace) mustForget() {
	w.t.Helper()
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// generated lets the CLI write the configuration of what the workspace imports, and checks what a plan with it says.
func (w *workspace) generated(says string) {
	w.t.Helper()
	w.run("plan", "-no-color", "-generate-config-out=generated.tf")
	text, err := os.ReadFile(filepath.Join(w.dir, "generated.tf"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("generated.tf:\n%s", text)
	w.plan().shows(says)
}

// tofu is an OpenTofu with import by identity: the suite's own CLI, or the one that tools/cli.sh has built. It is not
// built here.
func tofu(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "terraform-provider-rabbitmq", "opentofu-1.*", "tofu"))
	if path, err := exec.LookPath("tofu"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		t.Skip("no OpenTofu: tools/cli.sh tofu builds one")
	}
	return found[0]
}
