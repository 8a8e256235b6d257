package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// Scenario is a story in text, so that a failure can be kept, read and told again: what the world is, what happens to
// it, and what the user applies. A line is one step; see the generator for all of them.
type Scenario struct {
	Seed    uint64
	Version Version
	Hosts   int
	Steps   []string
}

// String is the scenario as Parse reads it.
func (s Scenario) String() string {
	return fmt.Sprintf("seed %d\nversion %s\nhosts %d\n%s\n", s.Seed, s.Version, s.Hosts, strings.Join(s.Steps, "\n"))
}

// last is the last step. A story that ends with what must be is over then.
func (s Scenario) last() string {
	if len(s.Steps) == 0 {
		return ""
	}
	return s.Steps[len(s.Steps)-1]
}

// Parse reads a scenario. Empty lines and lines that begin with # mean nothing.
func Parse(text string) (Scenario, error) {
	var s Scenario
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		var err error
		switch words[0] {
		case "seed":
			s.Seed, err = strconv.ParseUint(words[1], 10, 64)
		case "hosts":
			s.Hosts, err = strconv.Atoi(words[1])
		case "version":
			i := slices.IndexFunc(V, func(v Version) bool { return v.String() == words[1] })
			if i < 0 {
				return s, fmt.Errorf("no version %s", words[1])
			}
			s.Version = V[i]
		default:
			s.Steps = append(s.Steps, line)
		}
		if err != nil {
			return s, fmt.Errorf("%q: %w", line, err)
		}
	}
	return s, nil
}

// Generate makes up a scenario. It depends on nothing but the seed.
func Generate(seed uint64) Scenario {
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // G404: a replayable story
	s := Scenario{Seed: seed, Version: V[r.IntN(len(V))], Hosts: 2 + r.IntN(4)}
	host := func() string { return fmt.Sprintf("rabbit@rmq%d", 1+r.IntN(s.Hosts)) }
	tell := func(format string, args ...any) { s.Steps = append(s.Steps, fmt.Sprintf(format, args...)) }
	happen := func() {
		switch r.IntN(15) {
		case 0, 1:
			tell("stop-app %s", host())
		case 2:
			tell("stop-service %s", host())
		case 3:
			tell("crash %s", host())
		case 4:
			tell("power-off %s", host())
		case 5:
			tell("power-on %s", host())
		case 6:
			tell("rebuild %s", host())
		case 7, 8:
			tell("join %s %s", host(), host())
		case 9:
			tell("leave %s", host())
		case 10:
			tell("declare %s vhost:v%d", host(), r.IntN(100))
		case 11, 12, 13:
			kind := []string{"classic", "quorum", "stream"}[r.IntN(3)]
			tell("queue %s %s q%d %d", host(), kind, r.IntN(100), 1+r.IntN(3))
		case 14:
			tell("part %s", host())
		}
	}
	wish := func() {
		words := []string{"apply"}
		if r.IntN(3) == 0 {
			words = append(words, fmt.Sprintf("name=orders%d", r.IntN(2)))
		}
		if r.IntN(4) == 0 {
			words = append(words, "loss")
		}
		members := r.Perm(s.Hosts)[:1+r.IntN(s.Hosts)]
		slices.Sort(members)
		for i, member := range members {
			word := fmt.Sprintf("rabbit@rmq%d", member+1)
			if i > 0 && !s.Version.Khepri && r.IntN(12) == 0 {
				word += ":ram"
			}
			words = append(words, word)
		}
		tell("%s", strings.Join(words, " "))
	}
	for range r.IntN(5) {
		happen()
	}
	for range 1 + r.IntN(4) {
		for range r.IntN(3) {
			kind := Kinds[r.IntN(len(Kinds))]
			word := []string{"-", "join_cluster", "stop_app", "start_app", "forget_cluster_node", "reset", "eval", "-"}[r.IntN(8)]
			at := 1 + r.IntN(2)
			if word == "-" || word == "eval" {
				at = 1 + r.IntN(25)
			}
			tell("fault %s %d %s %s", strings.ReplaceAll(string(kind), " ", "-"), at, word, []string{"-", host()}[r.IntN(2)])
		}
		if r.IntN(9) == 0 {
			tell("dissolve")
		} else {
			wish()
		}
		for range r.IntN(3) {
			happen()
		}
		if r.IntN(4) == 0 {
			tell("mend")
		}
	}
	return s
}

// Result is what became of a scenario.
type Result struct {
	Problems []string // invariants that were broken
	Points   []string // where faults struck
	Applies  int      // that succeeded
	Refusals int
	Errors   int
	World    string // at the end
	Log      []string
}

// teller runs one scenario against internal/cluster, without SSH: within a bubble of synctest an hour takes no time.
type teller struct {
	fleet  *Fleet
	known  map[string]topology.Type // the members in Terraform's state
	wish   topology.Wish            // the last one
	last   error                    // of the last apply or dissolve
	result Result
}

// Tell runs a scenario in a bubble, ends all faults, and sees that the last wish comes true.
func Tell(ctx context.Context, s Scenario) Result {
	var loud []string
	f := New(Options{Hosts: s.Hosts, Version: s.Version, Seed: s.Seed, Loud: func(format string, args ...any) {
		loud = append(loud, fmt.Sprintf(format, args...))
	}})
	t := &teller{fleet: f}
	for _, step := range s.Steps {
		if err := t.step(ctx, strings.Fields(step)); err != nil {
			t.problem("%q: %v", step, err)
		}
	}
	if t.wish.Members != nil && !strings.HasPrefix(s.last(), "must-") {
		t.end(ctx)
	}
	f.Rest()
	t.result.Problems = append(append(t.result.Problems, f.Violations()...), loud...)
	t.result.Points = f.Points()
	t.result.World = f.Describe()
	f.Close()
	return t.result
}

func (t *teller) problem(format string, args ...any) {
	t.result.Problems = append(t.result.Problems, fmt.Sprintf(format, args...))
}

func (t *teller) note(format string, args ...any) {
	t.result.Log = append(t.result.Log, fmt.Sprintf(format, args...))
}

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
	case "retype":
		b.Retype(words[2])
	case "join":
		if seed := f.Broker(words[2]); b != seed && b.alone() && seed.alive() && seed.strong() {
			b.JoinByHand(seed.Name, disc)
		}
	case "forget":
		b.ForgetByHand(words[2])
	case "leave":
		if b.alive() && !b.alone() && b.strong() && !b.lastDisc() {
			b.LeaveByHand()
		}
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
		at, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		f.Inject(&Fault{Kind: Kind(strings.ReplaceAll(words[1], "-", " ")), At: at, Word: strings.Trim(words[3], "-"), Host: strings.Trim(words[4], "-")})
	case "apply":
		wish := topology.Wish{Members: map[string]topology.Type{}, Only: true}
		for _, word := range words[1:] {
			name, isName := strings.CutPrefix(word, "name=")
			node, kind, typed := strings.Cut(word, ":")
			switch {
			case isName:
				wish.Name = name
			case word == "loss":
				wish.AllowDataLoss = true
			case word == "grow":
				wish.Grow = true
			case typed:
				wish.Members[node] = topology.Type(kind)
			default:
				wish.Members[node] = topology.Disc
			}
		}
		t.wish = wish
		_ = t.apply(ctx, wish)
	case "dissolve":
		t.dissolve(ctx)
	case "must-succeed":
		if t.last != nil {
			return t.last
		}
	case "must-refuse":
		var refusal *topology.Refusal
		rule := strings.Join(words[1:], " ")
		if !errors.As(t.last, &refusal) || !slices.ContainsFunc(refusal.Reasons, func(r topology.Reason) bool { return string(r.Rule) == rule }) {
			return fmt.Errorf("it was not refused because %s: %v", rule, t.last)
		}
	case "must-be-stopped":
		if b.alive() {
			return errors.New("it runs")
		}
	case "must-replicate":
		if copies := t.fleet.copies(words[1]); fmt.Sprint(len(copies)) != words[2] {
			return fmt.Errorf("it has copies on %v", copies)
		}
	case "must-run":
		if !b.alive() {
			return errors.New("it does not run")
		}
	default:
		return errors.New("there is no such step")
	}
	return nil
}

// copies are the nodes that hold a queue of this name.
func (f *Fleet) copies(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.brokers {
		for _, q := range b.store.queues {
			if q.name == name {
				return q.copies
			}
		}
	}
	return nil
}

// alive, alone and strong are what must hold before the world does something by hand that RabbitMQ would refuse.
func (b *Broker) alive() bool {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.runs()
}

func (b *Broker) alone() bool {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.runs() && len(b.members) == 1
}

func (b *Broker) strong() bool {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return len(b.peers()) == len(b.members) && len(b.fleet.cut) == 0
}

func (b *Broker) lastDisc() bool {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.onlyDisc()
}

func (b *Broker) seen() []string {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	var names []string
	for _, peer := range b.peers() {
		names = append(names, peer.Name)
	}
	slices.Sort(names)
	return names
}

// manager is the product's fleet for some nodes, reached without SSH.
func (t *teller) manager(names []string) *cluster.Fleet {
	made := func(name string) *rabbitmq.Node {
		b := t.fleet.Broker(name)
		return rabbitmq.New(remote.New(Runner{b}, name, remote.Options{Become: true}), rabbitmq.Config{Name: name})
	}
	m := &cluster.Fleet{
		Nodes: map[string]*rabbitmq.Node{},
		Stranger: func(name string) (*rabbitmq.Node, error) {
			if !slices.Contains(t.fleet.Names(), name) {
				return nil, fmt.Errorf("%q is no node name", name) // as internal/provider does
			}
			return made(name), nil
		},
		Report: func(_ context.Context, message string) { t.note("  %s", message) },
	}
	for _, name := range names {
		m.Nodes[name] = made(name)
	}
	return m
}

func (t *teller) apply(ctx context.Context, wish topology.Wish) error {
	if wish.AllowDataLoss || !t.fleet.Busy() {
		t.fleet.Consent(wish.AllowDataLoss)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	names := slices.Sorted(maps.Keys(wish.Members))
	t.note("apply %v", names)
	for _, node := range slices.Sorted(maps.Keys(t.known)) {
		if _, stays := wish.Members[node]; !stays {
			wish.Leaving = append(wish.Leaving, node)
		}
	}
	reading, err := t.manager(append(names, wish.Leaving...)).Converge(ctx, wish)
	t.count(err)
	if err == nil {
		known := map[string]topology.Type{}
		for name, member := range reading.Members {
			known[name] = member.Type
		}
		for name := range wish.Members {
			if _, there := known[name]; !there {
				t.problem("an apply that succeeded does not know its member %s", name)
			}
		}
		t.known = known
		return nil
	}
	// What Terraform keeps in state of a failed update, and of one that is read again.
	for name, kind := range wish.Members {
		if t.known != nil && t.known[name] == "" && t.listed(name) {
			t.known[name] = kind
		}
	}
	t.read(ctx)
	return err
}

// listed tells whether the node is in the state because a running member lists it.
func (t *teller) listed(name string) bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	for known := range t.known {
		if b := t.fleet.brokers[known]; b.runs() && b.lists(name) {
			return true
		}
	}
	return false
}

// read refreshes the state, which must not forget a member that exists.
func (t *teller) read(ctx context.Context) {
	if len(t.known) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	reading, err := t.manager(slices.Sorted(maps.Keys(t.known))).Read(ctx, t.known, false)
	if err != nil {
		return // the state stays
	}
	for name := range t.known {
		if _, there := reading.Members[name]; !there && t.belongs(name) {
			t.problem("the state forgot %s, which is a member", name)
		}
	}
	t.known = map[string]topology.Type{}
	for name, member := range reading.Members {
		t.known[name] = member.Type
	}
}

// belongs tells whether a node and a running member of its cluster that is in state list each other.
func (t *teller) belongs(name string) bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	b := t.fleet.brokers[name]
	related := 0
	for known := range t.known {
		if other := t.fleet.brokers[known]; other != b && other.lists(name) && b.lists(known) && other.store == b.store {
			related++
		}
	}
	return related > len(t.known)/2
}

func (t *teller) dissolve(ctx context.Context) {
	if len(t.known) == 0 {
		return
	}
	if !t.fleet.Busy() {
		t.fleet.Consent(false)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	t.note("dissolve %v", slices.Sorted(maps.Keys(t.known)))
	_, err := t.manager(slices.Sorted(maps.Keys(t.known))).Dissolve(ctx, topology.Wish{Members: t.known, Only: true})
	t.count(err)
	if err == nil {
		t.known = nil
	}
}

func (t *teller) count(err error) {
	t.last = err
	var refusal *topology.Refusal
	switch {
	case err == nil:
		t.result.Applies++
		t.note("→ done")
	case errors.As(err, &refusal):
		t.result.Refusals++
		t.note("→ %v", err)
	default:
		t.result.Errors++
		t.note("→ %v", err)
	}
}

// applies is how many applies a wish may take once nothing goes wrong any more.
const applies = 4

// end stops everything that goes wrong, lets an operator do what only an operator can do, and applies the last wish,
// with consent to losses, until it is true.
func (t *teller) end(ctx context.Context) {
	f := t.fleet
	f.ClearFaults()
	f.Mend()
	for _, name := range f.Names() {
		f.Broker(name).PowerOn()
	}
	t.note("everything is well again")
	f.sleep(20 * time.Minute) // what goes on ends
	t.operate()
	wish := t.wish
	wish.AllowDataLoss = true
	var err error
	for range applies {
		if err = t.apply(ctx, wish); err == nil {
			break
		}
		f.sleep(6 * time.Minute) // boots that wait in vain end
		t.operate()
	}
	if err != nil && t.hopeless() {
		t.note("whom a member needs to start is gone for good, which only an operator can mend")
		return
	}
	if err != nil {
		t.problem("nothing goes wrong any more, and after %d applies: %v", applies, err)
		return
	}
	before := len(f.Commands())
	if err := t.apply(ctx, wish); err != nil {
		t.problem("an apply after one that succeeded: %v", err)
	}
	if more := f.Commands()[before:]; len(more) > 0 {
		t.problem("an apply after one that succeeded changed something: %v", more)
	}
	names := slices.Sorted(maps.Keys(wish.Members))
	if err := oneCluster(f, names); err != nil {
		t.problem("the wish is not true: %v", err)
	}
	for name, kind := range wish.Members {
		if got := f.Broker(name).Type(); got != string(kind) {
			t.problem("%s is a %s node, not %s", name, got, kind)
		}
		if got := f.Broker(name).ClusterName(); wish.Name != "" && got != wish.Name {
			t.problem("%s calls its cluster %q, not %q", name, got, wish.Name)
		}
	}
}

// hopeless tells whether the members that a wished one needs to start with are gone for good, which the world did and
// not the product.
func (t *teller) hopeless() bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	for name := range t.wish.Members {
		b := t.fleet.brokers[name]
		there := 0
		for member := range b.members {
			if other := t.fleet.brokers[member]; other.store == b.store && other.lists(name) {
				there++
			}
		}
		if b.version.Khepri && there <= len(b.members)/2 {
			return true
		}
		// A RAM node that is left alone cannot become anything else.
		if b.runs() && b.members[name] == ram && !slices.ContainsFunc(b.peers(), func(o *Broker) bool { return o != b }) {
			return true
		}
		// Mnesia: whom it wants to start with was rebuilt, or forgot it while it was off. Its data directory must go.
		for _, other := range b.others() {
			if !b.version.Khepri && b.unit != "active" && other.runs() && !other.lists(name) {
				return true
			}
		}
	}
	return false
}

// operate does what the product leaves to people: after a partition of Mnesia it restarts the side that is not trusted.
func (t *teller) operate() {
	f := t.fleet
	for _, name := range f.Names() {
		b := f.Broker(name)
		f.mu.Lock()
		cut := len(b.partitioned) > 0
		f.mu.Unlock()
		if t.strayed(b) {
			b.StopApp() // known/forget-rebuilt.txt
		}
		if _, wished := t.wish.Members[name]; !wished && !t.strayed(b) && !b.alive() {
			b.StartService() // a member that waits for it cannot start, and no vote is missing then
			b.StartApp()
			f.sleep(10 * time.Second)
		}
		if cut {
			b.StopApp()
			b.StartApp()
			f.sleep(10 * time.Second)
		}
	}
}

// strayed tells whether a node that shall be no member was rebuilt blank and runs, while members still list it: RabbitMQ
// does not forget it as long as it runs.
func (t *teller) strayed(b *Broker) bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	if _, wished := t.wish.Members[b.Name]; wished {
		return false
	}
	for _, other := range t.fleet.brokers {
		if other != b && other.runs() && other.lists(b.Name) && !b.lists(other.Name) {
			return true
		}
	}
	return false
}

// oneCluster tells whether the nodes are one cluster, all running, with nobody else in it.
func oneCluster(f *Fleet, names []string) error {
	for _, name := range names {
		members, runs := f.Broker(name).Members()
		if !runs || !slices.Equal(members, names) {
			return fmt.Errorf("%s runs: %t, lists %v; want %v", name, runs, members, names)
		}
	}
	return nil
}
