package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Result is what became of a scenario.
type Result struct {
	Problems []string // invariants that were broken
	Points   []string // where faults struck
	Strikes  int      // how many faults struck
	Applies  int      // that succeeded
	Refusals int
	Errors   int
	World    string // at the end
	Log      []string
}

// core is what carries out configurations, and keeps state.
type core interface {
	Apply(ctx context.Context, wanted Resources) (changes int, err error)
	Destroy(ctx context.Context) error
	Addresses() []string
	Tainted() []string
	State(address string) map[string]any
}

// teller runs one scenario with everything of the product in it: the provider, and SSH.
type teller struct {
	fleet  *Fleet
	tf     core
	wish   wish  // the last one
	last   error // of the last apply or dissolve
	begun  time.Time
	told   int // how many of the fleet's commands are in the log
	result Result
}

// wish is what the configuration asks for.
type wish struct {
	single  bool // a rabbitmq_cluster_member for each, in place of one rabbitmq_cluster
	name    string
	loss    bool
	grow    bool // replicas = "grow"
	cookie  int  // a rabbitmq_erlang_cookie for each host; 0: none
	members map[string]string
}

// providerArguments are the provider's configuration on a [Network].
var providerArguments = map[string]any{"ssh": map[string]any{"user": login, "agent": false, "strict_host_key_checking": "no", "known_hosts_files": []any{"/nonexistent"}}}

// Tell runs a scenario in a bubble of synctest, where an hour takes no time: the provider's server is called as
// Terraform's core calls it. Then it ends all faults, and sees that the last wish comes true.
func Tell(ctx context.Context, s Scenario) Result {
	tf := &Terraform{Parallelism: s.parallelism(), Provider: providerArguments}
	return tellThrough(ctx, s, 0, func(n *Network) (core, error) {
		tf.Network = n
		return tf, nil
	}, tf.ghosts.Wait)
}

// second is how long a simulated second takes where a program runs, whose time is real.
const second = 5 * time.Millisecond

// TellThrough is Tell in real time, through the program of Terraform or OpenTofu at path, in the empty directory dir.
func TellThrough(ctx context.Context, s Scenario, path, dir, config string) (Result, error) {
	var c *CommandLine
	var failed error
	r := tellThrough(ctx, s, second, func(n *Network) (core, error) {
		c, failed = NewCommandLine(path, dir, config, s.parallelism(), n)
		n.fleet.kill = c.Kill
		return c, failed
	}, func() { c.Close() })
	return r, failed
}

func (s Scenario) parallelism() int { return 1 + int(s.Seed%10) }

func tellThrough(ctx context.Context, s Scenario, second time.Duration, through func(*Network) (core, error), rest func()) Result {
	var loud []string
	f := New(Options{Hosts: s.Hosts, Version: s.Version, Seed: s.Seed, Second: second, Loud: func(format string, args ...any) {
		loud = append(loud, fmt.Sprintf(format, args...))
	}})
	n := f.Network()
	defer n.Close()
	defer f.Close()
	tf, err := through(n)
	if err != nil {
		return Result{Problems: []string{err.Error()}}
	}
	t := &teller{fleet: f, begun: time.Now(), tf: tf}
	for _, step := range s.Steps {
		if err := t.step(ctx, strings.Fields(step)); err != nil {
			t.problem("%q: %v", step, err)
		}
	}
	if t.wish.members != nil && !strings.HasPrefix(s.last(), "must-") {
		t.end(ctx)
	}
	f.Rest()
	t.result.Problems = append(append(t.result.Problems, f.Violations()...), loud...)
	t.result.Points, t.result.Strikes = f.Points(), f.Strikes()
	t.result.World = f.Describe()
	f.Close()
	n.Close()
	rest()
	return t.result
}

func (t *teller) problem(format string, args ...any) {
	t.result.Problems = append(t.result.Problems, fmt.Sprintf(format, args...))
}

func (t *teller) note(format string, args ...any) {
	all := t.fleet.Commands()
	for _, c := range all[t.told:] {
		t.result.Log = append(t.result.Log, fmt.Sprintf("    %s: %s", c.Host, c.Line))
	}
	t.told = len(all)
	t.result.Log = append(t.result.Log, time.Since(t.begun).Round(time.Second).String()+" "+fmt.Sprintf(format, args...))
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

// parseWish reads apply or apply-members, and what is wished: name=NAME, cookie=NUMBER, loss, and members as NODE or
// NODE:TYPE.
func parseWish(words []string) wish {
	w := wish{single: words[0] == "apply-members", members: map[string]string{}}
	for _, word := range words[1:] {
		node, kind, typed := strings.Cut(word, ":")
		switch key, value, _ := strings.Cut(word, "="); {
		case key == "name":
			w.name = value
		case key == "cookie":
			w.cookie, _ = strconv.Atoi(value)
		case word == "loss":
			w.loss = true
		case word == "grow":
			w.grow = true
		case typed:
			w.members[node] = kind
		default:
			w.members[node] = disc
		}
	}
	return w
}

// names are the wished members in order.
func (w wish) names() []string { return slices.Sorted(maps.Keys(w.members)) }

const (
	clusterAddress = "rabbitmq_cluster.this"
	memberAddress  = "rabbitmq_cluster_member.this[%q]"
	cookieAddress  = "rabbitmq_erlang_cookie.this[%q]"
)

// resources is the configuration of a wish. Hosts are named by the host parts of the node names.
func (w wish) resources(hosts []string) Resources {
	all := Resources{}
	if w.cookie > 0 {
		for _, node := range hosts {
			_, host, _ := strings.Cut(node, "@")
			all[fmt.Sprintf(cookieAddress, node)] = map[string]any{
				"host": host, "value_wo": fmt.Sprintf("SIMULATEDCOOKIE%d", w.cookie), "value_wo_version": w.cookie,
			}
		}
	}
	members := map[string]any{}
	for node, kind := range w.members {
		members[node] = map[string]any{"type": kind}
	}
	if !w.single {
		arguments := map[string]any{"members": members, "allow_data_loss": w.loss}
		if w.name != "" {
			arguments["name"] = w.name
		}
		if w.grow {
			arguments["replicas"] = "grow"
		}
		all[clusterAddress] = arguments
		return all
	}
	for node, kind := range w.members {
		all[fmt.Sprintf(memberAddress, node)] = map[string]any{
			"node": node, "type": kind, "peers": maps.Clone(members), "allow_data_loss": w.loss,
		}
	}
	return all
}

// known are the nodes in Terraform's state.
func (t *teller) known() []string {
	var nodes []string
	for _, address := range t.tf.Addresses() {
		state := t.tf.State(address)
		switch kindOf(address) {
		case "rabbitmq_cluster":
			if members, ok := state["members"].(map[string]any); ok {
				nodes = append(nodes, slices.Collect(maps.Keys(members))...)
			}
		case "rabbitmq_cluster_member":
			if node, ok := state["node"].(string); ok {
				nodes = append(nodes, node)
			}
		}
	}
	slices.Sort(nodes)
	return nodes
}

// consented tells whether some resource in state may lose data, which counts when it is destroyed.
func (t *teller) consented() bool {
	return slices.ContainsFunc(t.tf.Addresses(), func(address string) bool { return t.tf.State(address)["allow_data_loss"] == true })
}

func (t *teller) apply(ctx context.Context, w wish) error {
	consent := w.loss || w.single && t.consented() // a member that leaves does so as it was last applied
	if consent || !t.fleet.Busy() {
		t.fleet.Consent(consent)
	}
	before := t.known()
	_, err := t.tf.Apply(ctx, w.resources(t.fleet.Names()))
	t.count(err)
	t.remembers(before)
	if err != nil {
		return err
	}
	known := t.known()
	for _, name := range w.names() {
		if !slices.Contains(known, name) {
			t.problem("an apply that succeeded does not know its member %s", name)
		}
	}
	return nil
}

func (t *teller) dissolve(ctx context.Context) {
	before := t.known()
	if len(before) == 0 {
		return
	}
	if consent := t.consented(); consent || !t.fleet.Busy() {
		t.fleet.Consent(consent)
	}
	t.count(t.tf.Destroy(ctx))
	t.remembers(before)
}

// remembers sees that the state has not forgotten a member that exists, and has nothing tainted: the next apply would
// destroy it.
func (t *teller) remembers(before []string) {
	known := t.known()
	for _, name := range before {
		if !slices.Contains(known, name) && !t.fleet.Busy() && t.belongs(name, before) {
			t.problem("the state forgot %s, which is a member", name)
		}
	}
	for _, address := range t.tf.Tainted() {
		t.problem("%s is tainted", address)
	}
}

// belongs tells whether a node and most of those that the state knew are members of one cluster and list each other.
func (t *teller) belongs(name string, known []string) bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	b := t.fleet.brokers[name]
	related := 0
	for _, other := range known {
		if other := t.fleet.brokers[other]; other != b && other.lists(name) && b.lists(other.Name) && other.store == b.store {
			related++
		}
	}
	return related > len(known)/2
}

func (t *teller) count(err error) {
	t.last = err
	var failed Failed
	switch {
	case err == nil:
		t.result.Applies++
	case errors.As(err, &failed) && slices.ContainsFunc(failed, func(d Diagnostic) bool { return strings.HasPrefix(d.Summary, "Refused to ") }):
		t.result.Refusals++
	case errors.As(err, &failed):
		t.result.Errors++
	default: // core would call it a bug in the provider
		t.problem("%v", err)
	}
	if err == nil {
		t.note("→ done")
	} else {
		t.note("→ %v", err)
	}
}

// refusedBecause tells whether a diagnostic names the rule.
func refusedBecause(err error, rule string) bool {
	var failed Failed
	return errors.As(err, &failed) && slices.ContainsFunc(failed, func(d Diagnostic) bool {
		return strings.HasPrefix(d.Summary, "Refused to ") && strings.HasSuffix(d.Summary, ": "+rule)
	})
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
