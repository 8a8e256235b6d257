//go:build linux

package acceptance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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

	w.tell("RAM nodes are no more", func(t *testing.T) {
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

// One of three Khepri members alone answers every read, with what it knew, and can change nothing. So nothing is tried.
func TestKhepriWithoutMajorityOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	if !onKhepri() {
		t.Skip("Mnesia has no majority")
	}
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
	w.mustApply()
	down := func(hosts ...*lab.Host) {
		each(hosts, func(h *lab.Host) {
			ctx, cancel := bounded(t)
			defer cancel()
			if err := h.KillBroker(ctx); err != nil {
				t.Error(err)
			}
		})
	}

	w.tell("a dead member of three is forgotten by the two that are left", func(t *testing.T) {
		down(rmq3)
		w.write(hcl{members: entries(rmq1, rmq2), attributes: `name = "orders"`})
		w.planShows("forget rabbit@rmq3, which does not run, on rabbit@rmq1")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		w.planIsEmpty()
	})

	w.tell("one of two forgets nobody, not even with allow_data_loss, and says so at once", func(t *testing.T) {
		down(rmq2)
		eventually(t, "rmq1 notices that it is alone", func() bool {
			return strings.Contains(on(t, rmq1, "sh", "-c", "runuser -u rabbitmq -- rabbitmq-diagnostics metadata_store_status 2>&1 || true"), "pre_vote")
		})
		w.write(hcl{members: entries(rmq1), attributes: "name = \"orders\"\n  allow_data_loss = true"})
		began := time.Now()
		w.refuses("the metadata store has no majority, or would lose it")
		if took := time.Since(began); took > time.Minute { // a command that is tried waits as long for a leader
			t.Errorf("two refusals took %s", took)
		}
		if got := clusterStatus(t, rmq1).Disc; len(got) != 2 {
			t.Errorf("rmq1 lists %v", got)
		}
	})

	w.tell("nor is anybody joined", func(t *testing.T) {
		on(t, rmq3, "rm", "-rf", "/var/lib/rabbitmq/mnesia")
		on(t, rmq3, "install", "-d", "-m", "0750", "-o", "rabbitmq", "-g", "rabbitmq", "/var/lib/rabbitmq/mnesia")
		if err := rmq3.StartBroker(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.write(hcl{members: entries(rmq1, rmq3), attributes: `name = "orders"`})
		w.refuses("the metadata store has no majority, or would lose it")
		areAlone(t, rmq3)
	})

	w.tell("with the majority back the rest is done", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
		w.planShows("start the service of rabbit@rmq2", "join rabbit@rmq3")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})
}

// others are, by the lab's release, releases of hosts that stand beside its own during an upgrade.
var others = map[lab.Release]lab.Release{
	lab.V3_8: lab.V3_10, lab.V3_10: lab.V3_8, lab.V4_0: lab.V4_3, lab.V4_0Khepri: lab.V4_3, lab.V4_3: lab.V4_0Khepri,
}

// A host of another version does not join where RabbitMQ would refuse it, and everything else works beside it.
func TestMixedVersionsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, _ := blank(t)
	other := addHostAs(t, lab.HostSpec{Name: "other", Release: others[suite.lab.Release()]})
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2)})
	w.mustApply()
	ctl(t, other, "add_vhost", "held")

	w.tell("the plan says which feature flags are in the way", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, other), attributes: "allow_data_loss = true"})
		w.refuses("the versions do not fit together", "rabbit@other: it runs RabbitMQ")
		areAlone(t, other)
	})

	w.tell("which is what RabbitMQ finds as well", func(t *testing.T) {
		ctl(t, other, "stop_app")
		ctx, cancel := bounded(t)
		defer cancel()
		out, err := other.Rabbitmqctl(ctx, "join_cluster", rmq1.NodeName())
		if err == nil {
			t.Errorf("it joined: %s", out)
		} else if !strings.Contains(err.Error(), "incompatible_feature_flags") {
			t.Errorf("it was refused for another reason: %v", err)
		}
		ctl(t, other, "start_app")
		if !slices.Contains(vhosts(t, other), "held") {
			t.Error("other was wiped")
		}
	})
}

// During an upgrade a node of the new version, with only the old version's feature flags on, is a member like any other.
func TestRollingUpgradeOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	if suite.lab.Release() != lab.V3_8 {
		t.Skip("of the lab's releases only 3.8 and 3.10 know the same feature flags")
	}
	var flags []string
	for _, flag := range strings.Fields(ctl(t, rmq1, "-q", "list_feature_flags", "name", "state", "--no-table-headers")) {
		if flag != "enabled" && flag != "disabled" {
			flags = append(flags, flag)
		}
	}
	newer := lab.V3_10
	newer.FeatureFlags = strings.Join(flags, ",")
	upgraded := addHostAs(t, lab.HostSpec{Name: "upgraded", Release: newer})
	w := newWorkspace(t)

	w.tell("it joins", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, upgraded), attributes: `name = "orders"`})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, upgraded)
		w.planIsEmpty()
	})

	w.tell("and another of the old version joins it", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3, upgraded), attributes: `name = "orders"`})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3, upgraded)
		w.planIsEmpty()
	})

	w.tell("a stopped one is started, and the old ones leave", func(t *testing.T) {
		ctl(t, upgraded, "stop_app")
		w.planShows("start the application of rabbit@upgraded")
		w.mustApplyPlan()
		w.write(hcl{members: entries(rmq1, upgraded), attributes: `name = "orders"`})
		w.mustApply()
		areOneCluster(t, rmq1, upgraded)
		areAlone(t, rmq2, rmq3)
		w.planIsEmpty()
	})
}

// Nodes have other names than rabbit, long ones, and hosts that speak IPv6 only.
func TestNamesAndAddresses(t *testing.T) {
	full(t)
	blank(t)
	hosts := make([]*lab.Host, 2)
	var specs []lab.HostSpec
	for i := range hosts {
		name := fmt.Sprintf("six%d", i+1)
		specs = append(specs, lab.HostSpec{Name: name, Node: "orders@" + name + ".example.test", IPv6: true})
	}
	for i, spec := range specs {
		hosts[i] = addHostAs(t, spec)
	}
	w := newWorkspace(t)
	w.write(hcl{members: entries(hosts...), attributes: `name = "orders"`})

	w.tell("they become a cluster", func(t *testing.T) {
		w.planShows("join orders@six2.example.test to orders as disc node through orders@six1.example.test")
		w.mustApplyPlan()
		areOneCluster(t, hosts...)
		w.planIsEmpty()
	})

	w.tell("a stopped one is started", func(t *testing.T) {
		ctl(t, hosts[1], "stop_app")
		w.planShows("start the application of orders@six2.example.test")
		w.mustApplyPlan()
		w.planIsEmpty()
	})

	w.tell("one leaves", func(t *testing.T) {
		w.write(hcl{members: entries(hosts[0]), attributes: `name = "orders"`})
		w.mustApply()
		areAlone(t, hosts...)
	})

	w.tell("one that is known by its node name alone is read by import", func(t *testing.T) {
		w.mustForget()
		joinByHand(t, hosts[1], hosts[0])
		w.write(hcl{members: entries(hosts...), attributes: `name = "orders"`, more: fmt.Sprintf("import {\n  to = rabbitmq_cluster.orders\n  id = %q\n}\n", hosts[1].NodeName()+","+hosts[1].Address())})
		w.plan().shows("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy")
	})
}

// addHostAs boots one more host, of another release or under another node name, which goes with the test.
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
