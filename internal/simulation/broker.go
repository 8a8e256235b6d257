package simulation

import (
	"crypto/md5" //nolint:gosec // the hash that RabbitMQ itself prints
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// app is the state of the rabbit application.
type app string

const (
	stopped app = "stopped"
	booting app = "booting"
	running app = "running"
)

// The node types.
const (
	disc = "disc"
	ram  = "ram"
)

// metadata is what the members of one cluster share: users' objects and the list of queues.
type metadata struct {
	id      string // stands for the internal cluster id
	name    string // empty until somebody sets it: until then each member reports its own
	objects []string
	queues  []*queue
}

// queue is one queue. Its content is on the disks that content names, by their number.
type queue struct {
	vhost, name, kind string
	messages          int
	copies            []string // whom the metadata names as holders
	content           map[string]int
	busy              time.Time // since when clients write to it
	electing          time.Time // until when it has no leader
	changing          time.Time // until when it takes no new replica, because the last change of them goes on
}

// Broker is one node and the host it is alone on. Its fields belong to the fleet's lock.
type Broker struct {
	fleet   *Fleet
	Name    string
	version Version

	// The host.
	up        bool   // it has power
	shut      bool   // its sshd takes no connections
	boot      string // the kernel's boot id
	files     map[string]*file
	processes []string // changing commands of the CLI that run on it
	noSudo    bool
	lockedBy  string          // who holds the host's lock
	full      bool            // its disk is full
	link      *sshtest.Server // what its connections run over, where they are simulated

	// The broker.
	vm          bool
	app         app
	since       time.Time // it runs
	cookie      string    // the live one
	unit        string    // active, activating, inactive, failed, auto-restart
	starts      int       // of the unit within the limit's interval
	disk        int       // a number for the content of its disk: it changes when the disk is wiped
	members     map[string]string
	store       *metadata
	partitioned map[string]bool
	waitFor     map[string]bool // Mnesia: who ran when it stopped, so that it must not start without them
	frozen      int             // how often its host stands still at once: nobody can tell it from one that is gone
	asked       time.Time       // when the command began that it carries out
	fresh       bool            // it never ran since it was made blank: peer discovery applies
	unresolved  string          // a host name that it cannot resolve
	discovers   []string        // whom its discovery configuration names
	ghost       bool            // 4.3: peers that still list it take it for running although it is blank
	attempt     *attempt        // of a boot
	ready       bool            // the boot is past what it does alone
	pending     int             // things that it will do by itself
	reset       []*attempt      // Khepri: resets that wait for a majority
	born        time.Time       // its Erlang VM runs
	underWay    []string        // what it carries out for commands whose process is gone

	// Maintenance.
	drained   bool
	restarted bool // its last boot was a restart of the unit

	// What the world has it do, or lack.
	detached, unitless, noMaintenance, revives, drainsAtBoot bool

	// Names. nat says that the addresses that it has for others are on nobody's interfaces; astray, whose machines the
	// names of nodes lead to instead; empty where to nobody's.
	nat    bool
	astray map[string]string
}

// attempt is a boot, or a reset, that somebody may wait for.
type attempt struct {
	done    chan struct{}
	failure string // RabbitMQ's words
	service bool   // it was begun by the unit
}

// part ends the links that stand.
func (b *Broker) part() {
	for ends := range b.fleet.held {
		if ends[0] == b.Name || ends[1] == b.Name {
			delete(b.fleet.held, ends)
		}
	}
}

// blank makes the node what a new one is: alone, with nothing but the defaults.
func (b *Broker) blank() {
	b.fleet.stores++
	b.store = &metadata{id: fmt.Sprintf("rabbitmq-cluster-id-sim%04d", b.fleet.stores)}
	b.members = map[string]string{b.Name: disc}
	b.partitioned, b.waitFor = map[string]bool{}, map[string]bool{}
	b.disk++
	b.fresh, b.ghost = true, false
}

func (b *Broker) lists(other string) bool { _, ok := b.members[other]; return ok }

// others are the members that it lists beside itself, in order.
func (b *Broker) others() []*Broker {
	var all []*Broker
	for _, name := range slices.Sorted(maps.Keys(b.members)) {
		if name != b.Name {
			all = append(all, b.fleet.brokers[name])
		}
	}
	return all
}

// runs tells whether its application runs.
func (b *Broker) runs() bool { return b.up && b.vm && b.app == running }

// peers are the members that run and that it reaches, itself included when it runs.
func (b *Broker) peers() []*Broker {
	var all []*Broker
	for _, other := range append(b.others(), b) {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
			all = append(all, other)
		}
	}
	return all
}

// sees is whom its peers' list shows as running.
func (b *Broker) sees() []string {
	var names []string
	for _, other := range b.peers() {
		if other == b || !other.hidden() {
			names = append(names, other.Name)
		}
	}
	for _, other := range b.others() {
		// 4.3 lists a rebuilt blank host as running (measured).
		if other.ghost && other.runs() && b.fleet.linked(b, other) && !slices.Contains(names, other.Name) {
			names = append(names, other.Name)
		}
	}
	slices.Sort(names)
	return names
}

// links are the nodes that it has a link with: of those that it ever met, the ones that are up, whatever runs there.
func (b *Broker) links() []string {
	names := []string{}
	for _, name := range b.fleet.names() {
		other := b.fleet.brokers[name]
		if other != b && (b.lists(name) || other.lists(b.Name)) && other.up && other.vm && b.fleet.linked(b, other) {
			names = append(names, name)
		}
	}
	return names
}

// majority tells whether its metadata store can take writes.
func (b *Broker) majority() bool { return !b.version.Khepri || len(b.peers()) > len(b.members)/2 }

// become makes the node a member of the cluster of seed.
func (b *Broker) become(seed *Broker, kind string) {
	b.blank()
	b.store, b.fresh = seed.store, false
	for _, peer := range seed.peers() {
		peer.members[b.Name] = kind
	}
	b.members = maps.Clone(seed.members)
	for _, peer := range seed.peers() {
		b.waitFor[peer.Name] = true
	}
}

// dropped takes a name out of the member lists of all nodes that run and are reached from b, and its copies out of the
// metadata that they share.
func (b *Broker) drop(name string) {
	for _, peer := range b.peers() {
		delete(peer.members, name)
		delete(peer.partitioned, name)
	}
	b.dropCopies(name, b.version.Number == V38.Number)
}

// dropCopies forgets the copies of queues on a node. A queue without any is gone from every member's list at once. A
// quorum queue whose other replicas are no running majority cannot decide to give one up, and keeps a ghost of it
// (rabbit_quorum_queue:delete_member/2 asks the queue's own Raft group): inferred.
func (b *Broker) dropCopies(name string, ghosts bool) {
	b.store.queues = slices.DeleteFunc(b.store.queues, func(q *queue) bool {
		if q.kind == "quorum" && len(q.copies) > 1 && (ghosts || !b.decides(q)) {
			return false // 3.8 keeps a ghost in any case (measured)
		}
		if q.kind == "stream" && !b.version.Khepri && slices.Contains(q.copies, name) && !b.decides(q) {
			q.copies = nil // led from there at the worst, it is deleted with all its copies (measured on 3.10)
		}
		q.copies = slices.DeleteFunc(q.copies, func(node string) bool { return node == name })
		return len(q.copies) == 0
	})
}

// canReset tells whether a reset can take effect: on Khepri leaving a cluster needs its majority.
func (b *Broker) canReset() bool {
	if !b.version.Khepri || len(b.members) == 1 {
		return true
	}
	return b.stoppedMajority()
}

// stoppedMajority tells whether the members that run, and this stopped one, which can still vote when it is asked to
// leave, are a majority of its cluster.
func (b *Broker) stoppedMajority() bool {
	up := 1
	known := false
	for _, other := range b.others() {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store {
			known = true
			if other.lists(b.Name) {
				up++
			}
		}
	}
	return known && up > len(b.members)/2
}

// onlyDisc tells whether all others are RAM nodes.
func (b *Broker) onlyDisc() bool {
	for name, kind := range b.members {
		if name != b.Name && kind == disc {
			return false
		}
	}
	return len(b.members) > 1 && b.members[b.Name] == disc
}

// leave resets the node and tells its peers.
func (b *Broker) leave() {
	for _, other := range b.others() {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
			other.drop(b.Name)
			break
		}
	}
	b.blank()
}

// stop stops the application.
func (b *Broker) stop() {
	if b.app == running {
		b.noteUp()
	}
	b.app = stopped
}

// noteUp remembers who ran when this node stopped.
func (b *Broker) noteUp() {
	b.waitFor = map[string]bool{}
	for _, peer := range b.peers() {
		if peer != b {
			b.waitFor[peer.Name] = true
		}
	}
}

func (b *Broker) writeCookie(value string) {
	b.files[cookieFile] = &file{content: value, mode: "400", owner: "rabbitmq"}
}

func (b *Broker) cookieHash() string {
	sum := md5.Sum([]byte(b.cookie)) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Replicas are the members with a copy of a queue.
func (b *Broker) Replicas(queue string) (members []string) {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	for _, q := range b.store.queues {
		if q.name == queue {
			members = slices.Sorted(slices.Values(q.copies))
		}
	}
	return members
}

// Members is the node's own member list, and whether it runs.
func (b *Broker) Members() (members []string, runs bool) {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return slices.Sorted(maps.Keys(b.members)), b.runs()
}

// Type is the node's type in its own list.
func (b *Broker) Type() string {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.members[b.Name]
}

// Cookie is the one that the broker runs with.
func (b *Broker) Cookie() string {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.cookie
}

// ClusterName is the name that the node reports for its cluster.
func (b *Broker) ClusterName() string {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.clusterName()
}

func (b *Broker) clusterName() string {
	if b.store.name == "" {
		return b.Name
	}
	return b.store.name
}
