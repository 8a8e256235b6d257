package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Terraform drives the provider as Terraform's core does, without a command-line tool: it keeps state, proposes plans,
// and holds the provider to the rules that core enforces. Every walk has a provider of its own, as in reality.
type Terraform struct {
	// Provider is the provider's configuration.
	Provider map[string]any
	// Parallelism is how many resources are worked on at once. Zero: ten.
	Parallelism int
	// Order gives the order in which so many resources get their turn. Nil: by address.
	Order      func(n int) []int
	configured Resources // by the last apply
	// Network is what the provider reaches hosts through. Nil: the machine's own.
	Network *Network

	mu     sync.Mutex
	state  map[string]instance
	ghosts sync.WaitGroup // calls to processes that were killed meanwhile
}

// instance is one resource in state.
type instance struct {
	value   tftypes.Value
	private []byte
	tainted bool
}

// Resources is a configuration: arguments by address, such as rabbitmq_cluster.this or rabbitmq_cluster_member.this["a"].
type Resources map[string]map[string]any

// Diagnostic is one that the provider gave, with the resource that it is about.
type Diagnostic struct {
	Address, Summary, Detail string
}

// Failed is an apply, a plan or a refresh that ended with errors.
type Failed []Diagnostic

// Error implements error.
func (f Failed) Error() string {
	lines := make([]string, len(f))
	for i, d := range f {
		lines[i] = fmt.Sprintf("%s: %s: %s", d.Address, d.Summary, d.Detail)
	}
	return strings.Join(lines, "\n")
}

// BrokenRule is a rule of core's that the provider broke: users see it as "Provider produced an invalid plan" or an
// "inconsistent result after apply".
type BrokenRule struct{ Address, Text string }

// Error implements error.
func (b *BrokenRule) Error() string { return b.Address + ": " + b.Text }

// Change is what a plan has for one resource.
type Change struct {
	Address string
	Action  string // create, update, delete, replace
	prior   instance
	config  tftypes.Value
	planned tftypes.Value
	private []byte
}

// failures are the errors among diagnostics.
func failures(address string, diags []*tfprotov6.Diagnostic) Failed {
	var failed Failed
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			failed = append(failed, Diagnostic{address, d.Summary, d.Detail})
		}
	}
	return failed
}

// kindOf is the resource type in an address.
func kindOf(address string) string {
	kind, _, _ := strings.Cut(address, ".")
	return kind
}

// each does something with every address, so many at once.
func (tf *Terraform) each(addresses []string, do func(address string) error) error {
	limit := tf.Parallelism
	if limit == 0 {
		limit = 10
	}
	turns := make(chan struct{}, limit)
	problems := make([]error, len(addresses))
	var all sync.WaitGroup
	order := make([]int, len(addresses))
	for i := range order {
		order[i] = i
	}
	if tf.Order != nil {
		order = tf.Order(len(addresses))
	}
	for _, i := range order {
		turns <- struct{}{}
		all.Go(func() {
			problems[i] = do(addresses[i])
			<-turns
		})
	}
	all.Wait()
	return join(problems)
}

// join puts failures together; a broken rule wins.
func join(problems []error) error {
	var failed Failed
	for _, err := range problems {
		var f Failed
		switch {
		case err == nil:
		case errors.As(err, &f):
			failed = append(failed, f...)
		default:
			return err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// Addresses are the addresses in state.
func (tf *Terraform) Addresses() []string {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	return slices.Sorted(maps.Keys(tf.state))
}

// Tainted are the addresses that the next apply would replace because their create failed.
func (tf *Terraform) Tainted() []string {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(tf.state)), func(address string) bool { return !tf.state[address].tainted })
}

// Refresh reads everything in state.
func (tf *Terraform) Refresh(ctx context.Context) error {
	ctx, p, err := tf.start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	return tf.refresh(ctx, p)
}

func (tf *Terraform) refresh(ctx context.Context, p *process) error {
	return tf.each(tf.Addresses(), func(address string) error {
		tf.mu.Lock()
		was := tf.state[address]
		tf.mu.Unlock()
		kind := p.schemas[kindOf(address)].ValueType()
		current, err := tfprotov6.NewDynamicValue(kind, was.value)
		if err != nil {
			return err
		}
		read, err := ask(ctx, p, p.server.ReadResource, &tfprotov6.ReadResourceRequest{TypeName: kindOf(address), CurrentState: &current, Private: was.private})
		if err != nil {
			return err
		}
		if failed := failures(address, read.Diagnostics); len(failed) > 0 {
			return failed
		}
		now, err := read.NewState.Unmarshal(kind)
		if err != nil {
			return err
		}
		tf.keep(address, instance{value: now, private: read.Private, tainted: was.tainted})
		return nil
	})
}

func (tf *Terraform) keep(address string, now instance) {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	if tf.state == nil {
		tf.state = map[string]instance{}
	}
	if now.value.IsNull() {
		delete(tf.state, address)
		return
	}
	tf.state[address] = now
}

// Plan refreshes and plans. An empty plan has no changes.
func (tf *Terraform) Plan(ctx context.Context, wanted Resources) ([]Change, error) {
	ctx, p, err := tf.start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := tf.refresh(ctx, p); err != nil {
		return nil, err
	}
	addresses := slices.Sorted(maps.Keys(wanted))
	for _, address := range tf.Addresses() {
		if wanted[address] == nil {
			addresses = append(addresses, address)
		}
	}
	var mu sync.Mutex
	var changes []Change
	err = tf.each(addresses, func(address string) error {
		change, err := tf.plan(ctx, p, address, wanted[address])
		if err != nil || change == nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, *change)
		return nil
	})
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Address, b.Address) })
	return changes, err
}

func (tf *Terraform) plan(ctx context.Context, p *process, address string, arguments map[string]any) (*Change, error) {
	schema := p.schemas[kindOf(address)]
	if schema == nil {
		return nil, fmt.Errorf("%s: no such resource", address)
	}
	kind := schema.ValueType()
	tf.mu.Lock()
	prior, there := tf.state[address]
	tf.mu.Unlock()
	if !there {
		prior.value = tftypes.NewValue(kind, nil)
	}
	c := &Change{Address: address, prior: prior, config: tftypes.NewValue(kind, nil)}
	if arguments != nil {
		var err error
		if c.config, err = value(kind, arguments); err != nil {
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		config, err := tfprotov6.NewDynamicValue(kind, c.config)
		if err != nil {
			return nil, err
		}
		valid, err := ask(ctx, p, p.server.ValidateResourceConfig, &tfprotov6.ValidateResourceConfigRequest{
			TypeName: kindOf(address), Config: &config, ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
		})
		if err != nil {
			return nil, err
		}
		if failed := failures(address, valid.Diagnostics); len(failed) > 0 {
			return nil, failed
		}
	}
	before := prior.value
	if prior.tainted {
		before = tftypes.NewValue(kind, nil)
	}
	planned, replace, private, err := p.plan(ctx, address, kind, before, c.config, prior.private, schema)
	if err != nil {
		return nil, err
	}
	c.planned, c.private = planned, private
	switch {
	case arguments == nil:
		c.Action = "delete"
	case prior.tainted || replace:
		c.Action = "replace"
		if replace {
			if c.planned, _, c.private, err = p.plan(ctx, address, kind, tftypes.NewValue(kind, nil), c.config, nil, schema); err != nil {
				return nil, err
			}
		}
	case !there:
		c.Action = "create"
	case c.planned.Equal(prior.value):
		return nil, nil
	default:
		c.Action = "update"
	}
	return c, nil
}

// plan asks the provider for a plan and holds it against core's rules.
func (p *process) plan(ctx context.Context, address string, kind tftypes.Type, prior, config tftypes.Value, private []byte, schema *tfprotov6.Schema) (tftypes.Value, bool, []byte, error) {
	none := tftypes.Value{}
	proposed := config
	if !config.IsNull() {
		var err error
		if proposed, err = propose(schema.Block.Attributes, kind, prior, config); err != nil {
			return none, false, nil, err
		}
	}
	values := make([]*tfprotov6.DynamicValue, 3)
	for i, v := range []tftypes.Value{prior, proposed, config} {
		dynamic, err := tfprotov6.NewDynamicValue(kind, v)
		if err != nil {
			return none, false, nil, err
		}
		values[i] = &dynamic
	}
	planned, err := ask(ctx, p, p.server.PlanResourceChange, &tfprotov6.PlanResourceChangeRequest{
		TypeName: kindOf(address), PriorState: values[0], ProposedNewState: values[1], Config: values[2], PriorPrivate: private,
	})
	if err != nil {
		return none, false, nil, err
	}
	if failed := failures(address, planned.Diagnostics); len(failed) > 0 {
		return none, false, nil, failed
	}
	v, err := planned.PlannedState.Unmarshal(kind)
	if err != nil {
		return none, false, nil, err
	}
	if !config.IsNull() {
		if err := planValid(schema.Block.Attributes, config, v, ""); err != nil {
			return none, false, nil, &BrokenRule{address, "invalid plan: " + err.Error()}
		}
	} else if !v.IsNull() {
		return none, false, nil, &BrokenRule{address, "the plan of a destroy is not null"}
	}
	return v, len(planned.RequiresReplace) > 0 && !prior.IsNull(), planned.PlannedPrivate, nil
}

// Apply plans and applies, and tells how many changes there were.
func (tf *Terraform) Apply(ctx context.Context, wanted Resources) (int, error) {
	tf.configured = wanted
	return tf.carryOut(ctx, wanted)
}

func (tf *Terraform) carryOut(ctx context.Context, wanted Resources) (int, error) {
	changes, err := tf.Plan(ctx, wanted)
	if err != nil {
		return 0, err
	}
	if len(changes) == 0 {
		return 0, nil
	}
	ctx, p, err := tf.start(ctx)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	byAddress := map[string]Change{}
	var cookies, others []string // the others depend on the cookies
	for _, c := range changes {
		byAddress[c.Address] = c
		if kindOf(c.Address) == "rabbitmq_erlang_cookie" {
			cookies = append(cookies, c.Address)
		} else {
			others = append(others, c.Address)
		}
	}
	do := func(address string) error { return tf.apply(ctx, p, byAddress[address]) }
	if err := tf.each(cookies, do); err != nil {
		return len(changes), err
	}
	return len(changes), tf.each(others, do)
}

// Destroy destroys everything in state. As core does, it first plans what is configured, in order to refresh: what that
// plan refuses, it does not destroy.
func (tf *Terraform) Destroy(ctx context.Context) error {
	if _, err := tf.Plan(ctx, tf.configured); err != nil {
		return err
	}
	_, err := tf.carryOut(ctx, Resources{})
	return err
}

func (tf *Terraform) apply(ctx context.Context, p *process, c Change) error {
	kind := p.schemas[kindOf(c.Address)].ValueType()
	none := tftypes.NewValue(kind, nil)
	prior := c.prior
	if c.Action == "replace" {
		if err := tf.change(ctx, p, c.Address, kind, prior, none, none, nil); err != nil {
			return err
		}
		prior = instance{value: none}
	}
	if c.Action != "delete" {
		// Core plans once more right before it applies, and holds that against the plan that was shown.
		again, _, private, err := p.plan(ctx, c.Address, kind, prior.value, c.config, prior.private, p.schemas[kindOf(c.Address)])
		if err != nil {
			return err
		}
		if err := compatible(c.planned, again, ""); err != nil {
			return &BrokenRule{c.Address, "inconsistent final plan: " + err.Error()}
		}
		c.planned, c.private = again, private
	}
	return tf.change(ctx, p, c.Address, kind, prior, c.planned, c.config, c.private)
}

func (tf *Terraform) change(ctx context.Context, p *process, address string, kind tftypes.Type, prior instance, planned, config tftypes.Value, private []byte) error {
	values := make([]*tfprotov6.DynamicValue, 3)
	for i, v := range []tftypes.Value{prior.value, planned, config} {
		dynamic, err := tfprotov6.NewDynamicValue(kind, v)
		if err != nil {
			return err
		}
		values[i] = &dynamic
	}
	applied, err := ask(ctx, p, p.server.ApplyResourceChange, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: kindOf(address), PriorState: values[0], PlannedState: values[1], Config: values[2], PlannedPrivate: private,
	})
	if err != nil {
		return err
	}
	now, err := applied.NewState.Unmarshal(kind)
	if err != nil {
		return err
	}
	failed := failures(address, applied.Diagnostics)
	// Core taints what a failed create leaves in state.
	tf.keep(address, instance{value: now, private: applied.Private, tainted: len(failed) > 0 && prior.value.IsNull()})
	if len(failed) > 0 {
		return failed
	}
	if !now.IsFullyKnown() {
		return &BrokenRule{address, "something is unknown after the apply"}
	}
	if err := compatible(planned, now, ""); err != nil {
		return &BrokenRule{address, "inconsistent result after apply: " + err.Error()}
	}
	return nil
}

// State is an attribute of a resource in state as plain Go, for tests.
func (tf *Terraform) State(address string) map[string]any {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	plainValue, _ := plain(tf.state[address].value).(map[string]any)
	return plainValue
}
