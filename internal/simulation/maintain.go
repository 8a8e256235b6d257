package simulation

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Maintenance: draining and reviving, the checks before a stop, restarts of the unit, and replicas that catch up after it.

const (
	// catchUp is how long a node's replicas lack what was written while it was away [inferred].
	catchUp = 6 * time.Second
	// unseen is how long the others do not see a node yet whose unit was restarted and is active [inferred].
	unseen = 2 * time.Second
)

const requiresApp = "Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.\n"

// maintenance is the node's status in RabbitMQ's word.
func (b *Broker) maintenance() string {
	if b.drained {
		return "draining"
	}
	return "regular"
}

// drain puts the node into maintenance, or takes it out.
func (b *Broker) drain(yes bool) reply {
	f := b.fleet
	f.mu.Lock()
	runs, lacks := b.app == running, b.noMaintenance
	f.mu.Unlock()
	record, verb := "revive", "revive"
	if yes {
		record, verb = "drain", "drain"
	}
	switch {
	case lacks: // before 3.8.8
		return b.say("err-unknown-command", "change_cluster_node_typo", verb)
	case !runs:
		return reply{code: 64, err: requiresApp}
	}
	f.sleep(quick)
	f.do(verb+" of "+b.Name, func() { b.drained = yes && !b.revives })
	return b.say(record, "rabbit@rmq3", b.Name)
}

// quorumCritical is check_if_node_is_quorum_critical: queues with a replica here and no more running ones than they need.
func (b *Broker) quorumCritical() reply {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	switch {
	case b.app != running:
		return b.say("quorum_critical-app_stopped")
	case len(b.members) == 1:
		return b.say("quorum_critical-single")
	case b.drained: // its leaders are elsewhere, so it counts for nothing
		return b.say("quorum_critical-pass")
	}
	critical := b.critical()
	if len(critical) == 0 {
		return b.say("quorum_critical-pass")
	}
	queues := make([]map[string]string, len(critical))
	for i, name := range critical {
		queues[i] = map[string]string{"name": name, "readable_name": name, "type": "rabbit_quorum_queue", "virtual_host": "/"}
	}
	line, err := json.Marshal(map[string]any{"message": "Node " + b.Name + " reported local queues with minimum online quorum", "queues": queues, "result": "error"})
	if err != nil {
		panic(err)
	}
	return reply{code: 69, err: string(line) + "\n"}
}

// critical names what would have no majority without this node.
func (b *Broker) critical() []string {
	var all []string
	for _, q := range b.store.queues {
		if q.kind != "quorum" || !slices.Contains(q.copies, b.Name) {
			continue
		}
		up := 0
		for _, peer := range b.peers() {
			if slices.Contains(q.copies, peer.Name) && q.content[peer.Name] == peer.disk {
				up++
			}
		}
		if up <= len(q.copies)/2+1 {
			all = append(all, fmt.Sprintf("queue '%s' in vhost '%s'", q.name, q.vhost))
		}
	}
	if b.version.Khepri && len(b.peers()) <= len(b.members)/2+1 {
		all = append(all, "rabbitmq_metadata")
	}
	return all
}

// restartUnit is systemctl restart: it returns when the boot ended, and fails with it.
func (b *Broker) restartUnit(line string) reply {
	f := b.fleet
	f.mu.Lock()
	f.commands = append(f.commands, Command{Host: b.Name, Line: line})
	detached := b.detached
	f.mu.Unlock()
	if detached { // the unit runs something else
		return reply{}
	}
	var boot *attempt
	f.do("systemctl restart on "+b.Name, func() {
		b.mayRestart()
		b.stopUnit()
		b.startUnit()
		boot, b.restarted = b.attempt, true
	})
	f.wait(boot)
	if boot.failure != "" {
		return reply{code: 1, err: "Job for rabbitmq-server.service failed because the control process exited with error code.\n"}
	}
	return reply{}
}

// mayRestart holds a restart against what must never happen by it: that two are down, that a majority is lost for that
// time, that a node goes before the last one has caught up.
func (b *Broker) mayRestart() {
	for _, other := range b.others() {
		if !other.runs() {
			b.fleet.violation = append(b.fleet.violation, fmt.Sprintf("restart of %s while %s does not run", b.Name, other.Name))
		}
		if other.runs() && other.catchesUp() && len(other.lag()) > 0 {
			b.fleet.violation = append(b.fleet.violation, fmt.Sprintf("restart of %s while replicas on %s are behind", b.Name, other.Name))
		}
	}
	if critical := b.critical(); b.runs() && len(b.members) > 1 && !b.drained && len(critical) > 0 {
		b.fleet.violation = append(b.fleet.violation, fmt.Sprintf("restart of %s, which is needed for %v", b.Name, critical))
	}
}

// stopUnit ends the broker cleanly; whoever asked for it in maintenance is out of it (measured).
func (b *Broker) stopUnit() {
	if b.app == running {
		b.noteUp()
	}
	b.vm, b.app, b.unit, b.drained = false, stopped, "inactive", false
	b.part()
	b.endBoot("the node was stopped")
}

// hidden tells whether the others do not see the node yet.
func (b *Broker) hidden() bool { return b.restarted && time.Since(b.since) < b.fleet.real(unseen) }

// catchesUp tells whether the node's replicas lack what was written while it was away.
func (b *Broker) catchesUp() bool { return b.restarted && time.Since(b.since) < b.fleet.real(catchUp) }

// lag is how far the node's replicas of quorum queues and streams are behind their leaders. One of a queue that is
// written to is always one entry behind.
func (b *Broker) lag() []any {
	all := []any{}
	for _, q := range b.store.queues {
		if q.kind == "classic" || !slices.Contains(q.copies, b.Name) {
			continue
		}
		leader := q.messages
		if !q.busy.IsZero() {
			leader += int(time.Since(q.busy) / b.fleet.real(time.Second))
		}
		has := leader
		switch {
		case b.catchesUp():
			has = -1
		case !q.busy.IsZero():
			has--
		}
		all = append(all, map[string]any{"vhost": q.vhost, "name": q.name, "has": has, "leader": leader})
	}
	return all
}

// overview is what the node tells of all members that run.
func (b *Broker) overview(running []string) map[string]any {
	members := []any{}
	for _, name := range running {
		peer := b.fleet.brokers[name]
		members = append(members, map[string]any{
			"node": name, "version": peer.version.Number, "erlang": peer.version.OTP, "maintenance": peer.maintenance(),
			"uptime": int64(time.Since(peer.born) / b.fleet.real(time.Second)), "listeners": []any{},
		})
	}
	return map[string]any{"members": members, "alarms": []any{}, "feature_flags": map[string]string{}}
}

// rebalance spreads leaders, which are not simulated.
func (b *Broker) rebalance() reply {
	b.fleet.mu.Lock()
	runs := b.app == running
	b.fleet.mu.Unlock()
	if !runs {
		return reply{code: 64, err: requiresApp}
	}
	b.fleet.sleep(quick)
	return reply{out: "Rebalancing...\n"} // a table follows, which nobody reads
}

// forceBoot makes the next start of a stopped node wait for nobody.
func (b *Broker) forceBoot() reply {
	f := b.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.app == running {
		return b.say("force_boot-app_running")
	}
	r := b.say("force_boot-down")
	if r.code == 0 && !b.version.Khepri { // on Khepri it has no effect (measured)
		b.waitFor = map[string]bool{}
	}
	return r
}
