package cluster

import (
	"context"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// hedge is how long a read waits for one member before it asks the next as well.
const hedge = 3 * time.Second

// Read says what the cluster of the known members is. One answer of one member is enough when it shows exactly the
// known members, all running; only when something is off are all of them asked.
func (f *Fleet) Read(ctx context.Context, known map[string]topology.Type) (topology.Reading, error) {
	if seen, ok := f.glance(ctx); ok && untroubled(known, seen) {
		return topology.Read(known, seen)
	}
	return topology.Read(known, f.look(ctx, rabbitmq.Ask{}).Snapshot)
}

// glance asks one member after the other, without waiting long, and returns the first word of one that runs.
func (f *Fleet) glance(ctx context.Context) (topology.Snapshot, bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names := f.names()
	answers := make(chan topology.Snapshot, len(names))
	next, waiting := 0, 0
	ask := func() {
		name := names[next]
		next++
		waiting++
		go func() {
			o, err := f.Nodes[name].Observe(ctx, rabbitmq.Ask{})
			answers <- topology.Snapshot{name: view(o, err)}
		}()
	}
	for next < len(names) || waiting > 0 {
		if waiting == 0 {
			ask()
		}
		timer := time.NewTimer(hedge)
		select {
		case seen := <-answers:
			waiting--
			for _, v := range seen {
				if v.State == topology.Running {
					timer.Stop()
					return seen, true
				}
			}
		case <-timer.C:
			if next < len(names) {
				ask()
			}
		case <-ctx.Done():
			timer.Stop()
			return nil, false
		}
		timer.Stop()
	}
	return nil, false
}

// untroubled tells whether one member's word shows the known members, all running, and nothing else.
func untroubled(known map[string]topology.Type, seen topology.Snapshot) bool {
	for _, v := range seen {
		if v.NoMajority || len(v.Partitioned) > 0 || len(v.Members) != len(known) || len(v.Running) != len(known) {
			return false
		}
		for node, kind := range known {
			if v.Members[node] != kind {
				return false
			}
		}
	}
	return true
}
