package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	// Outcomes is how each apply and dissolve ended: see [Outcome]. Nodes is how the nodes stand at the end.
	Outcomes []string
	Nodes    map[string]Standing
}

// Standing is how one node stands.
type Standing struct {
	Running bool
	Members []string // whom it lists, when it runs
	Holds   []string // "vhost orders", "user shop", "queue q", when it runs
}

// Outcome says how a run ended, so that it can be compared with another run: done, failed, or refused and why.
func Outcome(failed bool, rules []string) string {
	switch {
	case len(rules) > 0:
		slices.Sort(rules)
		return "refused: " + strings.Join(slices.Compact(rules), "; ")
	case failed:
		return "failed"
	}
	return "done"
}

// standings is how all nodes stand.
func (f *Fleet) standings() map[string]Standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]Standing{}
	for name, b := range f.brokers {
		if !b.runs() {
			all[name] = Standing{}
			continue
		}
		s := Standing{Running: true, Members: slices.Sorted(maps.Keys(b.members)), Holds: slices.Clone(b.store.objects)}
		for _, q := range b.store.queues {
			s.Holds = append(s.Holds, "queue "+q.name)
		}
		slices.Sort(s.Holds)
		all[name] = s
	}
	return all
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
	last   error // of the last apply, action or dissolve
	begun  time.Time
	told   int // how many of the fleet's commands are in the log
	result Result

	progress []string // of the last action
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
	if !s.Open && t.wish.members != nil && !strings.HasPrefix(s.last(), "must-") {
		t.end(ctx)
	}
	f.Rest()
	t.result.Problems = append(append(t.result.Problems, f.Violations()...), loud...)
	t.result.Points, t.result.Strikes = f.Points(), f.Strikes()
	t.result.World, t.result.Nodes = f.Describe(), f.standings()
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
	before, commands := t.known(), len(t.fleet.Commands())
	_, err := t.tf.Apply(ctx, w.resources(t.fleet.Names()))
	t.count(err)
	t.remembers(before, commands)
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

// act runs an action: KIND and what stands in its configuration, as nodes=NODE,NODE and NAME=VALUE.
func (t *teller) act(ctx context.Context, kind string, words []string) error {
	arguments := map[string]any{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		list := []any{}
		for _, part := range strings.Split(value, ",") {
			list = append(list, part)
		}
		switch {
		case name == "nodes":
			nodes := map[string]any{}
			for _, node := range strings.Split(value, ",") {
				nodes[node] = map[string]any{}
			}
			arguments[name] = nodes
		case name == "within":
			arguments["timeouts"] = map[string]any{"invoke": value}
		case slices.Contains([]string{"only", "lost", "grow"}, name):
			arguments[name] = list
		case value == "true" || value == "false":
			arguments[name] = value == "true"
		default:
			arguments[name] = value
		}
	}
	t.fleet.Consent(arguments["allow_data_loss"] == true)
	actor, ok := t.tf.(interface {
		Invoke(ctx context.Context, kind string, arguments map[string]any) ([]string, error)
	})
	if !ok {
		return errors.New("this core has no actions")
	}
	progress, err := actor.Invoke(ctx, "rabbitmq_"+kind, arguments)
	t.progress = progress
	for _, line := range progress {
		t.note("  %s", line)
	}
	t.count(err)
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
	commands := len(t.fleet.Commands())
	t.count(t.tf.Destroy(ctx))
	t.remembers(before, commands)
}

// remembers sees that the state has not forgotten a member that exists, and has nothing tainted: the next apply would
// destroy it. One that was joined by this apply was proved to be outside before, and a create that failed leaves no state.
func (t *teller) remembers(before []string, commands int) {
	known := t.known()
	joined := t.fleet.Commands()[commands:]
	for _, name := range before {
		if slices.ContainsFunc(joined, func(c Command) bool { return strings.Contains(c.Line, " -n "+name+" join_cluster") }) {
			continue
		}
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
	var rules []string
	_ = errors.As(err, &failed)
	for _, d := range failed {
		if strings.HasPrefix(d.Summary, "Refused to ") {
			rules = append(rules, d.Summary[strings.LastIndex(d.Summary, ": ")+2:])
		}
	}
	t.result.Outcomes = append(t.result.Outcomes, Outcome(err != nil, rules))
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
