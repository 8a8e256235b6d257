//go:build linux

package acceptance

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// bound is what no run takes whose hosts are gone, on a machine with far too much to do: each step of a
// destroy looks again at all hosts.
const bound = 4 * time.Minute

func (o outcome) within(d time.Duration) outcome {
	o.t.Helper()
	if o.took > d {
		o.t.Errorf("%v took %s, want less than %s", o.args, o.took, d)
	}
	return o
}

// A cluster is destroyed while hosts of it are gone.
func TestClusterIsDestroyedWithoutSomeHostsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t).hasty()
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
	w.mustApply()
	ctl(t, rmq1, "add_vhost", "kept")

	w.tell("one that is gone is forgotten, and the last keeps its data", func(t *testing.T) {
		dies(t, rmq2, rmq1, rmq3)
		o := w.run("plan", "-destroy", "-no-color").shows("forget rabbit@rmq2, which does not run, on rabbit@rmq1", "must lose its data directory first",
			"take rabbit@rmq3 out of orders through rabbit@rmq1 and leave it blank and alone")
		if o.code != 0 {
			t.Errorf("exit code %d", o.code)
		}
		w.mustDestroy().within(bound)
		areAlone(t, rmq1, rmq3)
		if !slices.Contains(vhosts(t, rmq1), "kept") {
			t.Error("rmq1 has lost its vhost")
		}
		isBlank(t, rmq3)
		w.hasNoState()
	})

	w.tell("with all of them gone it is an error that says what can be done, and the state stays", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq3), attributes: `name = "orders"`})
		w.mustApply()
		off(t, rmq1, rmq3)
		w.run("destroy", "-no-color", "-auto-approve").fails("Unable to read the cluster", "no running member answered", "rabbit@rmq1", "rabbit@rmq3",
			"state rm", `on_destroy = "keep"`, "-refresh=false").within(bound)
		w.run("destroy", "-no-color", "-auto-approve", "-refresh=false").fails("Unable to dissolve the cluster", "no member that could be reached runs",
			"state rm", `on_destroy = "keep"`).within(bound)
		if _, has := w.state(); !has {
			t.Error("the state has forgotten the cluster")
		}
	})

	w.tell("on_destroy = keep gives it up", func(*testing.T) {
		w.write(hcl{members: entries(rmq1, rmq3), attributes: "name = \"orders\"\n  on_destroy = \"keep\""})
		w.run("apply", "-no-color", "-auto-approve", "-refresh=false").succeeds().within(bound)
		w.run("destroy", "-no-color", "-auto-approve", "-refresh=false").succeeds().within(bound)
		w.hasNoState()
	})
}

// Members are destroyed all at once while hosts of theirs are gone, whichever they are: so recently that the others
// still see them run. Whoever is left last keeps its data.
func TestMembersAreDestroyedWithoutSomeHostsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	w := newWorkspace(t).hasty()
	w.blocks(nodes(hosts...) + memberBlocks(""))
	w.mustApply()
	ctl(t, rmq1, "add_vhost", "kept")

	order := rand.Perm(3)
	gone := 2
	if onKhepri() {
		gone = 1 // else there is no majority that could forget anybody
	}
	var left []*lab.Host
	for i, n := range order {
		t.Logf("%s: %s", map[bool]string{true: "gone", false: "left"}[i < gone], hosts[n].Name())
		if i < gone {
			off(t, hosts[n])
		} else {
			left = append(left, hosts[n])
		}
	}
	w.run("destroy", "-no-color", "-auto-approve", "-parallelism=10").succeeds().within(bound)
	areAlone(t, left...)
	kept := slices.DeleteFunc(slices.Clone(left), func(h *lab.Host) bool { return !slices.Contains(vhosts(t, h), "kept") })
	if len(kept) != 1 {
		t.Errorf("%d nodes have the vhost, want one", len(kept))
	}
	if s := w.run("state", "list").succeeds(); strings.TrimSpace(s.output) != "" {
		t.Errorf("the state has %s", s.output)
	}

	w.tell("with all hosts gone it is an error that says what can be done", func(t *testing.T) {
		w.blocks(nodes(left...) + memberBlocks(""))
		w.mustApply()
		off(t, left...)
		o := w.run("destroy", "-no-color", "-auto-approve", "-refresh=false").within(bound)
		for _, h := range left {
			o.fails("Unable to take out "+h.NodeName(), "no member that could be reached runs", "state rm")
		}
	})
}
