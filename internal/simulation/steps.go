package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a step of a story does, and what it looks at.

func (t *teller) step(ctx context.Context, words []string) error {
	f := t.fleet
	var b *Broker
	if len(words) > 1 && f.brokers[words[1]] != nil {
		b = f.Broker(words[1])
	}
	switch words[0] {
	case "stop-app":
		if b.alive() {
			b.StopApp()
		}
	case "stop-service":
		if b.alive() {
			b.StopService()
		}
	case "crash":
		b.Crash()
	case "power-off":
		b.PowerOff()
	case "power-on":
		b.PowerOn()
	case "rebuild":
		b.Rebuild()
	case "start-app":
		b.StartApp()
	case "start-service":
		b.StartService()
	case "part":
		f.Part(b.Name)
	case "mend":
		f.Mend()
	case "rest":
		f.Rest()
	case "discover":
		b.Discover(words[2:]...)
	case "cookie":
		b.SetCookie(words[2])
	case "unresolved":
		b.Unresolve(words[2])
	case "upgrade":
		f.do("", func() { b.version = V43 })
	case "detach":
		b.Detach()
	case "lose-unit":
		b.LoseUnit()
	case "lack-maintenance":
		b.LackMaintenance()
	case "revive-always":
		b.ReviveAlways()
	case "drain-at-boot":
		b.DrainAtBoot()
	case "write":
		f.Write(words[1])
	case "elect":
		f.Elect(words[1], time.Minute+30*time.Second)
	case "change":
		f.Change(words[1], 20*time.Second)
	case "lock":
		b.Lock("by root@elsewhere, process 7, since noon")
	case "shut", "open":
		b.Shut(words[0] == "shut")
	case "nat":
		f.do("", func() { b.nat = true })
	case "astray": // a name leads to another machine, or to none
		f.do("", func() { b.astray[words[2]] = strings.Join(words[3:], "") })
	case "meanwhile": // after a while, a step that only changes the world
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		f.background.Go(func() {
			f.sleep(d)
			_ = t.step(ctx, words[2:])
		})
	case "kill":
		f.kill()
	case "unlock":
		b.Lock("")
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		f.sleep(d)
	case "retype":
		b.Retype(words[2])
	case "join":
		if seed := f.Broker(words[2]); b != seed && b.alone() && seed.alive() && seed.strong() {
			b.JoinByHand(seed.Name, disc)
		}
	case "leave":
		if b.alive() && !b.alone() && b.strong() && !b.lastDisc() {
			b.LeaveByHand()
		}
	case "forget":
		b.ForgetByHand(words[2])
	case "declare":
		if b.alive() {
			b.Declare(strings.Replace(words[2], ":", " ", 1))
		}
	case "queue":
		if b.alive() {
			copies, err := strconv.Atoi(words[4])
			if err != nil {
				return err
			}
			on := b.seen()
			if words[2] == "classic" {
				copies, on = 1, []string{b.Name}
			}
			b.DeclareQueue(words[2], words[3], 5, on[:min(copies, len(on))]...)
		}
	case "fault":
		fault, err := parseFault(words[1:])
		if err != nil {
			return err
		}
		f.Inject(fault)
	case "apply", "apply-members":
		t.wish = parseWish(words)
		t.note("%s", strings.Join(words, " "))
		_ = t.apply(ctx, t.wish)
	case "act":
		t.note("%s", strings.Join(words, " "))
		return t.act(ctx, words[1], words[2:])
	case "dissolve":
		t.note("dissolve %v", t.known())
		t.dissolve(ctx)
	default:
		return t.must(words, b)
	}
	return nil
}

// must is a step that looks whether something is so.
func (t *teller) must(words []string, b *Broker) error {
	switch words[0] {
	case "must-succeed":
		if t.last != nil {
			return t.last
		}
	case "must-fail":
		if t.last == nil {
			return errors.New("it succeeded")
		}
	case "must-refuse":
		if rule := strings.Join(words[1:], " "); !refusedBecause(t.last, rule) {
			return fmt.Errorf("it was not refused because %s: %w", rule, t.last)
		}
	case "must-say":
		if text := strings.Join(words[1:], " "); t.last == nil || !strings.Contains(t.last.Error(), text) {
			return fmt.Errorf("it said: %w", t.last)
		}
	case "must-tell":
		if text := strings.Join(words[1:], " "); !slices.ContainsFunc(t.progress, func(line string) bool { return strings.Contains(line, text) }) {
			return fmt.Errorf("it told: %q", t.progress)
		}
	case "must-have-run":
		n := 0
		for _, c := range t.fleet.Commands() {
			if strings.Contains(c.Line, " "+words[2]) {
				n++
			}
		}
		if fmt.Sprint(n) != words[1] {
			return fmt.Errorf("it ran %d times", n)
		}
	case "must-serve", "must-be-drained":
		t.fleet.mu.Lock()
		defer t.fleet.mu.Unlock()
		if b.drained != (words[0] == "must-be-drained") {
			return fmt.Errorf("its maintenance status is %s", b.maintenance())
		}
	case "must-be-stopped":
		if b.alive() {
			return errors.New("it runs")
		}
	case "must-run":
		if !b.alive() {
			return errors.New("it does not run")
		}
	case "must-list": // exactly these, as the first tells it
		want := slices.Sorted(slices.Values(words[1:]))
		if got, _ := b.Members(); !slices.Equal(got, want) {
			return fmt.Errorf("it lists %v", got)
		}
	case "must-replicate":
		if copies := t.fleet.copies(words[1]); fmt.Sprint(len(copies)) != words[2] {
			return fmt.Errorf("it has copies on %v", copies)
		}
	case "must-not-have-run":
		if i := slices.IndexFunc(t.fleet.Commands(), func(c Command) bool { return strings.Contains(c.Line, " "+words[1]) }); i >= 0 {
			return fmt.Errorf("it ran %v", t.fleet.Commands()[i])
		}
	case "must-hold":
		if !b.holds(words[2]) {
			return errors.New("it does not")
		}
	case "must-not-hold":
		if b.holds(words[2]) {
			return errors.New("it does")
		}
	default:
		return errors.New("there is no such step")
	}
	return nil
}

// holds tells whether a node knows an object ("vhost:orders") or a queue ("queue:q") that still has a copy.
func (b *Broker) holds(what string) bool {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	if queue, isQueue := strings.CutPrefix(what, "queue:"); isQueue {
		return b.fleet.treasures()[fmt.Sprintf("%s queue %s", b.store.id, queue)]
	}
	return slices.Contains(b.store.objects, strings.Replace(what, ":", " ", 1))
}

// copies are the nodes that hold a queue of this name: those that the metadata names and whose disks have it.
func (f *Fleet) copies(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.brokers {
		for _, q := range b.store.queues {
			if q.name == name {
				return slices.DeleteFunc(slices.Clone(q.copies), func(node string) bool { return q.content[node] != f.brokers[node].disk })
			}
		}
	}
	return nil
}

// parseFault reads KIND AT WORD HOST and, when it has one, BYTES; - is any word, or any host.
func parseFault(words []string) (*Fault, error) {
	at, err := strconv.Atoi(words[1])
	if err != nil {
		return nil, err
	}
	bytes := 0
	if len(words) > 4 {
		if bytes, err = strconv.Atoi(words[4]); err != nil {
			return nil, err
		}
	}
	kind := Kind(strings.ReplaceAll(words[0], "-", " "))
	if !slices.Contains(Kinds, kind) {
		return nil, fmt.Errorf("no fault %s", kind)
	}
	return &Fault{Kind: kind, At: at, Word: strings.Trim(words[2], "-"), Host: strings.Trim(words[3], "-"), Bytes: bytes}, nil
}
