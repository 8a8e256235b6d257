//go:build linux

package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// A member is a disc or a RAM node as configured, from its join on, and changes in place without losing anything.
func TestNodeTypesOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	typed := func(kinds ...string) {
		var members string
		for i, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			if i < len(kinds) && kinds[i] != "" {
				members += entry(h, fmt.Sprintf("type = %q", kinds[i]))
			} else {
				members += entry(h)
			}
		}
		w.write(hcl{members: members, attributes: `name = "orders"`})
	}

	if onKhepri() {
		typed("", "", "ram")
		w.refuses("the node type is not available", "has no RAM nodes on its metadata store", `Use type = "disc"`)
		areAlone(t, rmq1, rmq2, rmq3)
		typed()
		w.mustApply()
		declare(t, rmq3, "classic", "baskets", 3)
		typed("", "", "ram")
		w.refuses("the node type is not available", "rabbit@rmq3: RabbitMQ", "has no RAM nodes on its metadata store")
		areOneCluster(t, rmq1, rmq2, rmq3)
		holds(t, rmq1, "baskets", 3)
		typed()
		w.planIsEmpty()
		return
	}

	areTyped := func(t *testing.T, rams ...*lab.Host) {
		t.Helper()
		var want []string
		for _, h := range rams {
			want = append(want, h.NodeName())
		}
		for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			if s := clusterStatus(t, h); !slices.Equal(s.RAM, want) || len(s.Disc) != 3-len(want) || len(s.Running) != 3 {
				t.Errorf("%s has %+v, want the RAM nodes %v", h.Name(), s, want)
			}
		}
		s, _ := w.state()
		for node, m := range s.Members {
			if isRAM := slices.Contains(want, node); isRAM != (m.Type == "ram") {
				t.Errorf("the state has %s as %+v", node, m)
			}
		}
	}

	w.tell("RAM nodes alone are no cluster", func(t *testing.T) {
		typed("ram", "ram", "ram")
		w.refuses("no disc node would be left")
		areAlone(t, rmq1, rmq2, rmq3)
	})

	w.tell("a node joins as a RAM node", func(t *testing.T) {
		typed("", "", "ram")
		w.planShows("join rabbit@rmq3 to orders as ram node through rabbit@rmq1")
		w.mustApplyPlan()
		areTyped(t, rmq3)
		w.planIsEmpty()
	})

	ctl(t, rmq1, "add_vhost", "kept")
	addQueue(t, rmq1, "kept", "baskets", 3)
	for _, kind := range []string{"disc", "ram", "disc"} {
		w.tell("it becomes a "+kind+" node", func(t *testing.T) {
			typed("", "", kind)
			w.planShows(fmt.Sprintf("-> %q", kind), "make rabbit@rmq3 a "+kind+" node", "0 to add, 1 to change, 0 to destroy")
			w.mustApplyPlan()
			if kind == "ram" {
				areTyped(t, rmq3)
			} else {
				areTyped(t)
			}
			w.planIsEmpty()
			if got := strings.Fields(ctl(t, rmq3, "-q", "list_queues", "-p", "kept", "--no-table-headers", "name", "messages")); !slices.Equal(got, []string{"baskets", "3"}) {
				t.Errorf("the queues are %q", got)
			}
		})
	}

	w.tell("a type that changed by hand is drift", func(t *testing.T) {
		ctl(t, rmq2, "stop_app")
		ctl(t, rmq2, "change_cluster_node_type", "ram")
		ctl(t, rmq2, "start_app")
		w.planShows(`type = "ram" -> "disc"`, "make rabbit@rmq2 a disc node")
		w.mustApplyPlan()
		areTyped(t)
	})

	w.tell("not while the only copy of a queue is on it", func(t *testing.T) {
		addQueue(t, rmq3, "kept", "here", 2)
		typed("", "", "ram")
		w.refuses("data would be lost", "the only copy of 1 classic queue with 2 messages (here in kept: 2) is there")
		areTyped(t)
		ctl(t, rmq3, "delete_queue", "-p", "kept", "here")
	})

	w.tell("not the last disc node", func(t *testing.T) {
		typed("ram", "ram", "ram")
		w.refuses("no disc node would be left", "rabbit@rmq1, rabbit@rmq2, rabbit@rmq3: all members would be RAM nodes")
		areTyped(t)
	})
}

// A cluster on 4.0's Mnesia is moved to Khepri by its operator. To Terraform it is the same cluster.
func TestClusterMovesToKhepriOnEveryVersion(t *testing.T) {
	everyVersion(t)
	if suite.lab.Release() != lab.V4_0 {
		t.Skip("only RabbitMQ 4.0 has both metadata stores and starts with Mnesia")
	}
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	named := `name = "orders"`
	w.write(hcl{members: entries(rmq1, rmq2), attributes: named})
	w.mustApply()
	before, _ := w.state()
	ctl(t, rmq2, "add_vhost", "kept")
	addQueue(t, rmq1, "kept", "baskets", 3)

	w.tell("the move is no change", func(t *testing.T) {
		ctl(t, rmq1, "enable_feature_flag", "--opt-in", "khepri_db")
		if store := ctl(t, rmq2, "-q", "eval", "rabbit_khepri:is_enabled()."); !strings.Contains(store, "true") {
			t.Fatalf("rmq2 is not on Khepri: %s", store)
		}
		w.planIsEmpty()
		if after, _ := w.state(); after.ID != before.ID || after.Name != "orders" {
			t.Errorf("the state has %+v, and had %+v", after, before)
		}
	})

	w.tell("a node that is on Mnesia joins", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: named})
		w.planShows("join rabbit@rmq3 to orders as disc node through rabbit@rmq1")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		if !slices.Contains(vhosts(t, rmq3), "kept") {
			t.Error("rmq3 has not got the cluster's vhost")
		}
		w.planIsEmpty()
	})

	w.tell("RAM nodes are no more", func(*testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2) + entry(rmq3, `type = "ram"`), attributes: named})
		w.refuses("the node type is not available", "rabbit@rmq3: RabbitMQ 4.0.5 has no RAM nodes on its metadata store")
	})

	w.tell("a member leaves and joins again", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq3), attributes: named})
		w.mustApply()
		areOneCluster(t, rmq1, rmq3)
		areAlone(t, rmq2)
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: named})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
		if got := strings.Fields(ctl(t, rmq2, "-q", "list_queues", "-p", "kept", "--no-table-headers", "name", "messages")); !slices.Equal(got, []string{"baskets", "3"}) {
			t.Errorf("the queues are %q", got)
		}
	})
}
