//go:build linux

package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// notAtBoot keeps the brokers from starting with their hosts until the test ends.
func notAtBoot(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	each(hosts, func(h *lab.Host) { on(t, h, "systemctl", "disable", "rabbitmq-server") })
	t.Cleanup(func() {
		for _, h := range hosts {
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			if !h.Running() {
				if err := h.Boot(ctx); err != nil {
					t.Error(err)
				}
			}
			on(t, h, "systemctl", "enable", "rabbitmq-server")
			cancel()
		}
	})
}

func bootHosts(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	each(hosts, func(h *lab.Host) {
		if err := h.Boot(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The power goes, of all hosts at once.
func TestPowerCutOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	notAtBoot(t, hosts...)
	w := newWorkspace(t).hasty()
	w.write(hcl{members: entries(hosts...), attributes: `name = "orders"`})
	w.mustApply()
	declare(t, rmq1, "classic", "classic", 30)
	declare(t, rmq2, "quorum", "quorum", 30)
	flush(t, hosts...)

	w.tell("all come back, and are started at once with everything that is durable", func(t *testing.T) {
		off(t, hosts...)
		bootHosts(t, hosts...)
		w.planShows("start the service of rabbit@rmq1", "start the service of rabbit@rmq2", "start the service of rabbit@rmq3",
			"running = false -> true", "0 to add, 1 to change, 0 to destroy")
		w.mustApplyPlan()
		areOneCluster(t, hosts...)
		for _, queue := range []string{"classic", "quorum"} {
			eventually(t, queue+" has its leader back", func() bool {
				ctx, cancel := bounded(t)
				defer cancel()
				out, err := rmq1.Rabbitmqctl(ctx, "-q", "list_queues", "--no-table-headers", "name", "messages")
				return err == nil && strings.Contains(out, fmt.Sprintf("%s\t30", queue))
			})
			if n := drain(t, rmq3, queue); n != 30 {
				t.Errorf("%s has %d messages, want 30", queue, n)
			}
		}
		w.planIsEmpty()
	})

	short := hcl{members: entries(hosts...), attributes: "name = \"orders\"\n  timeouts = { update = \"40s\" }"}
	safe := []string{"The safe way is to bring them back", "Only if they are gone for good"}
	forcesNothing := func(t *testing.T, o outcome) {
		t.Helper()
		if c := o.changes(); countOf(c, "force_boot")+countOf(c, "forget_cluster_node") > 0 {
			t.Errorf("it ran %q", c)
		}
	}

	w.tell("two of three come back", func(t *testing.T) {
		off(t, hosts...)
		bootHosts(t, rmq1, rmq2)
		if onKhepri() { // they are a majority: they run, and the third is told of
			w.apply().fails("Refused to change the cluster: the host cannot be reached", "rabbit@rmq3", "take the node out of the configuration when its host is gone for good")
			if running := clusterStatus(t, rmq1).Running; len(running) != 2 {
				t.Errorf("rmq1 sees %v running", running)
			}
			return
		}
		// Neither knows whether the third went on without it.
		w.write(short)
		forcesNothing(t, w.apply().fails(append(safe, "could not start the service of rabbit@rmq1", "rabbit@rmq1 is booting", "Not there: rabbit@rmq3",
			"rabbitmqctl force_boot", "What the others changed after this one stopped is lost")...))
	})

	w.tell("one of three comes back", func(t *testing.T) {
		off(t, rmq1, rmq2)
		bootHosts(t, rmq2)
		w.write(short)
		o := w.apply().fails(append(safe, "could not start the service of rabbit@rmq2", "rabbit@rmq2 is booting", "Not there: rabbit@rmq1, rabbit@rmq3")...)
		forcesNothing(t, o)
		if onKhepri() {
			o.shows("until more than half of the members are up", "force_standalone_khepri_boot", "what only the others had confirmed is lost")
		}
		w.write(hcl{members: entries(hosts...), attributes: `name = "orders"`})
	})

	w.tell("all come back again", func(t *testing.T) {
		bootHosts(t, rmq1, rmq3)
		w.mustApply()
		areOneCluster(t, hosts...)
		w.planIsEmpty()
	})
}
