package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// hedge is how long a read waits for one member before it asks the next as well.
const hedge = 3 * time.Second

// Read says what the cluster of the known members is, and with replicas which of them lack some. One answer of one member
// is enough when it shows exactly the known members, all running; only when something is off are all of them asked.
func (f *Fleet) Read(ctx context.Context, known map[string]topology.Type, replicas bool) (topology.Reading, error) {
	seen := f.glanced(ctx, rabbitmq.Ask{Replicas: replicas}, func(seen topology.Snapshot) bool { return showsExactly(known, seen) })
	return topology.Read(known, seen)
}

// ReadMember says whether node is a member, as topology.ReadMember. All members of one cluster share the look.
func (f *Fleet) ReadMember(ctx context.Context, node string, peers []string, replicas bool) (m topology.Member, r topology.Reading, found bool, err error) {
	seen := f.glanced(ctx, rabbitmq.Ask{Replicas: replicas}, func(seen topology.Snapshot) bool { return shows(node, peers, seen) })
	if len(seen.Clusters()) > 1 { // which of them is the one to be in may depend on who holds data, as in the plan
		ask := rabbitmq.Ask{Replicas: replicas, Inventory: true, Of: f.names()}
		seen = f.Memory.share(ctx, fmt.Sprintf("look %+v", ask), f.places(), func(ctx context.Context) topology.Snapshot { return f.look(ctx, ask).Snapshot })
	}
	return topology.ReadMember(node, peers, seen)
}

// glanced glances, and asks every node unless that is enough, or nobody of them runs, which a glance finds out by asking
// them all.
func (f *Fleet) glanced(ctx context.Context, ask rabbitmq.Ask, enough func(topology.Snapshot) bool) topology.Snapshot {
	about := fmt.Sprintf("%+v", ask)
	seen := f.Memory.share(ctx, "glance "+about, f.places(), func(ctx context.Context) topology.Snapshot { return f.glance(ctx, ask) })
	if enough(seen) || len(seen) == len(f.Nodes) && len(seen.Clusters()) == 0 {
		return seen
	}
	return f.Memory.share(ctx, "look "+about, f.places(), func(ctx context.Context) topology.Snapshot { return f.look(ctx, ask).Snapshot })
}

// glance gives the first word of a node that runs. When none does, it gives what all of them said.
func (f *Fleet) glance(ctx context.Context, ask rabbitmq.Ask) topology.Snapshot {
	word, others := f.firstRunning(ctx, ask)
	if word.Node == "" {
		return others
	}
	return topology.Snapshot{word.Node: view(rabbitmq.Observation{Condition: rabbitmq.Running, Status: word}, nil)}
}

// untroubled tells whether a glance gave the word of a member without partition and with a majority.
func untroubled(seen topology.Snapshot) bool {
	for _, v := range seen {
		return v.State == topology.Running && !v.NoMajority && len(v.Partitioned) == 0
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

// shows tells whether a glance shows node as a running member of a cluster with others, all of its peers among them: one
// who is not there may be in the cluster that the node is to be in.
func shows(node string, peers []string, seen topology.Snapshot) bool {
	if !untroubled(seen) {
		return false
	}
	for _, v := range seen {
		if _, member := v.Members[node]; !member || !slices.Contains(v.Running, node) || len(v.Members) < 2 {
			return false
		}
		if slices.ContainsFunc(peers, func(peer string) bool { _, member := v.Members[peer]; return !member }) {
			return false
		}
	}
	return true
}
