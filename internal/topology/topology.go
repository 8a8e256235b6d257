// Package topology is the heart of the product: it takes what is wanted and what was observed, and returns the steps
// that lead from one to the other, in order, or a refusal that says why there are none.
//
// It does no I/O. Read it in this order: Wish (what the user wants), Snapshot (what the hosts said), Cluster (what
// that adds up to), Plan (the rules), Step (what can happen), Refusal (why nothing happens).
package topology

import (
	"cmp"
	"slices"
	"strings"
)

// Type is how a member keeps the metadata: on disc, or in memory only (Mnesia before 4.3).
type Type string

// The node types, in RabbitMQ's words.
const (
	Disc Type = "disc"
	RAM  Type = "ram"
)

// Wish is what the configuration asks for.
type Wish struct {
	Name    string          // the cluster's name; empty when it is not managed
	Members map[string]Type // the nodes that shall be members and run
	Peers   []string        // nodes to join through that are not managed here
	Only    bool            // whoever else is a member leaves
	Leaving []string        // members that leave; where everybody else does, those that are known to have been members
	ID      string          // the cluster's id when it was last read; empty when it is not known
	Grow    bool            // quorum queues and streams get a replica on every wished member
	// AllowDataLoss lets steps destroy data. It never lets them take the majority away.
	AllowDataLoss bool
}

// names returns the wished members in order.
func (w Wish) names() []string { return sortedKeys(w.Members) }

// wants tells whether node shall be a member.
func (w Wish) wants(node string) bool { _, wished := w.Members[node]; return wished }

// related tells whether node counts when the cluster to build on is chosen.
func (w Wish) related(node string) bool {
	return w.wants(node) || slices.Contains(w.Peers, node) || slices.Contains(w.Leaving, node)
}

// leaves tells whether a member shall leave.
func (w Wish) leaves(member string) bool {
	return !w.wants(member) && (w.Only || slices.Contains(w.Leaving, member))
}

// State is what one node was found to be.
type State int

// The states. Unreachable and Failed say nothing about the node: it may be running.
const (
	Unreachable State = iota // its host did not answer
	Failed                   // its host answered, reading the node failed
	Down                     // no Erlang node of that name runs on its host
	Stopped                  // the Erlang node runs, the rabbit application does not
	Paused                   // the same, and RabbitMQ stopped it itself: it sees a minority, and starts when it sees more
	Booting                  // the application is starting, or waits for its peers
	Running                  // the application runs
)

// View is one node's own word, taken on its own host.
type View struct {
	State State
	Why   string // the cause, when Unreachable or Failed; the unit's state when Down

	// Members is whom it lists, itself included; nil when it cannot tell (a stopped Khepri node lists nobody).
	Members map[string]Type
	// Running is whom it sees running, itself included.
	Running []string
	// Partitioned are the nodes it reports to have been cut off from. Mnesia fills it only after the network healed.
	Partitioned []string

	Name       string // the cluster's name; no identity: members differ until somebody sets it
	ID         string // the cluster's persistent internal id
	Version    string
	CookieHash string
	Khepri     bool
	RAMAllowed bool // the version and store have RAM nodes
	OnlyKhepri bool // the version has no other store
	NoMajority bool // its metadata store cannot take writes
	// Lacks counts, for each member that it sees running, the quorum queues and streams without a replica there that
	// could have one; nil when it was not asked.
	Lacks map[string]int

	Flags        map[string]Flag // by name; nil when they were not read
	Applications []string        // that the node has loaded

	Holds     *Holdings // what it, or its cluster, holds; nil when not inspected
	Discovers []string  // whom its own peer discovery would make it join when it starts blank

	// Resolves are the addresses that the node finds for the host names of others; none for a name that it cannot
	// resolve. A name that it was not asked for is not in it.
	Resolves  map[string][]string
	Addresses []string // of its machine's own interfaces; empty when unknown
	Machine   string   // what tells its machine from others; empty when unknown
}

// lists tells whether the node counts other as a member of its cluster.
func (v View) lists(other string) bool { _, ok := v.Members[other]; return ok }

// sees tells whether the node sees other running.
func (v View) sees(other string) bool { return slices.Contains(v.Running, other) }

// Snapshot is what all hosts said at about the same time, by node name.
type Snapshot map[string]View

// Cluster is what a group of running nodes agrees on.
type Cluster struct {
	Members map[string]Type // everybody that a voice lists
	Voices  []string        // the running nodes whose word this is, in order
	Running []string        // members that a voice sees running, in order
	Name    string          // the first voice's name for it
	ID      string
	Khepri  bool

	disagree map[string]bool // members that some voices list and some do not
	names    map[string]bool // every name that a voice reports
}

// Runs tells whether a member is seen running by the cluster.
func (c Cluster) Runs(node string) bool { return slices.Contains(c.Running, node) }

// has tells whether the cluster lists node as a member.
func (c Cluster) has(node string) bool { _, ok := c.Members[node]; return ok }

// String names the cluster for people: its name when somebody gave it one, else its first member's.
func (c Cluster) String() string {
	if c.Name != "" && !strings.Contains(c.Name, "@") {
		return c.Name
	}
	return "the cluster of " + c.Voices[0]
}

// Clusters groups the running nodes: two are in one cluster when each lists the other. A node that a cluster lists and
// that lists nobody of it is in a cluster of its own: a rebuilt host under an old name.
func (s Snapshot) Clusters() []Cluster {
	var clusters []Cluster
	taken := map[string]bool{}
	for _, node := range sortedKeys(s) {
		if s[node].State != Running || taken[node] {
			continue
		}
		group := s.voices(node, taken)
		clusters = append(clusters, s.cluster(group))
	}
	return clusters
}

// voices collects the running nodes that are connected with node by mutual listing.
func (s Snapshot) voices(node string, taken map[string]bool) []string {
	taken[node] = true
	group := []string{node}
	for i := 0; i < len(group); i++ {
		for _, other := range sortedKeys(s) {
			if !taken[other] && s[other].State == Running && s[other].lists(group[i]) && s[group[i]].lists(other) {
				taken[other] = true
				group = append(group, other)
			}
		}
	}
	slices.Sort(group)
	return group
}

func (s Snapshot) cluster(voices []string) Cluster {
	first := s[voices[0]]
	c := Cluster{
		Members: map[string]Type{}, Voices: voices, Name: first.Name, ID: first.ID, Khepri: first.Khepri,
		disagree: map[string]bool{}, names: map[string]bool{},
	}
	running := map[string]bool{}
	for _, voice := range voices {
		view := s[voice]
		c.names[view.Name] = true
		for node, kind := range view.Members {
			c.Members[node] = kind
		}
		for _, node := range view.Running {
			running[node] = true
		}
	}
	for node := range c.Members {
		for _, voice := range voices {
			if !s[voice].lists(node) {
				c.disagree[node] = true
			}
		}
		// A node that says itself that it is elsewhere is not running here, whatever the peers say: 4.3 lists a
		// rebuilt blank host as running (measured).
		if own, seen := s[node]; seen && own.State == Running && !slices.Contains(voices, node) {
			delete(running, node)
		}
	}
	for node := range running {
		if c.has(node) {
			c.Running = append(c.Running, node)
		}
	}
	slices.Sort(c.Running)
	return c
}

// Base chooses the cluster to build on: the one with most of the wished members, peers and leavers, where members count
// first that do not say themselves that they are elsewhere; then the one with the id that is known, then the one with
// more that stay, then the one that holds data, then the one with the first name. The second result is false when no
// node runs.
func (s Snapshot) Base(w Wish) (Cluster, bool) {
	clusters := s.Clusters()
	clusters = slices.DeleteFunc(clusters, func(c Cluster) bool { return !slices.ContainsFunc(c.Voices, w.related) })
	if len(clusters) == 0 {
		return Cluster{}, false
	}
	rank := func(c Cluster) []int {
		var here, related, stay int
		for node := range c.Members {
			elsewhere := s[node].State == Running && !slices.Contains(c.Voices, node)
			here += one(w.related(node) && !elsewhere)
			related += one(w.related(node))
			stay += one(w.wants(node) || slices.Contains(w.Peers, node))
		}
		holds := s.Holds(c)
		return []int{here, related, one(w.ID != "" && c.ID == w.ID), stay, one(holds != nil && !holds.Blank())}
	}
	slices.SortStableFunc(clusters, func(a, b Cluster) int {
		return cmp.Or(slices.Compare(rank(b), rank(a)), cmp.Compare(a.Voices[0], b.Voices[0]))
	})
	return clusters[0], true
}

// Holds returns what a cluster holds, from whichever of its voices was asked for it, or nil when none could tell.
func (s Snapshot) Holds(c Cluster) *Holdings {
	for _, voice := range c.Voices {
		if holds := s[voice].Holds; holds != nil {
			return holds
		}
	}
	return nil
}

// halfLeft tells whether a node was forgotten by the cluster while it was stopped, and not reset since: a leave was cut
// off there. A stopped Khepri node lists nobody; its peers reset it when they forget it (measured).
func (s Snapshot) halfLeft(node string, c Cluster) bool {
	view := s[node]
	return view.State == Stopped && !c.has(node) &&
		(slices.ContainsFunc(c.Voices, view.lists) || c.Khepri && view.Khepri && view.Members == nil)
}

func one(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
