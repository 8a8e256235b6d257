package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	CutBefore  Kind = "cut before"  // the connection ends, and the command never began
	CutDuring  Kind = "cut during"  // the connection ends, and the command goes on for a while
	CutAfter   Kind = "cut after"   // the command ended, its exit code is lost with the connection
	Hang       Kind = "hang"        // the command takes minutes, and its connection stays
	Slow       Kind = "slow"        // the command takes some seconds more
	Fails      Kind = "fails"       // the command fails without an effect, in RabbitMQ's words
	AppStops   Kind = "app stops"   // somebody stops the application as the command begins
	Crashes    Kind = "crash"       // the Erlang VM of the host dies as the command begins
	CrashAfter Kind = "crash after" // and as it ended
	PowerCut   Kind = "power cut"   // the host dies as the command begins; its disk stays
	NoSudo     Kind = "no sudo"     // sudo wants a password, once
	Parted     Kind = "parted"      // the host's broker is cut off from the others as the command begins; SSH is not
	Refused    Kind = "refused"     // the connection ends, and the host takes no other for a while
	CutOutput  Kind = "cut output"  // the command ended, and the connection ends in the middle of what it printed
	CutBytes   Kind = "cut bytes"   // the connection ends after some more bytes of SSH, whatever they are
	KillBefore Kind = "kill before" // the provider's process is killed, and the command never began
	KillDuring Kind = "kill during" // it is killed, and the command goes on for a while
	KillAfter  Kind = "kill after"  // it is killed as the command ended, before it hears of it
	Freezes    Kind = "freeze"      // the host stands still for minutes, with all its connections, and then goes on
	FullDisk   Kind = "full disk"   // the host's disk is full from the begin of the command on
	Orphaned   Kind = "cli dies"    // the connection ends, the command's process is killed, and what it asked a node for goes on
	ClockJump  Kind = "clock jump"  // by the clocks an hour passes between the command's end and its answer
)

// Kinds are all kinds of faults.
var Kinds = []Kind{
	CutBefore, CutDuring, CutAfter, Hang, Slow, Fails, AppStops, Crashes, CrashAfter, PowerCut, NoSudo, Parted, Refused,
	CutOutput, CutBytes, KillBefore, KillDuring, KillAfter, Freezes, FullDisk, ClockJump, Orphaned,
}

// Fault goes wrong once, at the At-th command (from 1) on a host (empty: any host) that has Word among its words (empty:
// any command). Bytes is where the connection ends, for the kinds that end it at a byte; with At 0 CutBytes counts from
// now on, so that it can meet a handshake. For a host that freezes, and a command that outlives its process, it is how many
// seconds more that takes.
type Fault struct {
	Kind  Kind
	Host  string
	Word  string
	At    int
	Bytes int

	seen   int
	struck bool
}

// String says the fault so that it can be written down and read.
func (f *Fault) String() string {
	return fmt.Sprintf("%s at command %d with %q on %q", f.Kind, f.At, f.Word, f.Host)
}

// Inject plans faults.
func (f *Fleet) Inject(faults ...*Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		if b := f.brokers[fault.Host]; fault.At == 0 && fault.Kind == CutBytes && b != nil && b.link != nil {
			fault.struck = true
			b.link.BreakAfter(fault.Bytes, func() { f.struck("a connection: " + string(CutBytes)) })
		}
	}
	f.faults = append(f.faults, faults...)
}

// struck notes where a fault struck.
func (f *Fleet) struck(point string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points[point] = true
	f.strikes++
}

// ClearFaults ends all that are planned.
func (f *Fleet) ClearFaults() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
	for _, b := range f.brokers {
		b.full = false
		if b.link != nil {
			b.link.BreakAfter(-1, nil)
			if b.up {
				b.link.Thaw(false)
			}
		}
	}
}

// Points are the distinct places at which faults struck: what went wrong with which command.
func (f *Fleet) Points() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for p := range f.points {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// strike tells which planned fault a command meets.
func (f *Fleet) strike(b *Broker, argv []string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.faults {
		if fault.struck || (fault.Host != "" && fault.Host != b.Name) || !fault.meets(argv) {
			continue
		}
		if fault.seen++; fault.seen < fault.At {
			continue
		}
		fault.struck = true
		f.strikes++
		f.points[fmt.Sprintf("%s: %s", verb(argv), fault.Kind)] = true
		return fault
	}
	return nil
}

// meets tells whether a command has the fault's word: among its words, or, for a function of Erlang, in what it evaluates.
// "eval" is whatever evaluates something.
func (f *Fault) meets(argv []string) bool {
	return f.Word == "" || slices.Contains(known(argv), f.Word) || f.Word == "eval" && argv[0] == erlCall && slices.Contains(argv, "-e") ||
		strings.Contains(f.Word, ":") && slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, f.Word) })
}

// verb is the part of a command that says what it does.
func verb(argv []string) string {
	for i, arg := range known(argv) {
		switch {
		case slices.Contains(changing, arg), arg == "eval", arg == "reset-failed", arg == "start", arg == "test", arg == "journalctl":
			return arg
		case arg == "-s" && i > 0:
			return "script"
		}
	}
	return argv[0]
}

// happen is what becomes of a command that meets the fault.
func (f *Fault) happen(ctx context.Context, b *Broker, c call) outcome {
	fleet := b.fleet
	late := func(d time.Duration) {
		// The CLI's process is there from the beginning; what it asked for takes effect in the end.
		line := c.line()
		listed := slices.ContainsFunc(changing, func(word string) bool { return slices.Contains(known(c.argv), word) })
		if rotates := strings.Contains(line, "erlang:set_cookie("); rotates {
			listed, line = true, line[strings.Index(line, "rabbitmqctl "):]
		}
		fleet.mu.Lock()
		if listed {
			b.processes = append(b.processes, line)
		}
		b.pending++
		boot := b.boot
		fleet.mu.Unlock()
		end := c.goesOn()
		fleet.background.Go(func() {
			fleet.sleep(d)
			end()
			fleet.mu.Lock()
			there := b.up && b.boot == boot // else its process ended with the host
			fleet.mu.Unlock()
			if there {
				c.run()
			}
			fleet.do("", func() {
				b.pending--
				if i := slices.Index(b.processes, line); listed && i >= 0 {
					b.processes = slices.Delete(b.processes, i, i+1)
				}
			})
		})
	}
	switch f.Kind {
	case CutBefore:
		return outcome{cut: true}
	case CutDuring:
		late(time.Duration(2+len(c.line())%30) * time.Second)
		return outcome{cut: true}
	case CutAfter:
		c.run()
		return outcome{cut: true}
	case Hang:
		late(3 * time.Minute)
		select {
		case <-ctx.Done():
		case <-fleet.closed:
		}
		return outcome{cut: true}
	case Slow:
		fleet.sleep(8 * time.Second)
	case Fails:
		if strings.HasPrefix(c.argv[0], "rabbitmq") {
			return outcome{reply: reply{code: 69, err: "Error:\n{:badrpc, {:EXIT, {:simulated_failure, []}}}\n"}}
		}
		if c.argv[0] == erlCall && slices.Contains(c.argv, "-a") {
			return outcome{reply: reply{out: "{badrpc, {'EXIT', {simulated_failure, []}}}"}}
		}
		return outcome{reply: reply{code: 1, err: "cannot fork: Resource temporarily unavailable\n"}}
	case AppStops:
		if b.alive() {
			b.StopApp()
		}
	case Crashes:
		b.Crash()
	case CrashAfter:
		r := c.run()
		b.Crash()
		return outcome{reply: r}
	case PowerCut:
		b.PowerOff()
		return outcome{cut: true}
	case NoSudo:
		if c.user != login {
			return outcome{reply: reply{code: 1, err: "sudo: a password is required\n"}}
		}
	case Parted:
		fleet.Part(b.Name)
	case CutOutput:
		r := c.run()
		r.out = r.out[:len(r.out)*(f.Bytes%100)/100]
		return outcome{reply: r, cut: true}
	case CutBytes:
		if b.link == nil {
			return outcome{cut: true}
		}
		b.link.BreakAfter(f.Bytes, nil)
	case KillBefore:
		fleet.kill()
		return outcome{cut: true}
	case Orphaned:
		b.orphan(c, time.Duration(2+len(c.line())%30+f.Bytes)*time.Second)
		return outcome{cut: true}
	case KillDuring:
		late(time.Duration(2+len(c.line())%30) * time.Second)
		fleet.kill()
		return outcome{cut: true}
	case KillAfter:
		c.run()
		fleet.kill()
		return outcome{cut: true}
	case Freezes:
		fleet.freeze(b, time.Duration(20+f.Bytes)*time.Second)
	case FullDisk:
		fleet.do("", func() { b.full = true })
	case ClockJump:
		r := c.run()
		fleet.sleep(time.Hour)
		return outcome{reply: r}
	case Refused:
		fleet.do("", func() {
			b.shut = true
			fleet.later(b, 20*time.Second, func() { b.shut = false })
		})
		return outcome{cut: true}
	}
	return outcome{reply: c.run()}
}

// target is the node that a call of RabbitMQ's tools is about, and what it changes there; empty when it changes nothing.
func (c call) target() (node *Broker, command string) {
	node = c.host
	if at := slices.IndexFunc(c.argv, func(arg string) bool { return arg == "-n" || arg == "-sname" || arg == "-name" }); at >= 0 && c.host.fleet.brokers[c.argv[at+1]] != nil {
		node = c.host.fleet.brokers[c.argv[at+1]]
	}
	words := known(c.argv)
	if i := slices.IndexFunc(words, func(arg string) bool { return slices.Contains(changing, arg) }); i >= 0 {
		command = words[i]
	}
	return node, command
}

// goesOn notes that the node carries the command out, until that is ended.
func (c call) goesOn() (end func()) {
	node, command := c.target()
	if command == "" {
		return func() {}
	}
	return c.host.fleet.carriesOut(node.Name, command)
}

// orphan lets a node carry out what a command asked for whose process is gone: only the node itself tells of it.
func (b *Broker) orphan(c call, d time.Duration) {
	f := b.fleet
	node, command := c.target()
	if command == "" {
		return // what only reads is of no account
	}
	what := command + " for rabbitmqcli-1-rabbit@" + b.Name
	if c.argv[0] == erlCall {
		what = command + " for " + node.Name
	}
	f.do("", func() {
		node.underWay = append(node.underWay, what)
		node.pending++
	})
	c.orphan = true
	end := c.goesOn()
	f.background.Go(func() {
		f.sleep(d)
		end()
		c.run()
		f.do("", func() {
			node.pending--
			if i := slices.Index(node.underWay, what); i >= 0 {
				node.underWay = slices.Delete(node.underWay, i, i+1)
			}
		})
	})
}

// freeze lets a host stand still for a while, with everything on it.
func (f *Fleet) freeze(b *Broker, d time.Duration) {
	f.Part(b.Name)
	if b.link != nil {
		b.link.Freeze()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b.frozen++
	f.later(b, d, func() {
		b.frozen--
		f.mend(func(ends [2]string) bool { return ends[0] == b.Name || ends[1] == b.Name })
		if b.link != nil && b.up {
			b.link.Thaw(false)
		}
	})
}

// login is the account that the product logs in with.
const login = "deploy"
