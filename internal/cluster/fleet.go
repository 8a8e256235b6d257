// Package cluster looks at all nodes of a cluster at once and carries out the steps that topology decides, one verified
// step at a time. It is where the pure rules meet real hosts.
package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	busy  map[string]work     // by node name
	links map[string][]string // the Erlang nodes that a node has a link with, by its name
}

// work is changes that go on at a node, and through whom that was seen.
type work struct {
	node     *rabbitmq.Node
	commands []string
}

// look looks at all nodes, and a second time when their words do not fit together: they are asked side by side and not at
// one moment, so that who starts meanwhile runs by its own word and not by that of a peer who answered before (seen on
// 3.10, after a create was killed at its last start). What is so for good is still so a moment later.
func (f *Fleet) look(ctx context.Context, ask rabbitmq.Ask) sighting {
	seen := f.lookOnce(ctx, ask)
	if !seen.Fits() && pause(ctx, time.Second) == nil {
		return f.lookOnce(ctx, ask)
	}
	return seen
}

// lookOnce asks all nodes at once, and then the members that they name and the configuration does not.
func (f *Fleet) lookOnce(ctx context.Context, ask rabbitmq.Ask) sighting {
	seen := sighting{Snapshot: topology.Snapshot{}, busy: map[string]work{}, links: map[string][]string{}}
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
	f.ask(ctx, strangers, rabbitmq.Ask{Peers: ask.Peers, Work: ask.Work, Flags: ask.Flags}, &seen)
	if ask.Inventory {
		f.completeInventory(ctx, ask, &seen)
	}
	if ask.Peers || ask.Work {
		f.askThroughPeers(ctx, rabbitmq.Ask{Peers: ask.Peers, Work: ask.Work}, &seen)
	}
	return seen
}

// throughPeer bounds a question through a peer: the CLI tries for 50 seconds when a name does not resolve (measured).
const throughPeer = 10 * time.Second

// askThroughPeers asks members whose own host does not answer through another one: whom they would join again, because
// they leave the same way, and what they carry out right now. Without an answer nothing is known, as before. One that no
// peer has a link with is not asked: that question would only wait for its end.
func (f *Fleet) askThroughPeers(ctx context.Context, ask rabbitmq.Ask, seen *sighting) {
	ctx, cancel := context.WithTimeout(ctx, throughPeer)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	answers := map[string]rabbitmq.Status{}
	for _, c := range seen.Clusters() {
		peer, err := f.node(c.Voices[0])
		if err != nil {
			continue
		}
		for name := range c.Members {
			if state := seen.Snapshot[name].State; state != topology.Unreachable && state != topology.Failed {
				continue
			}
			if !slices.ContainsFunc(c.Voices, func(voice string) bool { return slices.Contains(seen.links[voice], name) }) {
				continue
			}
			node := peer.Through(name)
			all.Go(func() {
				status, err := node.Status(ctx, ask)
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				answers[name] = status
				if len(status.UnderWay) > 0 {
					seen.busy[name] = work{node, status.UnderWay}
				}
			})
		}
	}
	all.Wait()
	for name, status := range answers {
		v := seen.Snapshot[name]
		v.Discovers = status.Peers
		seen.Snapshot[name] = v
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
// The answer takes the place of the first one, so that it is asked for everything again.
func (f *Fleet) completeInventory(ctx context.Context, ask rabbitmq.Ask, seen *sighting) {
	missing := map[string]*rabbitmq.Node{}
	for _, c := range seen.Clusters() {
		if seen.Holds(c) != nil {
			continue
		}
		if i := slices.IndexFunc(c.Voices, func(voice string) bool { return f.Nodes[voice] != nil }); i >= 0 {
			missing[c.Voices[i]] = f.Nodes[c.Voices[i]]
		}
	}
	ask.Of = nil
	f.ask(ctx, missing, ask, seen)
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
			seen.Snapshot[name], seen.links[name] = view(o, err), o.Status.Connected
			if doing := slices.Concat(o.Facts.Running, o.Status.UnderWay); len(doing) > 0 {
				seen.busy[name] = work{node, doing}
			}
		})
	}
	all.Wait()
}

// quietly looks until nothing is changing at any node: a command whose connection was lost goes on, and so does what it
// has asked a node for when it is killed itself (both measured). Nothing may be decided before its end, but for starts of
// other nodes that the wish, if one is given, wants running.
func (f *Fleet) quietly(ctx context.Context, ask rabbitmq.Ask, decide func(topology.Snapshot) (topology.Wish, error)) (topology.Snapshot, error) {
	ask.Work = true
	for {
		seen := f.look(ctx, ask)
		if len(seen.busy) == 0 {
			return seen.Snapshot, nil
		}
		if decide != nil {
			acted, err := f.meanwhile(ctx, seen, decide)
			if err != nil {
				return nil, err
			}
			if decide = nil; acted { // once is enough
				continue
			}
		}
		for _, name := range slices.Sorted(maps.Keys(seen.busy)) {
			doing := seen.busy[name]
			f.Report(ctx, fmt.Sprintf("waiting for `%s`, which still goes on at %s", doing.commands[0], name))
			if err := f.awaitQuiet(ctx, doing.node); err != nil {
				return nil, fmt.Errorf("`%s` still goes on at %s (host %s), started by somebody else or by an earlier run: wait for its end, then apply again, or give this run more time (`timeouts`): %w",
					strings.Join(doing.commands, "`, `"), name, doing.node.Address(), err)
			}
		}
	}
}

// awaitQuiet waits until nothing changes at a node any more.
func (f *Fleet) awaitQuiet(ctx context.Context, node *rabbitmq.Node) error {
	for {
		doing, err := node.Doing(ctx)
		if err != nil || len(doing) == 0 {
			return err
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

// pause waits for d, or for the end of ctx, whose cause it then returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
