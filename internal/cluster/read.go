package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// hedge is how long a read waits for one member before it asks the next as well.
const hedge = 3 * time.Second

// Read says what the cluster of the known members is. One answer of one member is enough when it shows exactly the
// known members, all running; only when something is off are all of them asked.
func (f *Fleet) Read(ctx context.Context, known map[string]topology.Type) (topology.Reading, error) {
	seen := f.Memory.share(ctx, "glance", f.places(), f.glance)
	if !showsExactly(known, seen) {
		seen = f.all(ctx)
	}
	return topology.Read(known, seen)
}

// ReadMember says whether node is a member, as topology.ReadMember. All members of one cluster share the look.
func (f *Fleet) ReadMember(ctx context.Context, node string, peers []string) (m topology.Member, name string, found bool, err error) {
	seen := f.Memory.share(ctx, "glance", f.places(), f.glance)
	if !shows(node, seen) {
		seen = f.all(ctx)
	}
	return topology.ReadMember(node, peers, seen)
}

// all asks every node.
func (f *Fleet) all(ctx context.Context) topology.Snapshot {
	return f.Memory.share(ctx, "look", f.places(), func(ctx context.Context) topology.Snapshot { return f.look(ctx, rabbitmq.Ask{}).Snapshot })
}

// glance asks one node after the other, without waiting long for one, and returns the first word of one that runs. It is
// empty when none does.
func (f *Fleet) glance(ctx context.Context) topology.Snapshot {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names := f.names()
	answers := make(chan topology.Snapshot, len(names))
	asked, waiting := 0, 0
	for asked < len(names) || waiting > 0 {
		if asked < len(names) {
			name := names[asked]
			asked++
			waiting++
			go func() {
				o, err := f.Nodes[name].Observe(ctx, rabbitmq.Ask{})
				answers <- topology.Snapshot{name: view(o, err)}
			}()
		}
		timer := time.NewTimer(hedge)
		select {
		case seen := <-answers:
			waiting--
			if slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(v topology.View) bool { return v.State == topology.Running }) {
				timer.Stop()
				return seen
			}
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	return nil
}

// untroubled tells whether a glance gave the word of a member without partition and with a majority.
func untroubled(seen topology.Snapshot) bool {
	for _, v := range seen {
		return !v.NoMajority && len(v.Partitioned) == 0
	}
	return false
}

// showsExactly tells whether a glance shows the known members, all running, and nobody else.
func showsExactly(known map[string]topology.Type, seen topology.Snapshot) bool {
	if !untroubled(seen) {
		return false
	}
	for _, v := range seen {
		if !maps.Equal(v.Members, known) || len(v.Running) != len(known) {
			return false
		}
	}
	return true
}

// shows tells whether a glance shows node as a running member of a cluster with others, or as the one that was asked.
func shows(node string, seen topology.Snapshot) bool {
	if !untroubled(seen) {
		return false
	}
	for _, v := range seen {
		if _, member := v.Members[node]; !member || !slices.Contains(v.Running, node) || len(v.Members) < 2 {
			return false
		}
	}
	return true
}
