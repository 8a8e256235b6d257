//go:build linux

package acceptance

import (
	"slices"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// A cluster grows and shrinks under a client that publishes with confirms and consumes all the time.
func TestScaleUnderLoadOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3, addHost(t, "rmq4"), addHost(t, "rmq5")}
	w := newWorkspace(t)
	scale := func(n int) {
		w.write(hcl{members: entries(hosts[:n]...), attributes: "name = \"orders\"\n  replicas = \"grow\""})
		w.mustApply()
		areOneCluster(w.t, hosts[:n]...)
		w.planIsEmpty()
	}
	scale(3)
	work := startWork(t, hosts[:1])
	for _, n := range []int{5, 3, 1, 3} {
		w.tell(map[int]string{5: "five", 3: "three", 1: "one"}[n]+" members", func(t *testing.T) {
			scale(n)
			areOn(t, []string{queue(0)}, hosts[:n]...)
			work.goesOn(t)
			for _, h := range hosts[n:] {
				if slices.Contains(members(t, h), hosts[0].NodeName()) {
					t.Errorf("%s still is a member", h.Name())
				}
			}
		})
	}
	work.end(t)
}
