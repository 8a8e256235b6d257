package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

const (
	// settle is how long a step that reported success may take until every side shows it.
	settle = time.Minute
	// recovery is how long bringing a node back after a failed step may take, also when the run was cancelled.
	recovery = 3 * time.Minute
	// patience is how many steps one run may take. It is beyond every real plan and ends a loop that would not.
	patience = 200
)

// StepError is a step that failed, or that reported success without showing it. What was done before it stays done; the
// next apply goes on from there.
type StepError struct {
	Step  topology.Step
	Err   error
	After string // what was found afterwards, or why it could not be found out
	// Recovery is how members come back that wait for others in vain; empty when that is not the trouble.
	Recovery string
}

// Error implements error.
func (e *StepError) Error() string {
	text := fmt.Sprintf("could not %s: %s\nAfterwards: %s\nNothing else was done after that. Mend the cause and apply again: the run goes on from the state that it finds.", e.Step, e.Err, e.After)
	if e.Recovery != "" {
		text += "\n\n" + e.Recovery
	}
	return text
}

// Unwrap gives the cause.
func (e *StepError) Unwrap() error { return e.Err }

// full is everything that a plan is made from.
func (f *Fleet) full() rabbitmq.Ask {
	return rabbitmq.Ask{Inventory: true, Of: f.names(), Peers: true, Replicas: true, Flags: true, Resolve: f.hosts()}
}

// Preview returns the steps that Converge would take, or the *topology.Refusal with which it would end, and changes
// nothing.
func (f *Fleet) Preview(ctx context.Context, wish topology.Wish) ([]topology.Step, error) {
	seen := f.look(ctx, f.full()).Snapshot
	f.Memory.plannedFrom(f.places(), seen)
	return topology.Plan(wish, seen)
}

// PreviewDissolve is Preview for Dissolve. It also gives the member that would stay, once that is decided.
func (f *Fleet) PreviewDissolve(ctx context.Context, wish topology.Wish) (stays string, steps []topology.Step, err error) {
	seen := f.look(ctx, f.full()).Snapshot
	f.Memory.plannedFrom(f.places(), seen)
	last, ok := topology.Dissolve(wish, seen)
	if !ok {
		return "", nil, &NobodyRunsError{Nodes: told(seen)}
	}
	for node := range last.Members {
		stays = node // it is one
	}
	steps, err = topology.Plan(last, seen)
	return stays, steps, err
}

// Dissolve takes all members but one out of their cluster, and leaves that one with its data. It returns those of the
// wish that are no members any more and whose hosts gave no answer: nothing was done there.
func (f *Fleet) Dissolve(ctx context.Context, wish topology.Wish) (skipped []string, err error) {
	_, err = f.converge(ctx, func(seen topology.Snapshot) (topology.Wish, error) {
		last, ok := topology.Dissolve(wish, seen)
		if !ok {
			return wish, &NobodyRunsError{Nodes: told(seen)}
		}
		base, _ := seen.Base(wish)
		skipped = nil
		for _, node := range slices.Sorted(maps.Keys(wish.Members)) {
			if _, member := base.Members[node]; !member && (seen[node].State == topology.Unreachable || seen[node].State == topology.Failed) {
				skipped = append(skipped, tell(seen, topology.Step{Node: node}))
			}
		}
		return last, nil
	})
	return skipped, err
}

// TakeOut makes the leaving members of a wish leave, and before them those of others that do not run or do not answer: who
// leaves while a dead one stays may take the majority away that would forget it. A member that cannot be told to have left, because
// nobody who could know runs, is an error.
func (f *Fleet) TakeOut(ctx context.Context, wish topology.Wish, others func() []string) error {
	_, err := f.converge(ctx, func(seen topology.Snapshot) (topology.Wish, error) {
		base, ok := seen.Base(wish)
		if !ok {
			return wish, &NobodyRunsError{Nodes: told(seen)}
		}
		all := wish
		for _, node := range others() {
			if _, member := base.Members[node]; member && !slices.Contains(base.Voices, node) && !slices.Contains(all.Leaving, node) {
				all.Leaving = append(slices.Clone(all.Leaving), node)
			}
		}
		return all, nil
	})
	return err
}

// NobodyRunsError tells that a cluster cannot be dissolved because no member runs that was reached.
type NobodyRunsError struct{ Nodes []string }

// Error implements error.
func (e *NobodyRunsError) Error() string {
	return "no member that could be reached runs, and members leave through one that does:\n" + strings.Join(e.Nodes, "\n") +
		"\nStart one of them and apply again. If the hosts are gone for good, take the resource out with `state rm`, or set on_destroy = \"keep\" and apply and destroy with -refresh=false."
}

// told says of each node how it was found.
func told(seen topology.Snapshot) []string {
	var all []string
	for _, node := range slices.Sorted(maps.Keys(seen)) {
		all = append(all, tell(seen, topology.Step{Node: node}))
	}
	return all
}

// Converge takes the cluster from whatever it is to what is wished: it looks, plans, does the first step, looks whether
// the step shows, and plans again, until there is nothing to do. It returns what it found in the end.
func (f *Fleet) Converge(ctx context.Context, wish topology.Wish) (topology.Reading, error) {
	return f.converge(ctx, func(topology.Snapshot) (topology.Wish, error) { return wish, nil })
}

// converge is Converge for a wish that is made of what is seen. Where nothing is to be done it locks nothing, so that
// runs with nothing to do never wait for each other.
func (f *Fleet) converge(ctx context.Context, decide func(topology.Snapshot) (topology.Wish, error)) (topology.Reading, error) {
	defer f.Memory.forget()
	before, planned := f.Memory.planned(f.places())
	if _, done := isTrue(before, decide); done || !planned {
		ask := f.full()
		ask.Work = true
		glance := f.look(ctx, ask)
		before = glance.Snapshot
		if wish, done := isTrue(before, decide); done && len(glance.busy) == 0 {
			return topology.ReadWished(wish, before)
		}
	}
	// Also what would be refused is looked at again: the reason may be what another run is about to finish.
	mine, seen, err := f.alone(ctx, before, decide)
	if err != nil {
		return topology.Reading{}, err
	}
	defer func() { mine.release() }()
	wish, err := decide(seen)
	if err != nil {
		return topology.Reading{}, err
	}
	lightly := false
	for range patience {
		steps, err := topology.Plan(wish, seen)
		if lightly && (err != nil || len(steps) > 0) { // there is more to do than was planned
			if seen, err = f.quietly(ctx, f.full(), nil); err != nil {
				return topology.Reading{}, err
			}
			steps, err = topology.Plan(wish, seen)
		}
		lightly = false
		var refusal *topology.Refusal
		if errors.As(err, &refusal) && len(refusal.Startable()) > 0 {
			steps, err = refusal.Startable(), nil
		}
		if err != nil {
			return topology.Reading{}, err
		}
		if len(steps) == 0 {
			return topology.ReadWished(wish, seen)
		}
		if !mine.held() { // with its connection
			mine.release()
			if mine, seen, err = f.alone(ctx, seen, func(topology.Snapshot) (topology.Wish, error) { return wish, nil }); err != nil {
				return topology.Reading{}, err
			}
			continue
		}
		batch := sideBySide(steps)
		if base, ok := seen.Base(wish); ok && wish.ID == "" && !batch[0].Starts() {
			wish.ID = base.ID // what this step is for is what the next ones are for, also when nothing else tells; a start is for none
		}
		failed := f.do(ctx, batch)
		if failed != nil && errors.Is(failed, errNoticed) { // nothing was done, and what is to be done is another thing now
			if seen, err = f.quietly(ctx, f.full(), nil); err != nil {
				return topology.Reading{}, err
			}
			continue
		}
		if failed != nil {
			f.afterwards(ctx, wish, failed)
			return topology.Reading{}, failed
		}
		if batch[0].Kind == topology.Leave {
			// It left, and may have been left stopped on purpose: it is not half way any more.
			wish.Leaving = slices.DeleteFunc(slices.Clone(wish.Leaving), func(node string) bool { return node == batch[0].Node })
		}
		ask := f.full()
		if lightly = len(batch) == len(steps); lightly {
			ask = rabbitmq.Ask{Replicas: true}
		}
		if seen, err = f.shown(ctx, batch, ask); err != nil {
			return topology.Reading{}, err
		}
	}
	return topology.Reading{}, fmt.Errorf("gave up after %d steps: the cluster keeps changing, so somebody else is changing it too", patience)
}

// isTrue tells whether nothing is to be done, and for which wish.
func isTrue(seen topology.Snapshot, decide func(topology.Snapshot) (topology.Wish, error)) (topology.Wish, bool) {
	wish, err := decide(seen)
	if err != nil {
		return wish, false
	}
	steps, err := topology.Plan(wish, seen)
	return wish, err == nil && len(steps) == 0
}

// sideBySide takes the starts that lead a plan, or its first step alone.
func sideBySide(steps []topology.Step) []topology.Step {
	n := 0
	for n < len(steps) && steps[n].Starts() {
		n++
	}
	return steps[:max(n, 1)]
}

// do carries out steps side by side and returns the first failure in their order.
func (f *Fleet) do(ctx context.Context, steps []topology.Step) *StepError {
	failures := make([]error, len(steps))
	var all sync.WaitGroup
	for i, step := range steps {
		f.Report(ctx, step.Foretell())
		all.Go(func() { failures[i] = f.carryOut(ctx, step) })
	}
	all.Wait()
	for i, err := range failures {
		if err != nil {
			return &StepError{Step: steps[i], Err: err}
		}
	}
	return nil
}

// shown looks until every step shows on every side, and returns that look, which the next plan is made from: nothing but
// the state of the nodes is asked for where none is expected.
func (f *Fleet) shown(ctx context.Context, steps []topology.Step, ask rabbitmq.Ask) (topology.Snapshot, error) {
	deadline := time.Now().Add(settle)
	for {
		seen, err := f.quietly(ctx, ask, nil)
		if err != nil {
			return nil, err
		}
		missing := topology.Step{}
		for _, step := range steps {
			if !step.Done(seen) {
				missing = step
			}
		}
		if missing.Kind == "" {
			return seen, nil
		}
		if time.Now().After(deadline) {
			return nil, &StepError{Step: missing, Err: fmt.Errorf("every command succeeded, but after %s the members still do not show it", settle), After: tell(seen, missing)}
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return nil, &StepError{Step: missing, Err: err, After: tell(seen, missing)}
		}
	}
}

// afterwards finds out what a failed step left behind: the outcome of a command is read, never guessed.
func (f *Fleet) afterwards(ctx context.Context, wish topology.Wish, failed *StepError) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recovery)
	defer cancel()
	seen, err := f.quietly(ctx, rabbitmq.Ask{}, nil)
	if err != nil {
		failed.After = err.Error()
		return
	}
	failed.After = tell(seen, failed.Step)
	if failed.Step.Starts() {
		failed.Recovery = topology.Recovery(wish, seen)
	}
}

// tell says in words how the two sides of a step look.
func tell(seen topology.Snapshot, step topology.Step) string {
	var parts []string
	for _, node := range []string{step.Node, step.Via} {
		if node == "" {
			continue
		}
		v := seen[node]
		switch v.State {
		case topology.Unreachable, topology.Failed:
			parts = append(parts, fmt.Sprintf("%s could not be read (%s)", node, v.Why))
		case topology.Down:
			parts = append(parts, node+" is down")
		default:
			parts = append(parts, fmt.Sprintf("%s is %s and lists %s as members%s", node, words[v.State], list(v.Members), ofWhich(v)))
		}
	}
	return strings.Join(parts, "; ")
}

// ofWhich says which of the members that a node lists run, as far as it can tell.
func ofWhich(v topology.View) string {
	switch {
	case v.Members == nil:
		return ""
	case len(v.Running) == 0:
		return ", of which it sees none running"
	}
	return fmt.Sprintf(", of which %s run", strings.Join(v.Running, ", "))
}

var words = map[topology.State]string{
	topology.Stopped: "up with its application stopped",
	topology.Paused:  "paused by RabbitMQ itself",
	topology.Booting: "booting",
	topology.Running: "running",
}
