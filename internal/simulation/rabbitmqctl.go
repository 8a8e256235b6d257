package simulation

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// changing are the commands that change something. Their beginning is recorded, and the host's process list shows them.
var changing = []string{
	"stop", "stop_app", "start_app", "join_cluster", "forget_cluster_node", "reset", "force_reset", "change_cluster_node_type",
	"set_cluster_name", "shrink", "grow", "add_replica", "drain", "revive", "rebalance", "force_boot",
}

// rabbitmqctl runs one of RabbitMQ's command-line tools.
func (c call) rabbitmqctl() reply {
	b, f := c.host, c.host.fleet
	target, quiet, args := b.Name, false, []string{}
	for rest := c.argv[1:]; len(rest) > 0; rest = rest[1:] {
		switch {
		case rest[0] == "-n" && len(rest) > 1:
			target, rest = rest[1], rest[1:]
		case rest[0] == "--script-name" && len(rest) > 2 && rest[1] == "rabbitmq-streams" && rest[2] == "add_replica":
			rest = rest[1:] // Debian has no rabbitmq-streams (3.10.8)
		case rest[0] == "-q" || rest[0] == "-s":
			quiet = true
		case rest[0] == "--longnames" && strings.Contains(target[strings.Index(target, "@"):], "."):
		default:
			args = append(args, rest[0])
		}
	}
	if len(args) == 0 {
		return b.unknown("%s", c.line()).reply
	}
	command := slices.Contains(changing, args[0])
	if args[0] == "version" && len(args) == 1 { // it talks to no node
		return reply{out: b.version.Number + "\n"}
	}
	if command && c.orphan { // its process is gone, and what it asked for goes on
		f.mu.Lock()
		f.commands = append(f.commands, Command{Host: b.Name, Line: c.line()})
		f.mu.Unlock()
	} else if command {
		line := c.line()
		f.mu.Lock()
		b.processes = append(b.processes, line)
		f.commands = append(f.commands, Command{Host: b.Name, Line: line})
		f.mu.Unlock()
		defer f.do("", func() {
			if i := slices.Index(b.processes, line); i >= 0 {
				b.processes = slices.Delete(b.processes, i, i+1)
			}
		})
	}
	f.mu.Lock()
	node, astray := f.brokers[target], false
	if machine, leads := b.astray[target]; leads {
		node, astray = f.brokers[machine], true
	}
	if b.files[cookieFile] == nil {
		b.writeCookie("RANDOMCOOKIE" + b.boot) // the CLI makes one (measured)
	}
	failure, failed := b.cannotReach(node, target, args[0] == "force_boot")
	f.mu.Unlock()
	if command {
		f.sleep(quick)
	}
	if failed {
		return failure
	}
	f.do("", func() {
		if node.asked = c.at; c.orphan { // it outlives its process for as long as the fault says
			node.asked = time.Now()
		}
	})
	if command {
		defer f.carriesOut(node.Name, args[0])()
	}
	if args[0] == "force_boot" {
		return node.forceBoot()
	}
	r, known := node.command(args)
	if astray { // another machine, where a node of the same name runs
		r.out = strings.ReplaceAll(r.out, `"node":"`+node.Name+`"`, `"node":"`+target+`"`)
	}
	if !known {
		return b.unknown("%s", c.line()).reply
	}
	if quiet && args[0] != "eval" {
		r.out = ""
	}
	return r
}

// erlCall evaluates what stands in its input on a node. It boots nothing, makes no cookie file, and on any failure says
// little.
func (c call) erlCall() reply {
	b, f := c.host, c.host.fleet
	if len(c.argv) != 7 || c.argv[1] != "-r" || c.argv[2] != "-sname" && c.argv[2] != "-name" || c.user != "rabbitmq" {
		return b.unknown("%s", c.line()).reply
	}
	target := c.argv[3]
	f.mu.Lock()
	node, astray := f.brokers[target], false
	if machine, leads := b.astray[target]; leads {
		node, astray = f.brokers[machine], true
	}
	failed := b.files[cookieFile] == nil || !strings.HasSuffix(c.stdin, ".\n") // the connection ended before all of it came
	if !failed {
		_, failed = b.cannotReach(node, target, false)
	}
	f.mu.Unlock()
	if failed {
		return reply{code: 1, err: "erl_call: failed to connect to node " + target + "\n"}
	}
	r, known := node.eval(c.stdin)
	if !known {
		return b.unknown("an expression for erl_call: %.80s", c.stdin).reply
	}
	if astray {
		r.out = strings.ReplaceAll(r.out, `"node":"`+node.Name+`"`, `"node":"`+target+`"`)
	}
	return r
}

// cannotReach says why the CLI on this host does not reach a node.
func (b *Broker) cannotReach(node *Broker, target string, offline bool) (reply, bool) {
	switch {
	case node == nil:
		return b.say("eval-dead", "rabbit@rmq1", target, "rmq1", target[strings.Index(target, "@")+1:]), true
	case (!node.vm || !node.up) && !offline || b.fleet.cut[pair(b.Name, target)]:
		return b.say("eval-dead", "rabbit@rmq1", target, "rmq1", target[strings.Index(target, "@")+1:]), true
	case b.files[cookieFile].content != node.cookie:
		return b.say("cookie-file-differs-eval", "rabbit@rmq3", target, "rmq3", target[strings.Index(target, "@")+1:]), true
	}
	return reply{}, false
}

// command is a command to a node that is reached.
func (b *Broker) command(args []string) (reply, bool) {
	switch {
	case args[0] == "eval" && len(args) == 2:
		if leaver := streamsOf.FindStringSubmatch(args[1]); leaver != nil {
			return b.shrink("stream", leaver[1]), true
		}
		return b.eval(args[1])
	case args[0] == "ping" && len(args) == 1:
		return b.say("ping-ok", "rabbit@rmq1", b.Name), true
	case args[0] == "stop_app" && len(args) == 1:
		return b.stopApp(), true
	case args[0] == "start_app" && len(args) == 1:
		return b.startApp(), true
	case args[0] == "stop" && len(args) == 1:
		b.fleet.sleep(quick)
		b.fleet.do("stop on "+b.Name, b.stopUnit)
		return reply{}, true
	case args[0] == "reset" && len(args) == 1:
		return b.resetCommand(), true
	case args[0] == "join_cluster" && len(args) >= 2:
		return b.join(args[1:])
	case args[0] == "forget_cluster_node" && len(args) == 2:
		return b.forget(args[1]), true
	case args[0] == "change_cluster_node_type" && len(args) == 2:
		return b.changeType(args[1])
	case args[0] == "set_cluster_name" && len(args) == 2:
		return b.setName(args[1]), true
	case args[0] == "shrink" && len(args) == 2:
		return b.shrink("quorum", args[1]), true
	case args[0] == "grow" && len(args) == 3 && args[2] == "all":
		return b.grow(args[1], "quorum", ""), true
	case args[0] == "drain" && len(args) == 1, args[0] == "revive" && len(args) == 1:
		return b.drain(args[0] == "drain"), true
	case args[0] == "check_if_node_is_quorum_critical" && len(args) == 3:
		return b.quorumCritical(), true
	case args[0] == "check_if_node_is_mirror_sync_critical" && len(args) == 3:
		if !b.version.old() {
			return b.say("err-unknown-command", "change_cluster_node_typo", args[0]), true
		}
		return b.say("quorum_critical-pass"), true // there are no mirrors here
	case args[0] == "rebalance" && len(args) >= 2:
		return b.rebalance(), true
	case args[0] == "add_replica" && len(args) == 5 && args[1] == "--vhost":
		return b.grow(args[4], "stream", args[3]), true
	}
	return reply{}, false
}

func (b *Broker) stopApp() reply {
	f := b.fleet
	f.mu.Lock()
	boot := b.attempt
	minority := b.app == running && !b.majority()
	f.mu.Unlock()
	if boot != nil { // it blocks until the boot ends (measured: 288 s)
		f.wait(boot)
	}
	if minority {
		f.sleep(30 * time.Second)
	}
	f.sleep(quick)
	f.do("stop_app on "+b.Name, func() {
		if b.app == running {
			b.stop()
		}
	})
	return b.say("stop_app-idempotent", "rabbit@rmq1", b.Name)
}

func (b *Broker) startApp() reply {
	f := b.fleet
	good := b.say("start_app-idempotent", "rabbit@rmq1", b.Name)
	f.mu.Lock()
	boot := b.attempt
	if b.app == running || !b.vm {
		f.mu.Unlock()
		return good
	}
	if boot == nil {
		boot = b.begin(false)
	}
	f.mu.Unlock()
	f.wait(boot)
	if boot.failure != "" {
		return reply{code: 69, out: good.out, err: boot.failure}
	}
	return good
}

func (f *Fleet) wait(a *attempt) {
	select {
	case <-a.done:
	case <-f.closed:
	}
}

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

func (b *Broker) setName(name string) reply {
	f := b.fleet
	f.mu.Lock()
	state, short := b.app, !b.majority()
	f.mu.Unlock()
	if state != running {
		return reply{code: 64, err: "Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.\n"}
	}
	if short {
		f.sleep(30 * time.Second)
		return b.say("minority-set_cluster_name")
	}
	f.do("set_cluster_name on "+b.Name, func() { b.store.name = name })
	return reply{out: "Setting cluster name to " + name + " ...\n"}
}

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
