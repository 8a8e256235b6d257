package simulation

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// world is a fleet behind SSH servers, and a Terraform that manages it.
type world struct {
	t       *testing.T
	fleet   *Fleet
	servers *Servers
	tf      *Terraform
}

func newWorld(t *testing.T, v Version, hosts int) *world {
	t.Helper()
	f := New(Options{Hosts: hosts, Version: v, Seed: 1, Second: 5 * time.Millisecond, Loud: t.Errorf, Name: func(i int) string {
		if i == 4 {
			return stranger
		}
		return node(i)
	}})
	s := Serve(t, f)
	t.Cleanup(s.Close)
	w := &world{t: t, fleet: f, servers: s, tf: &Terraform{Provider: s.Provider()}}
	t.Cleanup(func() {
		for _, violation := range f.Violations() {
			t.Errorf("violation: %s", violation)
		}
		if t.Failed() {
			t.Logf("the world:\n%s\ncommands: %v", f.Describe(), f.Commands())
		}
	})
	return w
}

// stranger is the name of the fourth host: the product can reach it although no configuration says how.
const stranger = "rabbit@127.0.0.1"

// node is the name of host i, from 1.
func node(i int) string { return fmt.Sprintf("rabbit@rmq%d", i) }

func nodes(from, to int) []string {
	var names []string
	for i := from; i <= to; i++ {
		names = append(names, node(i))
	}
	return names
}

// cluster is a configuration with one rabbitmq_cluster of some nodes.
func (w *world) cluster(change map[string]any, names ...string) Resources {
	arguments := map[string]any{"members": w.servers.Members(names...)}
	for key, value := range change {
		arguments[key] = value
	}
	return Resources{"rabbitmq_cluster.this": arguments}
}

// apply applies, and then sees that a second plan is empty and has run nothing that changes anything.
func (w *world) apply(wanted Resources) {
	w.t.Helper()
	if _, err := w.tf.Apply(w.t.Context(), wanted); err != nil {
		w.t.Fatalf("apply: %v", err)
	}
	before := len(w.fleet.Commands())
	changes, err := w.tf.Plan(w.t.Context(), wanted)
	if err != nil {
		w.t.Fatalf("plan after the apply: %v", err)
	}
	if len(changes) > 0 {
		w.t.Fatalf("the plan after the apply is not empty: %s %s", changes[0].Action, changes[0].Address)
	}
	if n := len(w.fleet.Commands()); n != before {
		w.t.Fatalf("the plan changed something: %v", w.fleet.Commands()[before:])
	}
}

// oneCluster sees that the nodes are one cluster, all running, and that nobody else is in it.
func (w *world) oneCluster(names ...string) {
	w.t.Helper()
	if err := oneCluster(w.fleet, names); err != nil {
		w.t.Error(err)
	}
}

func onEachVersion(t *testing.T, test func(t *testing.T, v Version)) {
	for _, v := range V {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

func TestFormsOneCluster(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		w.apply(w.cluster(map[string]any{"name": "orders"}, nodes(1, 3)...))
		w.oneCluster(nodes(1, 3)...)
		if got := w.fleet.Broker(node(2)).ClusterName(); got != "orders" {
			t.Errorf("the cluster is called %q", got)
		}
	})
}

func TestAdoptsWhatIsThere(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		w.fleet.Broker(node(2)).JoinByHand(node(1), disc)
		w.fleet.Broker(node(3)).JoinByHand(node(1), disc)
		w.fleet.Broker(node(1)).Declare("vhost orders")
		w.fleet.Broker(node(1)).DeclareQueue("classic", "q", 3)
		w.apply(w.cluster(nil, nodes(1, 3)...))
		w.oneCluster(nodes(1, 3)...)
		if n := len(w.fleet.Commands()); n > 0 {
			t.Errorf("adopting a cluster ran %v", w.fleet.Commands())
		}
	})
}

func TestRepairsDrift(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 4)
		w.tf.Provider["ssh"].(map[string]any)["port"] = w.servers.Port(stranger) //nolint:forcetypeassert // made by Provider
		wanted := w.cluster(nil, nodes(1, 3)...)
		w.apply(wanted)
		for name, drift := range map[string]func(){
			"the application of a member is stopped": w.fleet.Broker(node(2)).StopApp,
			"the service of a member is stopped":     w.fleet.Broker(node(3)).StopService,
			"a member was taken out":                 w.fleet.Broker(node(3)).LeaveByHand,
			"a stranger is a member":                 func() { w.fleet.Broker(stranger).JoinByHand(node(1), disc) },
		} {
			drift()
			if changes, err := w.tf.Plan(t.Context(), wanted); err != nil || len(changes) != 1 {
				t.Errorf("%s: the plan has %d changes, %v", name, len(changes), err)
			}
			w.apply(wanted)
			w.oneCluster(nodes(1, 3)...)
		}
	})
}

func TestChangesTypes(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		wanted := w.cluster(nil, nodes(1, 3)...)
		w.apply(wanted)
		members := wanted["rabbitmq_cluster.this"]["members"].(map[string]any) //nolint:forcetypeassert // made above
		members[node(3)].(map[string]any)["type"] = ram                        //nolint:forcetypeassert // made above
		if v.Khepri {
			if _, err := w.tf.Apply(t.Context(), wanted); err == nil {
				t.Error("a RAM node was accepted on Khepri")
			}
			w.oneCluster(nodes(1, 3)...)
			return
		}
		w.apply(wanted)
		w.oneCluster(nodes(1, 3)...)
		if got := w.fleet.Broker(node(3)).Type(); got != ram {
			t.Errorf("it is a %s node", got)
		}
	})
}

func TestRemovesMembers(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 5)
		w.apply(w.cluster(nil, node(1), stranger, node(2), node(3), node(5)))
		w.servers.PowerOff(node(5)) // a dead one and a live one
		w.apply(w.cluster(nil, nodes(1, 3)...))
		w.oneCluster(nodes(1, 3)...)
		if members, runs := w.fleet.Broker(stranger).Members(); !runs || len(members) != 1 {
			t.Errorf("%s runs: %t, lists %v", stranger, runs, members)
		}
	})
}

func TestDissolves(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		w.apply(w.cluster(nil, nodes(1, 3)...))
		w.fleet.Broker(node(1)).Declare("vhost orders")
		if err := w.tf.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range nodes(1, 3) {
			if members, runs := w.fleet.Broker(name).Members(); !runs || len(members) != 1 {
				t.Errorf("%s runs: %t, lists %v", name, runs, members)
			}
		}
		if left := w.tf.Addresses(); len(left) > 0 {
			t.Errorf("state still has %v", left)
		}
	})
}

// Quorum queues whose replicas are dissolved away one by one must stay readable on the one that is left.
func TestDissolvesWithQuorumQueues(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		w.apply(w.cluster(nil, nodes(1, 3)...))
		w.fleet.Broker(node(1)).DeclareQueue("quorum", "qq", 9, nodes(1, 3)...)
		if err := w.tf.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// A new member gets replicas of quorum queues and streams when that is asked for, on hosts without a program
// rabbitmq-streams.
func TestGrowsQueues(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		w.apply(w.cluster(nil, nodes(1, 2)...))
		kinds := map[string]string{"quorum": "qq", "stream": "st"}
		for kind, name := range kinds {
			w.fleet.Broker(node(1)).DeclareQueue(kind, name, 9, nodes(1, 2)...)
		}
		w.apply(w.cluster(map[string]any{"replicas": "grow"}, nodes(1, 3)...))
		for _, name := range kinds {
			if have := w.fleet.Broker(node(1)).Replicas(name); !slices.Equal(have, nodes(1, 3)) {
				t.Errorf("%s has replicas on %v", name, have)
			}
		}
	})
}
