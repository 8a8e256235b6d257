package simulation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a [Fleet].
type Options struct {
	Hosts   int
	Version Version
	// Seed decides everything that is left to chance.
	Seed uint64
	// Second is how long a simulated second takes. Zero: a second, for a synctest bubble.
	Second time.Duration
	// Loud is told of everything that the simulation does not know: the test has to fail then.
	Loud func(format string, args ...any)
	// Name gives the node name of host i, from 1. Default: rabbit@rmq1, rabbit@rmq2, …
	Name func(i int) string
}

// Fleet is a world of hosts with a broker on each. All its methods may be called from any goroutine.
type Fleet struct {
	options Options
	version Version

	mu      sync.Mutex
	random  *rand.Rand
	brokers map[string]*Broker // by node name
	cut     map[[2]string]bool // pairs of nodes whose hosts do not reach each other
	split   bool               // a host that stood still was forgotten, as one that is gone: when it goes on there are two clusters
	held    map[[2]string]bool // pairs of nodes whose link stands although their cookies differ by now
	faults  []*Fault
	stores  int

	commands  []Command
	ongoing   map[string][]string // commands that change a node and go on
	consent   bool
	losses    []string
	violation []string
	points    map[string]bool // places at which a fault struck
	strikes   int             // how many faults struck
	kill      func()          // ends the provider's process

	background sync.WaitGroup // commands that go on, boots
	closed     chan struct{}
}

// Command is a command that changes something, as a host began it.
type Command struct {
	Host, Line string
}

// New makes a fleet of blank brokers that run, each alone.
func New(o Options) *Fleet {
	if o.Second == 0 {
		o.Second = time.Second
	}
	if o.Name == nil {
		o.Name = func(i int) string { return fmt.Sprintf("rabbit@rmq%d", i) }
	}
	if o.Loud == nil {
		o.Loud = func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
	}
	f := &Fleet{
		options: o, version: o.Version, random: rand.New(rand.NewPCG(o.Seed, 1)), //nolint:gosec // G404: a replayable world
		brokers: map[string]*Broker{}, cut: map[[2]string]bool{}, held: map[[2]string]bool{}, points: map[string]bool{}, ongoing: map[string][]string{}, closed: make(chan struct{}),
	}
	for i := range o.Hosts {
		f.add(o.Name(i + 1))
	}
	return f
}

func (f *Fleet) add(name string) *Broker {
	b := &Broker{
		fleet: f, Name: name, version: f.version, up: true, vm: true, app: running, unit: "active", disk: 1,
		born: time.Now(), files: map[string]*file{}, astray: map[string]string{}, boot: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(f.brokers)+1),
	}
	b.blank()
	b.writeCookie("SIMULATEDCOOKIE")
	b.cookie = "SIMULATEDCOOKIE"
	if f.version.Khepri { // a stopped node keeps its feature flags on disk
		b.files["/var/lib/rabbitmq/mnesia/"+name+"-feature_flags"] = &file{content: "[khepri_db].", mode: "644", owner: "rabbitmq"}
	}
	f.brokers[name] = b
	return b
}

// Close waits for everything that still goes on. Waits of a simulated length are cut short.
func (f *Fleet) Close() {
	f.mu.Lock()
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	f.mu.Unlock()
	f.background.Wait()
}

// Broker returns the broker of a node name.
func (f *Fleet) Broker(name string) *Broker {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.brokers[name]
	if b == nil {
		panic("no broker " + name)
	}
	return b
}

// host finds the broker on a host, by its name.
func (f *Fleet) host(name string) *Broker {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node, b := range f.brokers {
		if node[strings.Index(node, "@")+1:] == name {
			return b
		}
	}
	return nil
}

// Names returns the names of all nodes in order.
func (f *Fleet) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.names()
}

func (f *Fleet) names() []string { return slices.Sorted(maps.Keys(f.brokers)) }

// do changes the world, and keeps account of what that destroyed. Who says who did it: a command of the product's, or
// the world itself, which is nobody's fault.
func (f *Fleet) do(who string, change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change(who, change)
}

// change is do with the world locked.
func (f *Fleet) change(who string, change func()) {
	before, metadata, quorums := f.treasures(), f.metadata(), f.quorums()
	change()
	f.settle()
	if who == "" {
		return
	}
	after, leftMetadata, left := f.treasures(), f.metadata(), f.quorums()
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if !after[what] && !f.consent {
			f.violation = append(f.violation, fmt.Sprintf("lost without consent: %s, by %s", what, who))
		}
		if !after[what] {
			f.losses = append(f.losses, what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(quorums)) {
		if alive, still := left[what]; still && !alive && quorums[what] && !f.consent && !f.split {
			f.violation = append(f.violation, fmt.Sprintf("lost its quorum for good: %s, by %s", what, who))
		}
	}
	for _, store := range slices.Sorted(maps.Keys(metadata)) {
		still, alive := false, false
		for name, has := range leftMetadata[store] {
			still, alive = still || metadata[store][name], alive || has // who had none before was forgotten
		}
		if still && !alive && !f.split {
			f.violation = append(f.violation, fmt.Sprintf("lost its quorum for good: metadata of %s, by %s", store, who))
		}
	}
}

// treasures are the things that users made and that still are somewhere.
func (f *Fleet) treasures() map[string]bool {
	all := map[string]bool{}
	for _, b := range f.brokers {
		for _, object := range b.store.objects {
			all[b.store.id+" "+object] = true
		}
		for _, q := range b.store.queues {
			for _, node := range q.copies {
				if owner := f.brokers[node]; owner.store == b.store && q.content[node] == owner.disk {
					all[fmt.Sprintf("%s queue %s", b.store.id, q.name)] = true
				}
			}
		}
	}
	return all
}

// metadata tells of the brokers on Khepri, by store, who can still have a majority when everybody is started again.
func (f *Fleet) metadata() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, b := range f.brokers {
		if !b.version.Khepri {
			continue
		}
		there := 0
		for m := range b.members {
			if other := f.brokers[m]; other.store == b.store && other.lists(b.Name) {
				there++
			}
		}
		if all[b.store.id] == nil {
			all[b.store.id] = map[string]bool{}
		}
		all[b.store.id][b.Name] = there > len(b.members)/2
	}
	return all
}

// quorums are the queues that need a majority, and whether they still can have one, when everybody is started again.
func (f *Fleet) quorums() map[string]bool {
	all := map[string]bool{}
	for _, b := range f.brokers {
		for _, q := range b.store.queues {
			if q.kind == "classic" {
				continue
			}
			there := 0
			for _, node := range q.copies {
				if owner := f.brokers[node]; owner.store == b.store && q.content[node] == owner.disk {
					there++
				}
			}
			all["queue "+q.name] = there > len(q.copies)/2
		}
	}
	return all
}

// Violations returns what happened that must never happen.
func (f *Fleet) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.violation)
}

// Losses returns what commands destroyed, with or without consent.
func (f *Fleet) Losses() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.losses)
}

// Strikes is how many faults struck.
func (f *Fleet) Strikes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.strikes
}

// Consent says whether the user allowed data loss from now on.
func (f *Fleet) Consent(yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.consent = yes
}

// Commands returns every changing command that a host began so far.
func (f *Fleet) Commands() []Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}

// carriesOut notes that a node carries out a command that changes it, and returns what ends that. The product begins none
// while another one goes on, whose outcome it cannot know yet.
func (f *Fleet) carriesOut(node, command string) (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if others := f.ongoing[node]; len(others) > 0 {
		f.violation = append(f.violation, fmt.Sprintf("began %s on %s while %s goes on there", command, node, others[0]))
	}
	f.ongoing[node] = append(f.ongoing[node], command)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if i := slices.Index(f.ongoing[node], command); i >= 0 {
			f.ongoing[node] = slices.Delete(f.ongoing[node], i, i+1)
		}
	}
}

// Busy tells whether a command still goes on somewhere.
func (f *Fleet) Busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.brokers {
		if len(b.processes) > 0 {
			return true
		}
	}
	return false
}

// Rest waits until no command goes on anywhere and no broker is about to do something by itself; but not for brokers
// that start in vain again and again.
func (f *Fleet) Rest() {
	for range 2000 {
		f.mu.Lock()
		busy := false
		for _, b := range f.brokers {
			busy = busy || len(b.processes) > 0 || b.pending > 0
		}
		f.mu.Unlock()
		if !busy {
			return
		}
		f.sleep(500 * time.Millisecond)
	}
}

// sleep waits a simulated duration, or until the fleet is closed.
func (f *Fleet) sleep(d time.Duration) {
	timer := time.NewTimer(f.real(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.closed:
	}
}

// real is how long a simulated duration takes.
func (f *Fleet) real(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(f.options.Second) / float64(time.Second))
}

// later changes the world after a while.
func (f *Fleet) later(b *Broker, d time.Duration, change func()) {
	b.pending++
	f.background.Go(func() {
		f.sleep(d)
		select {
		case <-f.closed: // the world is over
			return
		default:
		}
		f.do("", func() {
			b.pending--
			change()
		})
	})
}

// Part cuts the network between a node's host and all others; Mend mends everything.
func (f *Fleet) Part(name string) {
	f.do("", func() {
		for other := range f.brokers {
			if other != name {
				f.cut[pair(name, other)] = true
				delete(f.held, pair(name, other))
			}
		}
	})
}

// Mend mends the network. Mnesia notices only now that there was a partition (measured).
func (f *Fleet) Mend() {
	f.do("", func() { f.mend(func([2]string) bool { return true }) })
}

func (f *Fleet) mend(which func(ends [2]string) bool) {
	for ends := range f.cut {
		if !which(ends) {
			continue
		}
		a, b := f.brokers[ends[0]], f.brokers[ends[1]]
		if !f.version.Khepri && a.app == running && b.app == running && a.vm && b.vm && a.lists(b.Name) && b.lists(a.Name) {
			a.partitioned[b.Name], b.partitioned[a.Name] = true, true
		}
		delete(f.cut, ends)
	}
}

func pair(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

// linked tells whether two nodes reach each other.
func (f *Fleet) linked(a, b *Broker) bool {
	return a == b || (a.up && b.up && !f.cut[pair(a.Name, b.Name)] && (a.cookie == b.cookie || f.held[pair(a.Name, b.Name)]))
}

// Describe shows the whole world, for failures.
func (f *Fleet) Describe() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s strings.Builder
	for _, name := range f.names() {
		b := f.brokers[name]
		fmt.Fprintf(&s, "%s: host up %t, vm %t, app %s, unit %s, lists %s, sees %s, store %s name %q", name, b.up, b.vm, b.app, b.unit,
			strings.Join(slices.Sorted(maps.Keys(b.members)), " "), strings.Join(b.sees(), " "), b.store.id, b.store.name)
		if len(b.store.objects)+len(b.store.queues) > 0 {
			fmt.Fprintf(&s, ", holds %s", strings.Join(b.store.objects, " "))
			for _, q := range b.store.queues {
				fmt.Fprintf(&s, " %s(%s on %s)", q.name, q.kind, strings.Join(q.copies, " "))
			}
		}
		for _, p := range b.processes {
			fmt.Fprintf(&s, ", runs `%s`", p)
		}
		s.WriteByte('\n')
	}
	for ends := range f.cut {
		fmt.Fprintf(&s, "cut: %s %s\n", ends[0], ends[1])
	}
	return s.String()
}
