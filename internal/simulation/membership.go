package simulation

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// What the commands do that change who is a member.

func (b *Broker) resetCommand() reply {
	f := b.fleet
	f.mu.Lock()
	if boot := b.attempt; boot != nil { // it hangs as long as the boot does (measured)
		f.mu.Unlock()
		f.wait(boot)
		f.mu.Lock()
	}
	if b.app != stopped {
		f.mu.Unlock()
		return b.say("reset-app_running")
	}
	heading := "Resetting node " + b.Name + " ...\n"
	if !b.version.Khepri && len(b.members) > 1 {
		// rabbit_mnesia:leave_cluster/0 asks the running members; without any it gives up. [inferred]
		up := slices.ContainsFunc(b.others(), func(o *Broker) bool { return o.runs() && f.linked(b, o) })
		if up && b.onlyDisc() { // [inferred]
			f.mu.Unlock()
			return reply{code: 69, out: heading, err: "Error:\n{:resetting_only_disc_node, 'You cannot reset a node when it is the only disc node in a cluster. Please convert another node of the cluster to a disc node first.'}\n"}
		}
		if slices.ContainsFunc(b.others(), func(o *Broker) bool { return o.runs() && f.linked(b, o) && o.store != b.store }) {
			f.mu.Unlock()
			f.sleep(10 * time.Second)
			return reply{code: 69, out: heading, err: "Error:\n{:cannot_start_mnesia, {:normal, {:mnesia_app, :start, [:normal, []]}}}\n"} // measured on 3.10.8
		}
		if !up {
			f.mu.Unlock()
			return reply{code: 69, out: heading, err: "Error:\n{:no_running_cluster_nodes, 'You cannot leave a cluster if no online nodes are present.'}\n"}
		}
	}
	f.mu.Unlock()
	f.sleep(quick)
	waiting := &attempt{done: make(chan struct{})}
	f.do("reset of "+b.Name, func() { b.reset = append(b.reset, waiting) })
	f.wait(waiting)
	return reply{out: heading}
}

func (b *Broker) join(args []string) (reply, bool) {
	f := b.fleet
	kind, seedName := disc, ""
	for _, arg := range args {
		switch arg {
		case "--ram":
			kind = ram
		case "--disc":
		default:
			seedName = arg
		}
	}
	names := []string{"rabbit@rmq3", b.Name, "rabbit@rmq2", seedName, "rmq2", seedName[strings.Index(seedName, "@")+1:]}
	heading := reply{out: "Clustering node " + b.Name + " with " + seedName + "\n"}
	record := func(name string) (reply, bool) {
		r := b.say(name, names...).withoutStop()
		if name == "cookie-mismatch-join" {
			r = b.say(name, "rabbit@rmq1", b.Name, "rabbit@rmq2", seedName).withoutStop()
		}
		return r, true
	}
	f.mu.Lock()
	was := b.app
	seed := f.brokers[seedName]
	khepri := b.version.Khepri
	switch {
	case seedName == b.Name:
		f.mu.Unlock()
		return b.say("join-self", "rabbit@rmq1", b.Name).withoutStop(), true
	case was == booting:
		f.mu.Unlock()
		return reply{}, false // not measured
	case kind == ram && !b.version.typed():
		f.mu.Unlock()
		return b.say("join-ram", "rabbit@rmq1", seedName), true
	case was == running && b.version.old():
		f.mu.Unlock()
		return b.say("join-app_running", "rabbit@rmq2", seedName), true
	case seed == nil || !seed.vm || !seed.up || f.cut[pair(b.Name, seedName)]:
		f.mu.Unlock()
		return record("join-target-down")
	case seed.cookie != b.cookie:
		f.mu.Unlock()
		return record("cookie-mismatch-join")
	}
	member := seed.lists(b.Name) && b.lists(seedName)
	if member && seed.app == running {
		f.violation = append(f.violation, "join of "+b.Name+", which is a member of the cluster of "+seedName+" already")
	}
	if !member && len(b.members) > 1 && !f.consent {
		f.violation = append(f.violation, "join of "+b.Name+", which is in another cluster, without consent")
	}
	f.mu.Unlock()
	f.sleep(slow)
	var result reply
	hang := time.Duration(0)
	f.do("join of "+b.Name+" to "+seedName, func() {
		switch {
		case b.full: // at the worst it is wiped already as it finds that it cannot write [inferred]
			b.leave()
			result = reply{code: 69, out: heading.out, err: "Error:\n{:error, :enospc}\n"}
		case seed.app != running && !khepri:
			result, _ = record("join-target-app_stopped")
		case seed.app != running:
			b.leave() // 4.3 wipes the joiner and then fails (measured)
			result, _ = record("join-target-app_stopped")
		case member && !khepri:
			result = b.say("join-already-member", "rabbit@rmq1", b.Name, "rabbit@rmq2", seedName).withoutStop().until("Starting node")
		case !khepri && seed.lists(b.Name):
			result = b.say("rebuild-join-still-listed", "rabbit@rmq1", seedName, "rabbit@rmq3", b.Name).withoutStop()
		case khepri && !seed.majority():
			b.leave()
			hang = 30 * time.Second
			result = reply{code: 75, out: heading.out, err: "Error:\nKhepri has timed out on node " + seedName + ".\nKhepri cluster could be in minority.\n"}
		case khepri && kind == ram:
			// 4.0 to 4.2 say so only after they wiped the joiner (rabbit_db_cluster:join/2). [inferred]
			b.leave()
			result = reply{code: 70, out: heading.out, err: "Error:\n{:error, :not_supported}\n"}
		case khepri && seed.lists(b.Name):
			content := map[*queue]int{}
			for _, q := range b.store.queues {
				content[q] = q.content[b.Name] - b.disk
			}
			again := member
			b.become(seed, disc)
			if again { // it resets and adds the node again, and nothing is lost (measured)
				for q, behind := range content {
					if behind == 0 {
						q.content[b.Name] = b.disk
					}
				}
			}
			result = heading
		default:
			b.leave()
			b.become(seed, kind)
			result = heading
		}
		if result.code == 0 && was == running && !b.version.old() {
			return // it stopped the application by itself and started it again
		}
		if result.code != 0 {
			b.app = stopped // after every failed join (measured)
		}
	})
	f.sleep(hang)
	return result, true
}

func (b *Broker) forget(name string) reply {
	f := b.fleet
	f.mu.Lock()
	other := f.brokers[name]
	refuse := func(record string, names ...string) reply {
		f.mu.Unlock()
		return b.say(record, names...)
	}
	heading := "Removing node " + name + " from the cluster\n"
	switch {
	case b.app != running:
		if b.version.old() {
			r := refuse("forget-app_stopped-from-itself")
			r.out = heading
			return r
		}
		r := refuse("forget-app_stopped-from-itself", "rabbit@rmq1", b.Name)
		r.out = heading
		return r
	case name == b.Name:
		return refuse("forget-self", "rabbit@rmq1", b.Name)
	case !b.lists(name):
		return refuse("forget-not-a-member", "rabbit@rmq3", name)
	case other.runs() && f.linked(b, other) && (b.version.Khepri || other.lists(b.Name)):
		if b.asked.Sub(other.since) > f.real(time.Minute) { // else it began to run after the last look
			f.violation = append(f.violation, "forget of "+name+", which runs")
		}
		return refuse("forget-running", "rabbit@rmq3", name)
	}
	// Mnesia while a blank node of the name runs: not measured on all versions; it is refused as a running one is.
	if other.runs() && f.linked(b, other) {
		return refuse("forget-running", "rabbit@rmq3", name)
	}
	reachable := other.vm && other.up && f.linked(b, other) && other.lists(b.Name) && other.store == b.store
	up := len(b.peers())
	if reachable {
		up++ // it is asked to leave by itself, for which its Raft member votes
	}
	short := b.version.Khepri && up <= len(b.members)/2
	f.mu.Unlock()
	if short {
		f.sleep(time.Minute)
		return b.say("minority-forget_cluster_node", "rabbit@rmq3", name, "rabbit@rmq1", b.Name)
	}
	f.sleep(quick)
	var late reply
	f.do("forget_cluster_node "+name+" on "+b.Name, func() {
		if other.runs() && f.linked(b, other) {
			late = b.say("forget-running", "rabbit@rmq3", name)
			return
		}
		if other.runs() && other.store == b.store && other.lists(b.Name) {
			if f.split = f.split || other.frozen > 0; !f.split {
				f.violation = append(f.violation, "forgot "+name+", which runs and counts itself as a member")
			}
		}
		if b.version.Khepri && other.vm && other.up && f.linked(b, other) && !other.lists(b.Name) {
			return // it is asked to leave by itself, and has nothing to leave: success, and no effect (measured on 4.3)
		}
		b.drop(name)
		if b.version.Khepri && reachable {
			other.blank() // it resets a target that it reaches (measured)
		}
	})
	if late.code != 0 {
		return late
	}
	return reply{out: heading}
}

func (b *Broker) changeType(kind string) (reply, bool) {
	f := b.fleet
	if kind == "disk" {
		kind = disc
	}
	if !b.version.typed() {
		return b.say("change_type-ram"), true
	}
	if b.version.Khepri {
		return reply{}, false // not measured
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case kind != disc && kind != ram:
		return b.say("change_type-bad"), true
	case b.app != stopped:
		return b.say("change_type-app_running"), true
	case b.members[b.Name] == kind:
		return reply{out: "Turning " + b.Name + " into a " + kind + " node\nNode type is already " + kind + "\n"}, true
	}
	peers := slices.DeleteFunc(b.others(), func(o *Broker) bool { return !o.runs() || !f.linked(b, o) || !o.lists(b.Name) || o.store != b.store })
	if len(peers) == 0 {
		return reply{code: 69, err: "Error:\n{:not_clustered, 'Non-clustered nodes can only be disc nodes.'}\n"}, true
	}
	f.change("change_cluster_node_type on "+b.Name, func() {
		for _, peer := range peers[0].peers() {
			peer.members[b.Name] = kind
		}
		b.members = maps.Clone(peers[0].members)
	})
	return reply{out: "Turning " + b.Name + " into a " + map[string]string{disc: "disk", ram: ram}[kind] + " node\n"}, true
}

// forceReset makes the node blank without a word to anybody; its peers go on listing it.
func (b *Broker) forceReset() reply {
	f := b.fleet
	heading := "Forcefully resetting node " + b.Name + " ...\n"
	f.mu.Lock()
	stays := b.app != stopped
	f.mu.Unlock()
	if stays {
		return b.say("reset-app_running")
	}
	f.sleep(quick)
	f.do("force_reset of "+b.Name, b.blank)
	return reply{out: heading}
}
