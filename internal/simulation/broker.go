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
	fresh       bool            // it never ran since it was made blank: peer discovery applies
	unresolved  string          // a host name that it cannot resolve
	discovers   []string        // whom its discovery configuration names
	ghost       bool            // 4.3: peers that still list it take it for running although it is blank
	attempt     *attempt        // of a boot
	ready       bool            // the boot is past what it does alone
	pending     int             // things that it will do by itself
	reset       []*attempt      // Khepri: resets that wait for a majority
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
		names = append(names, other.Name)
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

// settle lets everything happen that can happen now: boots that were waiting end.
func (f *Fleet) settle() {
	for again := true; again; {
		again = false
		for _, name := range f.names() {
			b := f.brokers[name]
			if b.app == booting && b.ready && b.vm && b.up && b.tryBoot() {
				again = true
			}
			for len(b.reset) > 0 && b.canReset() {
				waiting := b.reset[0]
				b.reset = b.reset[1:]
				b.leave()
				close(waiting.done)
				again = true
			}
		}
	}
}

// tryBoot ends a boot when it can end.
func (b *Broker) tryBoot() bool {
	switch failure, wait := b.outcome(); {
	case wait:
		return false
	case failure != "":
		b.bootFailed(failure)
	default:
		b.app, b.fresh, b.since = running, false, time.Now()
		b.waitFor = map[string]bool{}
		if b.unit == "activating" {
			b.unit = "active"
		}
		for _, other := range b.fleet.brokers {
			delete(other.partitioned, b.Name)
		}
		b.partitioned = map[string]bool{}
		b.endBoot("")
	}
	return true
}

func (b *Broker) endBoot(failure string) {
	if b.attempt != nil {
		b.attempt.failure = failure
		close(b.attempt.done)
		b.attempt = nil
	}
}

// bootFailed ends a boot in vain: of the application, which is stopped again, or of the unit, which is tried again.
func (b *Broker) bootFailed(failure string) {
	service := b.attempt != nil && b.attempt.service
	b.app = stopped
	b.endBoot(failure)
	if service {
		b.vm = false
		b.restartLater()
	}
}

// outcome is how a boot ends: it waits, it fails, or the node runs.
func (b *Broker) outcome() (failure string, wait bool) {
	others := b.others()
	if b.full { // [inferred]
		return "Error:\n{:rabbit, {:error, {:cannot_log_to_file, ~c\"/var/log/rabbitmq\", {:error, :enospc}}}}\n", false
	}
	if len(others) == 0 {
		b.discover()
		return "", false
	}
	if b.version.Khepri {
		up := 1
		for _, other := range others {
			if other.vm && other.up && (other.app == running || other.app == booting && other.ready) && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
				up++
			}
		}
		if up <= len(b.members)/2 {
			return "", true
		}
		b.copyMembers()
		return "", false
	}
	for _, other := range others {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
			b.copyMembers()
			return "", false
		}
	}
	for _, other := range slices.Backward(others) { // it tries them all and tells of the last
		if other.runs() && b.fleet.linked(b, other) {
			return b.say("start_app-forgotten", "rabbit@rmq3", b.Name, "rabbit@rmq2", other.Name).err, false
		}
	}
	for name := range b.waitFor {
		other := b.fleet.brokers[name]
		if !b.lists(name) {
			continue
		}
		if !other.vm || !other.up || other.app != booting || !other.ready || !b.fleet.linked(b, other) || !other.lists(b.Name) {
			return "", true
		}
	}
	return "", false
}

// copyMembers takes the member list of a peer that runs: it may have changed while the node was stopped.
func (b *Broker) copyMembers() {
	for _, other := range b.others() {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
			b.members = maps.Clone(other.members)
			return
		}
	}
}

// discover lets a blank node join whom its configuration names, if one of them runs.
func (b *Broker) discover() {
	if !b.fresh {
		return
	}
	for _, name := range b.discovers {
		other := b.fleet.brokers[name]
		if other == nil || other == b || !other.runs() || !b.fleet.linked(b, other) || other.lists(b.Name) {
			continue
		}
		b.become(other, disc)
		return
	}
}

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

// begin begins a boot, which takes a while before it looks at its peers, and gives up in the end.
func (b *Broker) begin(service bool) *attempt {
	a := &attempt{done: make(chan struct{}), service: service}
	b.app, b.ready, b.attempt = booting, false, a
	b.fleet.later(b, time.Second, func() {
		if b.attempt != a {
			return
		}
		b.ready = true
	})
	b.fleet.background.Go(func() {
		timer := time.NewTimer(b.fleet.real(5 * time.Minute))
		defer timer.Stop()
		select {
		case <-a.done:
			return
		case <-b.fleet.closed:
		case <-timer.C:
		}
		b.fleet.do("", func() {
			if b.attempt != a {
				return
			}
			b.ready = true // on a busy machine this comes before what makes it ready
			if !b.tryBoot() {
				b.bootFailed("Error:\n{:rabbit, {{:timeout_waiting_for_tables, []}, {:rabbit, :start, [:normal, []]}}}\n")
			}
		})
	})
	return a
}

// startUnit starts the broker's unit, unless systemd has had enough of it.
func (b *Broker) startUnit() {
	if b.unit == "active" || b.unit == "activating" {
		return
	}
	b.starts++
	if b.version.Number == V43.Number && b.starts > 5 {
		b.unit = "failed" // start-limit-hit: sid's unit has StartLimitBurst=5
		return
	}
	b.unit, b.vm = "activating", true
	if f := b.files[cookieFile]; f == nil {
		b.writeCookie("RANDOMCOOKIE" + b.boot)
	}
	b.cookie = b.files[cookieFile].content
	b.begin(true)
}

// restartLater is systemd's Restart=on-failure.
func (b *Broker) restartLater() {
	b.unit = "auto-restart"
	b.fleet.later(b, 10*time.Second, func() {
		if b.up && b.unit == "auto-restart" {
			b.startUnit()
		}
	})
}

func (b *Broker) writeCookie(value string) {
	b.files[cookieFile] = &file{content: value, mode: "400", owner: "rabbitmq"}
}

func (b *Broker) cookieHash() string {
	sum := md5.Sum([]byte(b.cookie)) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// What the world does by itself, or an operator by hand.

// Crash kills the Erlang VM; systemd starts it again.
func (b *Broker) Crash() { b.fleet.do("", b.crash) }

func (b *Broker) crash() {
	if !b.vm {
		return
	}
	if b.app == running {
		b.noteUp()
	}
	b.vm, b.app = false, stopped
	b.part()
	b.endBoot("the node died")
	b.restartLater()
}

// PowerOff makes the host unreachable with everything on it. Its disk stays.
func (b *Broker) PowerOff() { b.fleet.do("", b.powerOff) }

func (b *Broker) powerOff() {
	if b.app == running {
		b.noteUp()
	}
	b.up, b.vm, b.app, b.unit = false, false, stopped, "inactive"
	b.part()
	b.endBoot("the node died")
	b.processes = nil
	if b.link != nil {
		b.link.Freeze() // nobody tells the other ends
	}
}

// PowerOn boots the host, and the broker with it.
func (b *Broker) PowerOn() {
	b.fleet.do("", func() {
		if !b.up {
			b.up, b.starts = true, 0
			b.boot += "b"
			b.thaw()
			b.startUnit()
		}
	})
}

// thaw resets the connections of before to a host that is back.
func (b *Broker) thaw() {
	if b.link != nil {
		b.link.Thaw(true)
	}
}

// Rebuild gives the host a new disk. When it is up, its broker starts blank, under the old name.
func (b *Broker) Rebuild() {
	b.fleet.do("", func() {
		b.part()
		b.endBoot("the node died")
		b.up, b.vm, b.app, b.unit, b.starts = true, false, stopped, "inactive", 0
		b.processes = nil
		b.thaw()
		b.boot += "r"
		b.blank()
		b.ghost = b.version.Khepri && b.fleet.random.IntN(2) == 0
		b.startUnit()
	})
}

// StopApp stops the application by hand; StopService the whole broker.
func (b *Broker) StopApp() { b.fleet.do("", b.stop) }

// StopService stops the broker cleanly.
func (b *Broker) StopService() {
	b.fleet.do("", func() {
		if b.app == running {
			b.noteUp()
		}
		b.vm, b.app, b.unit = false, stopped, "inactive"
		b.part()
		b.endBoot("the node was stopped")
	})
}

// StartApp and StartService start them by hand, without waiting.
func (b *Broker) StartApp() {
	b.fleet.do("", func() {
		if b.vm && b.app == stopped {
			b.begin(false)
		}
	})
}

// StartService starts the unit by hand.
func (b *Broker) StartService() {
	b.fleet.do("", func() {
		b.starts = 0
		b.startUnit()
	})
}

// JoinByHand makes the node a running member of another one's cluster, whatever it held.
func (b *Broker) JoinByHand(seed string, kind string) {
	b.fleet.do("", func() {
		b.leave()
		b.become(b.fleet.brokers[seed], kind)
		b.fresh = false
	})
}

// LeaveByHand takes the node out of its cluster and leaves it blank and running.
func (b *Broker) LeaveByHand() {
	b.fleet.do("", func() {
		b.leave()
		b.app, b.fresh = running, false
	})
}

// ForgetByHand makes the node forget a member.
func (b *Broker) ForgetByHand(name string) {
	b.fleet.do("", func() { b.drop(name) })
}

// Retype changes the node's type by hand.
func (b *Broker) Retype(kind string) {
	b.fleet.do("", func() {
		for _, peer := range b.peers() {
			peer.members[b.Name] = kind
		}
	})
}

// Discover is the node's peer discovery configuration.
func (b *Broker) Discover(names ...string) { b.fleet.do("", func() { b.discovers = names }) }

// SetCookie changes the cookie of file and broker by hand.
func (b *Broker) SetCookie(value string) {
	b.fleet.do("", func() {
		b.writeCookie(value)
		b.cookie = value
	})
}

// Unresolve makes the node unable to resolve a host.
func (b *Broker) Unresolve(host string) { b.fleet.do("", func() { b.unresolved = host }) }

// RemoveCookie removes the cookie file.
func (b *Broker) RemoveCookie() { b.fleet.do("", func() { delete(b.files, cookieFile) }) }

// Declare makes an object that a user would: "vhost orders", "user shop", "policy x".
func (b *Broker) Declare(object string) {
	b.fleet.do("", func() { b.store.objects = append(b.store.objects, object) })
}

// DeclareQueue makes a queue with its copies on the named members; without names, on this node.
func (b *Broker) DeclareQueue(kind, name string, messages int, on ...string) {
	b.fleet.do("", func() {
		if len(on) == 0 {
			on = []string{b.Name}
		}
		q := &queue{vhost: "/", name: name, kind: kind, messages: messages, copies: slices.Clone(on), content: map[string]int{}}
		for _, node := range on {
			q.content[node] = b.fleet.brokers[node].disk
		}
		b.store.queues = append(b.store.queues, q)
	})
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
