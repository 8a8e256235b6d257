package simulation

import (
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
	if command {
		defer c.begins()()
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
	c.reaches(node)
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

// begins notes that a command which changes something begins, and returns what notes its end.
func (c call) begins() (end func()) {
	b, f, line := c.host, c.host.fleet, c.line()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, Command{Host: b.Name, Line: strings.Join(known(c.argv), " ")})
	if c.orphan { // its process is gone, and what it asked for goes on
		return func() {}
	}
	b.processes = append(b.processes, line)
	return func() {
		f.do("", func() {
			if i := slices.Index(b.processes, line); i >= 0 {
				b.processes = slices.Delete(b.processes, i, i+1)
			}
		})
	}
}

// reaches notes that a command reaches a node.
func (c call) reaches(node *Broker) {
	c.host.fleet.do("", func() {
		if node.asked = c.at; c.orphan { // it outlives its process for as long as the fault says
			node.asked = time.Now()
		}
	})
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
	case args[0] == "force_reset" && len(args) == 1:
		return b.forceReset(), true
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
