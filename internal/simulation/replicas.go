package simulation

import (
	"regexp"
	"slices"
	"time"
)

// What the commands do that change where replicas of queues are.

// streamsOf is the expression that takes a member out of the streams.
var streamsOf = regexp.MustCompile(`list_to_atom\("([^"]+)"\), \[catch rabbit_stream_queue:delete_replica`)

// shrink takes the replicas off a node, of those queues of a kind that have a majority to decide it.
func (b *Broker) shrink(kind, name string) reply {
	f := b.fleet
	f.mu.Lock()
	state := b.app
	f.mu.Unlock()
	if state != running {
		return reply{code: 64, err: "Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.\n"}
	}
	f.sleep(quick)
	f.do("shrink of "+kind+" queues off "+name+" on "+b.Name, func() {
		for _, q := range b.store.queues {
			if q.kind != kind || len(q.copies) == 1 || !slices.Contains(q.copies, name) || !b.decides(q) {
				continue
			}
			q.copies = slices.DeleteFunc(q.copies, func(node string) bool { return node == name })
		}
	})
	return reply{out: "Shrinking quorum queues on " + name + "...\n"}
}

// grow gives queues of a kind, or one of a name, a replica on a node: those with a majority to decide it.
func (b *Broker) grow(name, kind, only string) reply {
	f := b.fleet
	f.mu.Lock()
	state, there := b.app, f.brokers[name].runs() && b.lists(name)
	f.mu.Unlock()
	switch {
	case state != running:
		return reply{code: 64, err: "Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.\n"}
	case !there:
		return reply{code: 69, err: "Error:\n{:error, :node_not_running}\n"}
	}
	f.sleep(quick)
	f.do("grow of "+kind+" queues onto "+name+" on "+b.Name, func() {
		for _, q := range b.store.queues {
			if q.kind == kind && (only == "" || q.name == only) && !slices.Contains(q.copies, name) && b.decides(q) && !time.Now().Before(q.changing) && b.stable(q) {
				q.copies = append(q.copies, name)
				q.content[name] = f.brokers[name].disk
			}
		}
	})
	return reply{out: "Growing all " + kind + " queues on " + name + "...\n"}
}

// stable tells whether a queue takes another replica: since 4.3 a quorum queue does not while one of its own does not run
// ("non_stable_members", measured).
func (b *Broker) stable(q *queue) bool {
	up := b.peers()
	return b.version.typed() || q.kind != "quorum" || !slices.ContainsFunc(q.copies, func(node string) bool {
		return !slices.ContainsFunc(up, func(peer *Broker) bool { return peer.Name == node })
	})
}

// lame are the replicas of a quorum queue on running nodes that do not work, because they are too few: here, none that is
// left leads.
func (b *Broker) lame(q *queue) []string {
	left := []string{}
	for _, peer := range b.peers() {
		if q.kind == "quorum" && slices.Contains(q.copies, peer.Name) {
			left = append(left, peer.Name)
		}
	}
	if 2*len(left) > len(q.copies) {
		return []string{}
	}
	return left
}

// decides tells whether a majority of a queue's replicas runs, which every change of its replicas needs.
func (b *Broker) decides(q *queue) bool {
	if time.Now().Before(q.electing) {
		return false
	}
	up := 0
	for _, peer := range b.peers() {
		if slices.Contains(q.copies, peer.Name) && q.content[peer.Name] == peer.disk {
			up++
		}
	}
	return up > len(q.copies)/2
}
