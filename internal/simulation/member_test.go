package simulation

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// members is a configuration with a rabbitmq_cluster_member for each node, as for_each over one map makes it.
func (w *world) members(names ...string) Resources {
	wanted := Resources{}
	for _, name := range names {
		arguments := w.servers.Host(name)
		arguments["node"], arguments["peers"] = name, w.servers.Members(names...)
		wanted[fmt.Sprintf("rabbitmq_cluster_member.this[%q]", name)] = arguments
	}
	return wanted
}

// Two to seven blank nodes, in whatever order and with whatever parallelism, become one cluster.
func TestMembersBecomeOneCluster(t *testing.T) {
	runs := 20
	if testing.Short() {
		runs = 5
	}
	turns := make(chan struct{}, 6) // they mostly wait
	var all sync.WaitGroup
	for run := range runs {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			r := rand.New(rand.NewPCG(uint64(run), 3)) //nolint:gosec // G404, G115: a replayable run
			v := V[run%len(V)]
			hosts, parallel := 2+r.IntN(6), 1+r.IntN(10)
			f := New(Options{Hosts: hosts, Version: v, Seed: uint64(run), Second: 5 * time.Millisecond, Loud: t.Errorf}) //nolint:gosec // G115: small
			s := Serve(t, f)
			defer s.Close()
			w := &world{t: t, fleet: f, servers: s, tf: &Terraform{Provider: s.Provider(), Parallelism: parallel, Order: r.Perm}}
			wanted := w.members(nodes(1, hosts)...)
			what := fmt.Sprintf("run %d: %s, %d nodes, parallelism %d", run, v, hosts, parallel)
			if _, err := w.tf.Apply(t.Context(), wanted); err != nil {
				t.Errorf("%s: %v\n%s", what, err, f.Describe())
				return
			}
			if err := oneCluster(f, nodes(1, hosts)); err != nil {
				t.Errorf("%s: %v\n%s\n%v", what, err, f.Describe(), f.Commands())
			}
			if changes, err := w.tf.Plan(t.Context(), wanted); err != nil || len(changes) > 0 {
				t.Errorf("%s: the plan after the apply has %d changes, %v", what, len(changes), err)
			}
			for _, violation := range f.Violations() {
				t.Errorf("%s: %s", what, violation)
			}
		})
	}
	all.Wait()
}

// One entry less is a live leave; none at all leaves the last one with its data.
func TestMembersLeave(t *testing.T) {
	onEachVersion(t, func(t *testing.T, v Version) {
		w := newWorld(t, v, 3)
		w.apply(w.members(nodes(1, 3)...))
		w.fleet.Broker(node(1)).Declare("vhost orders")
		w.apply(w.members(nodes(1, 2)...))
		w.oneCluster(nodes(1, 2)...)
		if err := w.tf.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range nodes(1, 3) {
			if members, runs := w.fleet.Broker(name).Members(); !runs || len(members) != 1 {
				t.Errorf("%s runs: %t, lists %v", name, runs, members)
			}
		}
	})
}
