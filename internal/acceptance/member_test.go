//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Members one by one, from blank nodes to blank nodes.
func TestMemberLifeOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	stay := hosts
	w := newWorkspace(t)
	w.blocks(nodes(hosts...) + memberBlocks(""))

	w.tell("three blank nodes become one cluster", func(t *testing.T) {
		o := w.mustApply()
		areOneCluster(t, hosts...)
		if n := countOf(o.changes(), "join_cluster"); n > 2 {
			t.Errorf("nodes were joined %d times", n)
		}
		ctl(t, rmq1, "add_vhost", "kept")
	})

	w.tell("a plan asks one of them once", func(t *testing.T) {
		o := w.plan()
		if o.code != 0 {
			t.Errorf("the plan is not empty: exit code %d", o.code)
		}
		if n := o.looks(); n != 1 {
			t.Errorf("brokers were asked %d times, want once", n)
		}
	})

	w.tell("one that left by itself joins again", func(t *testing.T) {
		full(t)
		leaveByHand(t, rmq2)
		w.planShows(`rabbitmq_cluster_member.this["rabbit@rmq2"] will be created`, "join rabbit@rmq2 to the cluster of", "Plan: 1 to add, 0 to change, 0 to destroy")
		w.mustApplyPlan()
		areOneCluster(t, hosts...)
		w.planIsEmpty()
	})

	w.tell("a stopped application is started", func(t *testing.T) {
		full(t)
		ctl(t, rmq3, "stop_app")
		w.planShows("running = false -> true", "start the application of rabbit@rmq3", "Plan: 0 to add, 1 to change, 0 to destroy")
		w.mustApplyPlan()
		areOneCluster(t, hosts...)
		w.planIsEmpty()
	})

	w.tell("another address touches no broker", func(t *testing.T) {
		full(t)
		w.changesAddress(rmq3, 3, hosts...)
	})

	w.tell("another node name replaces", func(t *testing.T) {
		full(t)
		w.blocks(nodes(hosts...) + strings.Replace(memberBlocks(""), "= each.key", `= each.key == "rabbit@rmq3" ? "other@rmq3" : each.key`, 1))
		o := w.run("plan", "-no-color", "-detailed-exitcode").shows(
			`rabbitmq_cluster_member.this["rabbit@rmq3"] must be replaced`, `"rabbit@rmq3" -> "other@rmq3" # forces replacement`,
			"take rabbit@rmq3 out of the cluster of", "join other@rmq3 to the cluster of")
		if o.code != 2 {
			t.Errorf("exit code %d, want 2", o.code)
		}
	})

	w.tell("one that is taken out of the configuration leaves, blank and alone", func(t *testing.T) {
		full(t)
		stay = hosts[:2]
		w.blocks(nodes(stay...) + memberBlocks(""))
		w.planShows(`rabbitmq_cluster_member.this["rabbit@rmq3"] will be destroyed`, "take rabbit@rmq3 out of the cluster of", "and leave it blank and alone", "Plan: 0 to add, 2 to change, 1 to destroy")
		w.mustApplyPlan()
		areOneCluster(t, stay...)
		areAlone(t, rmq3)
		isBlank(t, rmq3)
		w.planIsEmpty()
	})

	w.tell("a cluster beside members is refused", func(t *testing.T) {
		w.blocks(nodes(stay...) + memberBlocks("") + "resource \"rabbitmq_cluster\" \"orders\" {\n  members = local.nodes\n}\n")
		o := w.plan().fails("Two resources manage one cluster", "rabbitmq_cluster takes out every member that it does not list")
		if c := o.changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		w.blocks(nodes(stay...) + memberBlocks(""))
	})

	w.tell("all leave at once, and the last one keeps the data", func(t *testing.T) {
		w.mustDestroy()
		areAlone(t, stay...)
		kept := 0
		for _, h := range stay {
			if slices.Contains(vhosts(t, h), "kept") {
				kept++
			}
		}
		if kept != 1 {
			t.Errorf("%d nodes have the vhost, want one", kept)
		}
	})
}

// Blank nodes find one cluster whatever the order and however many at a time.
func TestMembersFindOneClusterInAnyOrder(t *testing.T) {
	full(t)
	for _, c := range []struct {
		how   string
		first []string // of these alone first
		args  []string
	}{
		{"ten at a time", nil, []string{"-parallelism=10"}},
		{"one at a time", nil, []string{"-parallelism=1"}},
		{"the last one first", []string{"rabbit@rmq3"}, []string{"-parallelism=10"}},
		{"two of them first", []string{"rabbit@rmq3", "rabbit@rmq2"}, []string{"-parallelism=1"}},
	} {
		rmq1, rmq2, rmq3 := blank(t)
		t.Run(c.how, func(t *testing.T) {
			w := newWorkspace(t)
			w.blocks(nodes(rmq1, rmq2, rmq3) + memberBlocks(""))
			apply := append([]string{"apply", "-no-color", "-auto-approve"}, c.args...)
			if c.first != nil {
				targeted := slices.Clone(apply)
				for _, node := range c.first {
					targeted = append(targeted, fmt.Sprintf("-target=rabbitmq_cluster_member.this[%q]", node))
				}
				w.run(targeted...).succeeds()
			}
			w.run(apply...).succeeds()
			areOneCluster(t, rmq1, rmq2, rmq3)
			w.planIsEmpty()
			w.mustDestroy()
			areAlone(t, rmq1, rmq2, rmq3)
		})
	}
}

// changesAddress gives a host a second address, puts that into the configuration of all, and checks that an update in
// place of some resources follows that changes no broker.
func (w *workspace) changesAddress(h *lab.Host, resources int, all ...*lab.Host) {
	t := w.t
	t.Helper()
	octets := strings.Split(h.Address(), ".")
	moved := strings.Join(append(octets[:3:3], "2"+octets[3]), ".")
	device := strings.Fields(on(t, h, "sh", "-c", "ip -o -4 addr show | grep -w "+h.Address()))[1]
	on(t, h, "ip", "addr", "add", moved+"/24", "dev", device)
	t.Cleanup(func() { on(t, h, "ip", "addr", "del", moved+"/24", "dev", device) })
	known, err := os.ReadFile(suite.lab.KnownHostsFile())
	if err != nil {
		t.Fatal(err)
	}
	more := filepath.Join(w.dir, "known_hosts")
	if err := os.WriteFile(more, append(known, []byte(moved+" "+h.HostKey()+"\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(w.dir, "main.tf")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	there := strings.NewReplacer(`"`+h.Address()+`"`, `"`+moved+`"`, suite.lab.KnownHostsFile(), more).Replace(string(text))
	if err := os.WriteFile(config, []byte(there), 0o600); err != nil {
		t.Fatal(err)
	}
	w.planShows(fmt.Sprintf(`host = %q -> %q`, h.Address(), moved), fmt.Sprintf("0 to add, %d to change, 0 to destroy", resources))
	if c := w.mustApplyPlan().changes(); len(c) > 0 {
		t.Errorf("it ran %q", c)
	}
	areOneCluster(t, all...)
	w.planIsEmpty()
	back := strings.ReplaceAll(there, `"`+moved+`"`, `"`+h.Address()+`"`)
	if err := os.WriteFile(config, []byte(back), 0o600); err != nil {
		t.Fatal(err)
	}
	w.mustApply()
	w.planIsEmpty()
}

// look is a question to a broker for what it knows, in the provider's log.
var look = regexp.MustCompile(`remote command starts: .*args=.*(erl_call|\beval\b)`)

// looks counts the questions to brokers for what they know.
func (o outcome) looks() int {
	o.t.Helper()
	text, err := os.ReadFile(o.log)
	if err != nil {
		o.t.Fatal(err)
	}
	return len(look.FindAll(text, -1))
}
