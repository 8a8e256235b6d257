package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// Overview is everything that a cluster's members tell of it.
type Overview struct {
	topology.Reading
	Status     rabbitmq.Status     // the word of a member that runs, with its Overview
	Partitions map[string][]string // who does not see whom, reported or found
}

// Overview asks one running member for everything, and only when its answer shows that something is off all others for
// their own word. That nobody could be asked is an error, never an empty cluster.
func (f *Fleet) Overview(ctx context.Context) (Overview, error) {
	ask := rabbitmq.Ask{Overview: true}
	status, others := f.firstRunning(ctx, ask)
	if status.Node == "" {
		return Overview{}, &NobodyAnsweredError{Causes: told(others)}
	}
	known := map[string]topology.Type{}
	for node := range f.Nodes {
		known[node] = topology.Disc
	}
	seen := topology.Snapshot{status.Node: view(rabbitmq.Observation{Condition: rabbitmq.Running, Status: status}, nil)}
	members := seen[status.Node].Members
	if !untroubled(seen) || len(members) != len(seen[status.Node].Running) || !slices.Equal(slices.Sorted(maps.Keys(members)), f.names()) {
		seen = f.look(ctx, rabbitmq.Ask{}).Snapshot
		base, ok := seen.Base(topology.Wish{Members: known})
		if !ok {
			return Overview{}, &NobodyAnsweredError{Causes: told(seen)}
		}
		if !slices.Contains(base.Voices, status.Node) { // a host that was rebuilt, or stands alone, answered first
			node, err := f.node(base.Voices[0])
			if err != nil {
				return Overview{}, err
			}
			if status, err = node.Status(ctx, ask); err != nil {
				return Overview{}, err
			}
		}
	}
	reading, err := topology.Read(known, seen)
	return Overview{Reading: reading, Status: status, Partitions: seen.Partitions()}, err
}

// NobodyAnsweredError tells that no node could be asked that runs.
type NobodyAnsweredError struct{ Causes []string }

// Error implements error.
func (e *NobodyAnsweredError) Error() string {
	return "no node that runs could be asked, so nothing is known about the cluster:\n" + strings.Join(e.Causes, "\n")
}

// firstRunning asks one node after the other, without waiting long for one, and gives the word of the first that runs.
// When none does, the node in the word is empty and what all of them said stands beside it.
func (f *Fleet) firstRunning(ctx context.Context, ask rabbitmq.Ask) (word rabbitmq.Status, others topology.Snapshot) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		name string
		o    rabbitmq.Observation
		err  error
	}
	names := f.names()
	answers := make(chan answer, len(names))
	asked, waiting := 0, 0
	seen := topology.Snapshot{}
	for asked < len(names) || waiting > 0 {
		if asked < len(names) {
			name := names[asked]
			asked++
			waiting++
			go func() {
				o, err := f.Nodes[name].Observe(ctx, ask)
				answers <- answer{name, o, err}
			}()
		}
		timer := time.NewTimer(hedge)
		select {
		case a := <-answers:
			waiting--
			if a.err == nil && a.o.Condition == rabbitmq.Running {
				timer.Stop()
				return a.o.Status, nil
			}
			seen[a.name] = view(a.o, a.err)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	return rabbitmq.Status{}, seen
}
