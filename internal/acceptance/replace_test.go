//go:build linux

package acceptance

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// A host dies, is taken out, comes back blank under its old name, dies again while it is still listed, and is replaced by
// one of another name.
func TestDeadHostIsReplacedOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w, story := newWorkspace(t).hasty(), t
	write := func(hosts ...*lab.Host) {
		w.write(hcl{members: entries(hosts...), attributes: "name = \"orders\"\n  replicas = \"grow\""})
	}
	write(rmq1, rmq2, rmq3)
	w.mustApply()
	queues := []string{"quorum"} // a forget does not take a stream's replica off (seen on 3.10)
	declare(t, rmq1, "quorum", "quorum", 20)

	w.tell("a host that is gone for good is forgotten once it is taken out", func(t *testing.T) {
		dies(t, rmq3, rmq1, rmq2)
		// It is still wished.
		w.planShows("running = false -> true", "Not ready yet to change the cluster: rabbit@rmq3: the host cannot be reached", "take the node out of the configuration when its host is gone for good").asksNobodyFor(rmq3)
		write(rmq1, rmq2)
		w.planShows(`- "rabbit@rmq3" = {`, "forget rabbit@rmq3, which does not run, on rabbit@rmq1", "must lose its data directory first")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		areOn(t, queues, rmq1, rmq2)
		w.planIsEmpty()
	})

	w.tell("a blank host of the same name joins in one apply, and gets replicas", func(t *testing.T) {
		wipeAndBoot(t, rmq3)
		write(rmq1, rmq2, rmq3)
		w.planShows("join rabbit@rmq3 to orders as disc node through rabbit@rmq1", "grow the quorum queues and streams onto rabbit@rmq3")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		areOn(t, queues, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("so it does while its peers still list the old one", func(t *testing.T) {
		wipeAndBoot(t, rmq3)
		w.mustApply() // on 4.3 it may be a member again by itself
		areOneCluster(t, rmq1, rmq2, rmq3)
		areOn(t, queues, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("another host takes its place: the join comes first and the forget last", func(t *testing.T) {
		rmq4 := addHost(story, "rmq4")
		dies(t, rmq3, rmq1, rmq2)
		write(rmq1, rmq2, rmq4)
		o := w.mustApply()
		c := o.changes()
		join := slices.IndexFunc(c, func(c string) bool { return strings.Contains(c, " join_cluster ") })
		forget := slices.IndexFunc(c, func(c string) bool { return strings.Contains(c, " forget_cluster_node ") })
		if join < 0 || forget < join {
			t.Errorf("it ran %q", c)
		}
		areOneCluster(t, rmq1, rmq2, rmq4)
		areOn(t, queues, rmq1, rmq2, rmq4)
		w.planIsEmpty()
		for _, queue := range queues[:1] {
			if n := drain(t, rmq2, queue); n != 20 {
				t.Errorf("%s has %d messages, want 20", queue, n)
			}
		}
	})
}

// addHost adds a host to the lab until the test ends.
func addHost(t *testing.T, name string) *lab.Host {
	t.Helper()
	return addHostAs(t, lab.HostSpec{Name: name})
}

// addHostAs adds a host of another release, under another node name, or with IPv6 only.
func addHostAs(t *testing.T, spec lab.HostSpec) *lab.Host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // its image may have to be built
	defer cancel()
	h, err := suite.lab.AddHost(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := suite.lab.RemoveHost(h); err != nil {
			t.Error(err)
		}
	})
	return h
}

// wipeAndBoot gives a host a blank disk under its old name and starts it, and waits until its broker runs, or is a
// member again, which 4.3 may become by itself after a first boot that fails.
func wipeAndBoot(t *testing.T, h *lab.Host) {
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	if err := h.Wipe(ctx, lab.KeepHostKey); err != nil {
		t.Fatal(err)
	}
	if err := h.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.WaitBroker(ctx); err != nil {
		t.Fatal(err)
	}
}

// asksNobodyFor checks that a run asked no peer for a node that is dead: that only waits for the end of the question.
func (o outcome) asksNobodyFor(h *lab.Host) {
	o.t.Helper()
	text, err := os.ReadFile(o.log)
	if err != nil {
		o.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		args := argsField.FindStringSubmatch(line)
		if remoteCommand.MatchString(line) && args != nil && slices.Contains(strings.Split(args[1], ", "), h.NodeName()) {
			o.t.Errorf("it asked: %s", args[1])
		}
	}
}
