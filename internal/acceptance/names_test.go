//go:build linux

package acceptance

import (
	"fmt"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Nodes have other names than rabbit, long ones, and hosts that speak IPv6 only.
func TestNamesAndAddressesOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	blank(t)
	var hosts []*lab.Host
	for _, name := range []string{"six1", "six2"} {
		hosts = append(hosts, addHostAs(t, lab.HostSpec{Name: name, Node: "orders@" + name + ".example.test", IPv6: true}))
	}
	one, two := hosts[0], hosts[1]
	w := newWorkspace(t)
	named := `name = "orders"`
	w.write(hcl{members: entries(one, two), attributes: named})

	w.tell("they become a cluster", func(t *testing.T) {
		w.planShows("join orders@six2.example.test to orders as disc node through orders@six1.example.test")
		w.mustApplyPlan()
		areOneCluster(t, one, two)
		w.planIsEmpty()
	})

	w.tell("a stopped one is started, its application and its service", func(t *testing.T) {
		ctl(t, two, "stop_app")
		w.planShows("start the application of orders@six2.example.test")
		w.mustApplyPlan()
		must(t, two.StopBroker(t.Context()))
		w.planShows("start the service of orders@six2.example.test").within(atOnce)
		w.mustApplyPlan()
		areOneCluster(t, one, two)
		w.planIsEmpty()
	})

	w.tell("a queue's only copy is found by the long name of its node", func(t *testing.T) {
		addQueue(t, two, "/", "baskets", 3)
		w.write(hcl{members: entries(one), attributes: named})
		w.refuses("data would be lost", "orders@six2.example.test: the only copy of 1 classic queue with 3 messages (baskets in /: 3) would go")
		ctl(t, two, "delete_queue", "baskets")
	})

	w.tell("one leaves", func(t *testing.T) {
		w.write(hcl{members: entries(one), attributes: named})
		w.planShows("take orders@six2.example.test out of orders")
		w.mustApplyPlan()
		areAlone(t, one, two)
		w.planIsEmpty()
	})

	w.write(hcl{members: entries(one, two), attributes: named})
	w.mustApply()
	if !onKhepri() { // where one of two has no majority
		w.tell("a dead one is forgotten", func(t *testing.T) {
			brokersDie(t, two)
			w.write(hcl{members: entries(one), attributes: named})
			w.planShows("forget orders@six2.example.test, which does not run, on orders@six1.example.test").within(atOnce)
			w.mustApplyPlan()
			areAlone(t, one)
			must(t, two.BlankBroker(t.Context()))
			w.write(hcl{members: entries(one, two), attributes: named})
			w.mustApply()
			areOneCluster(t, one, two)
		})
	}

	w.tell("they are imported, and read by the data sources", func(*testing.T) {
		w.write(hcl{members: entries(one, two), attributes: named})
		w.mustForget()
		w.write(hcl{members: entries(one, two), attributes: named, more: fmt.Sprintf(`
import {
  to = rabbitmq_cluster.orders
  id = "%[1]s,%[2]s"
}

data "rabbitmq_cluster" "seen" {
  nodes = { %[1]q = { host = %[2]q } }
}

data "rabbitmq_node" "seen" {
  node = %[1]q
  host = %[2]q
}

output "seen" { value = join(" ", concat(keys(data.rabbitmq_cluster.seen.members), data.rabbitmq_node.seen.members)) }
`, two.NodeName(), two.Address())})
		w.plan().shows("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy",
			`seen = "orders@six1.example.test orders@six2.example.test orders@six1.example.test orders@six2.example.test"`)
		w.mustApplyPlan()
		w.planIsEmpty()
	})

	w.tell("a destroy leaves each alone", func(t *testing.T) {
		w.write(hcl{members: entries(one, two), attributes: named})
		w.mustDestroy()
		areAlone(t, one, two)
		w.hasNoState()
	})
}
