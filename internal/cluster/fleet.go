// Package cluster looks at all nodes of a cluster at once and carries out the steps that topology decides, one verified
// step at a time. It is where the pure rules meet real hosts.
package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// Fleet is the nodes of one cluster and how each is reached.
type Fleet struct {
	// Nodes are the nodes that the configuration names, by node name.
	Nodes map[string]*rabbitmq.Node
	// Stranger returns the node of a member that the configuration does not name.
	Stranger func(name string) (*rabbitmq.Node, error)
	// Again, when set, gives the node of a host that did not answer, for every further look: a host may be waited for
	// once, for as long as it takes to boot, but not at every step.
	Again func(name string) (*rabbitmq.Node, error)
	// Memory shares looks between the resources of one run; nil shares nothing.
	Memory *Memory
	// Report is told every step before it is done, every wait and every recovery.
	Report func(ctx context.Context, message string)
}

// sighting is what one look at all nodes gave.
type sighting struct {
	topology.Snapshot
	// busy are hosts on which a command of RabbitMQ's CLI still changes something, by node name.
	busy map[string][]string
}

// look asks all nodes at once, and then the members that they name and the configuration does not.
func (f *Fleet) look(ctx context.Context, ask rabbitmq.Ask) sighting {
	seen := sighting{Snapshot: topology.Snapshot{}, busy: map[string][]string{}}
	f.ask(ctx, f.Nodes, ask, &seen)
	f.giveUpWaiting(seen.Snapshot)
	strangers := map[string]*rabbitmq.Node{}
	for _, v := range seen.Snapshot {
		for member := range v.Members {
			if _, asked := seen.Snapshot[member]; !asked {
				node, err := f.Stranger(member)
				if err != nil {
					seen.Snapshot[member] = view(rabbitmq.Observation{}, err)
					continue
				}
				strangers[member] = node
			}
		}
	}
	f.ask(ctx, strangers, rabbitmq.Ask{Peers: ask.Peers}, &seen)
	if ask.Inventory {
		f.completeInventory(ctx, &seen)
	}
	if ask.Peers {
		f.askThroughPeers(ctx, seen.Snapshot)
	}
	return seen
}

// askThroughPeers asks members whose own host does not answer whom they would join again, through a member that sees
// them: they leave the same way.
func (f *Fleet) askThroughPeers(ctx context.Context, seen topology.Snapshot) {
	var mu sync.Mutex
	var all sync.WaitGroup
	discovers := map[string][]string{}
	for name, v := range seen {
		voice := ""
		for other, word := range seen {
			if word.State == topology.Running && slices.Contains(word.Running, name) {
				voice = other
			}
		}
		if v.State != topology.Unreachable || voice == "" {
			continue
		}
		peer, err := f.node(voice)
		if err != nil {
			continue
		}
		all.Go(func() {
			status, err := peer.Through(name).Status(ctx, rabbitmq.Ask{Peers: true})
			if err != nil {
				return // it is asked again before it leaves
			}
			mu.Lock()
			defer mu.Unlock()
			discovers[name] = status.Peers
		})
	}
	all.Wait()
	for name, peers := range discovers {
		v := seen[name]
		v.Discovers = peers
		seen[name] = v
	}
}

// giveUpWaiting sees that hosts which did not answer are waited for no more.
func (f *Fleet) giveUpWaiting(seen topology.Snapshot) {
	if f.Again == nil {
		return
	}
	for name := range f.Nodes {
		if seen[name].State != topology.Unreachable {
			continue
		}
		if node, err := f.Again(name); err == nil {
			f.Nodes[name] = node
		}
	}
}

// completeInventory asks a voice of a cluster for the inventory when whoever should have given it did not answer.
func (f *Fleet) completeInventory(ctx context.Context, seen *sighting) {
	missing := map[string]*rabbitmq.Node{}
	for _, c := range seen.Clusters() {
		if seen.Holds(c) != nil {
			continue
		}
		if i := slices.IndexFunc(c.Voices, func(voice string) bool { return f.Nodes[voice] != nil }); i >= 0 {
			missing[c.Voices[i]] = f.Nodes[c.Voices[i]]
		}
	}
	f.ask(ctx, missing, rabbitmq.Ask{Inventory: true}, seen)
}

// ask asks some nodes side by side and puts what they say into seen.
func (f *Fleet) ask(ctx context.Context, nodes map[string]*rabbitmq.Node, ask rabbitmq.Ask, seen *sighting) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, node := range nodes {
		all.Go(func() {
			asked := ask
			asked.Resolve = slices.DeleteFunc(slices.Clone(ask.Resolve), func(host string) bool { return host == rabbitmq.HostPart(name) })
			o, err := node.Observe(ctx, asked)
			mu.Lock()
			defer mu.Unlock()
			seen.Snapshot[name] = view(o, err)
			if len(o.Facts.Running) > 0 {
				seen.busy[name] = o.Facts.Running
			}
		})
	}
	all.Wait()
}

// quietly looks until no command of RabbitMQ's CLI is changing anything on any host: a command whose connection was
// lost goes on (measured), and nothing may be decided before its end.
func (f *Fleet) quietly(ctx context.Context, ask rabbitmq.Ask) (topology.Snapshot, error) {
	for {
		seen := f.look(ctx, ask)
		if len(seen.busy) == 0 {
			return seen.Snapshot, nil
		}
		for name, commands := range seen.busy {
			f.Report(ctx, fmt.Sprintf("waiting for `%s`, which still runs on the host of %s", commands[0], name))
			node, err := f.node(name)
			if err == nil {
				err = f.awaitQuiet(ctx, node)
			}
			if err != nil {
				return nil, fmt.Errorf("`%s` still runs on the host of %s, started by somebody else or by an earlier run: wait for its end, then apply again: %w", commands[0], name, err)
			}
		}
	}
}

func (f *Fleet) awaitQuiet(ctx context.Context, node *rabbitmq.Node) error {
	for {
		facts, err := node.Facts(ctx)
		if err != nil {
			return err
		}
		if len(facts.Running) == 0 {
			return nil
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// node returns the named node, configured or not.
func (f *Fleet) node(name string) (*rabbitmq.Node, error) {
	if node, ok := f.Nodes[name]; ok {
		return node, nil
	}
	return f.Stranger(name)
}

// hosts are the host names under which the configured nodes must find each other.
func (f *Fleet) hosts() []string {
	var hosts []string
	for name := range f.Nodes {
		if host := rabbitmq.HostPart(name); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// names are the configured node names in order.
func (f *Fleet) names() []string {
	names := make([]string, 0, len(f.Nodes))
	for name := range f.Nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// places are the configured nodes with their hosts: two clusters of one run may use the same names.
func (f *Fleet) places() []string {
	places := f.names()
	for i, name := range places {
		places[i] = name + " on " + f.Nodes[name].Address()
	}
	return places
}

// pause waits for d, or for the end of ctx, whose error it then returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
