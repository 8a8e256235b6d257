package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// RestartError is a rolling restart that ended before its end.
type RestartError struct {
	Done []string
	Node string
	Err  error
}

// Error implements error.
func (e *RestartError) Error() string {
	done := "No node was restarted before it."
	if len(e.Done) > 0 {
		done = "Restarted before it, and back: " + strings.Join(e.Done, ", ") + "."
	}
	return fmt.Sprintf("%s: %s\n%s No other node was touched after that.", e.Node, e.Err, done)
}

// Unwrap gives the cause.
func (e *RestartError) Unwrap() error { return e.Err }

// criticalPatience is how long a restart waits until a node can be spared. Replicas that are catching up make it so soon;
// a queue with too few of them never does.
const criticalPatience = 2 * time.Minute

// RollingRestart restarts the services of nodes one after the other. Each is stopped only while every member runs and
// nothing would lose its majority, and the next one waits until its replicas have caught up.
func (f *Fleet) RollingRestart(ctx context.Context, nodes []string, drain bool) error {
	mine, err := f.begin(ctx)
	if err != nil {
		return err
	}
	defer mine.release()
	defer f.Memory.forget()
	for _, name := range nodes { // bad hosts are found before the first node is touched
		node, err := f.node(name)
		if err != nil {
			return err
		}
		facts, err := node.Facts(ctx)
		if err != nil {
			return err
		}
		if !node.Restartable(facts) {
			return fmt.Errorf("the host %s of %s has no systemd unit that could be restarted (it is %q): name it in `service`. Nothing was restarted", node.Address(), name, facts.Unit.Load)
		}
	}
	for i, name := range nodes {
		f.Report(ctx, fmt.Sprintf("%s: restart %d of %d", name, i+1, len(nodes)))
		if err := f.restart(ctx, name, drain); err != nil {
			return &RestartError{Done: nodes[:i], Node: name, Err: err}
		}
	}
	return nil
}

// begin locks the hosts for what an action does.
func (f *Fleet) begin(ctx context.Context) (*claim, error) {
	mine, _, err := f.alone(ctx, f.look(ctx, rabbitmq.Ask{}).Snapshot, nil)
	return mine, err
}

func (f *Fleet) restart(ctx context.Context, name string, drain bool) error {
	if err := f.allRun(ctx); err != nil {
		return err
	}
	node, err := f.node(name)
	if err != nil {
		return err
	}
	if err := f.awaitSpare(ctx, node); err != nil {
		return err
	}
	if drain {
		if err := f.drain(ctx, node); err != nil {
			return err
		}
	}
	f.Report(ctx, name+": restarting its service")
	began := time.Now()
	if err := node.Restart(ctx); err != nil {
		return fmt.Errorf("%w\nAfterwards: %s", err, f.found(ctx, name))
	}
	f.Report(ctx, name+": waiting until every member sees it again")
	if err := f.awaitAll(ctx); err != nil {
		return err
	}
	status, err := node.Status(ctx, rabbitmq.Ask{Overview: true})
	if err != nil {
		return err
	}
	own := slices.IndexFunc(status.Overview.Members, func(p rabbitmq.Peer) bool { return p.Node == name })
	if own < 0 || time.Duration(status.Overview.Members[own].Uptime)*time.Second > time.Since(began)+2*time.Second {
		return fmt.Errorf("systemd reported the restart of its service as done, and the node has been up since before it: the unit does not run this node. Correct `service`")
	}
	if rabbitmq.Draining(status.Maintenance) {
		if err := node.Revive(ctx); err != nil {
			return err
		}
	}
	return f.awaitReplicas(ctx, node)
}

// found says how a node is after something failed: the outcome of a command is read, never guessed.
func (f *Fleet) found(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recovery)
	defer cancel()
	return tell(f.look(ctx, rabbitmq.Ask{}).Snapshot, topology.Step{Node: name})
}

// allRun checks that no member is missing, so that never two are down.
func (f *Fleet) allRun(ctx context.Context) error {
	missing := f.missing(ctx)
	if len(missing) > 0 {
		return fmt.Errorf("it was not restarted, because the cluster is not whole: %s. Bring that in order first: two nodes that are down at once can take queues away", strings.Join(missing, "; "))
	}
	return nil
}

// missing says which members do not run, or do not see each other, or cannot be asked.
func (f *Fleet) missing(ctx context.Context) []string {
	seen := f.look(ctx, rabbitmq.Ask{}).Snapshot
	names := sortedNames(seen)
	var all []string
	for _, a := range names {
		v := seen[a]
		switch {
		case v.State == topology.Unreachable || v.State == topology.Failed:
			all = append(all, fmt.Sprintf("%s cannot be asked (%s)", a, v.Why))
			continue
		case v.State != topology.Running:
			all = append(all, a+" does not run")
			continue
		case v.NoMajority:
			all = append(all, a+" has no majority of the metadata store")
		case len(v.Partitioned) > 0:
			all = append(all, a+" reports a partition from "+strings.Join(v.Partitioned, ", "))
		}
		for _, b := range names {
			if seen[b].State != topology.Running {
				continue
			}
			if _, lists := v.Members[b]; !lists {
				all = append(all, fmt.Sprintf("%s is no member for %s", b, a))
			} else if !slices.Contains(v.Running, b) {
				all = append(all, fmt.Sprintf("%s does not see %s running", a, b))
			}
		}
	}
	return all
}

func sortedNames(seen topology.Snapshot) []string {
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// awaitAll waits until no member is missing. A boot may take as long as ctx lets it.
func (f *Fleet) awaitAll(ctx context.Context) error {
	for {
		missing := f.missing(ctx)
		if len(missing) == 0 {
			return nil
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("it was restarted, and the cluster is not whole again: %s: %w", strings.Join(missing, "; "), err)
		}
	}
}

// awaitSpare waits until a node may stop without taking the majority from a queue or from the metadata store.
func (f *Fleet) awaitSpare(ctx context.Context, node *rabbitmq.Node) error {
	deadline := time.Now().Add(criticalPatience)
	said, what := false, ""
	for {
		critical, err := node.Critical(ctx)
		if len(critical) > 0 {
			what = strings.Join(shorten(critical), ", ")
		}
		if err != nil && what != "" { // most often the end of ctx, which says nothing of why it was waited for
			return fmt.Errorf("waiting until it can be spared by %s: %w", what, err)
		}
		if err != nil || len(critical) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it was not stopped: for %s these would have been left without a majority of running replicas, or without a synchronised mirror: %s. "+
				"Give them more replicas (action rabbitmq_rebalance with grow), or synchronise the mirrors (`rabbitmqctl sync_queue`)", criticalPatience, what)
		}
		if !said {
			f.Report(ctx, fmt.Sprintf("%s: waiting, because it is needed for %s", node.Name(), what))
			said = true
		}
		if err := pause(ctx, time.Second); err != nil {
			return fmt.Errorf("waiting until it can be spared by %s: %w", what, err)
		}
	}
}

// drain hands the node's work to others, as far as its version can.
func (f *Fleet) drain(ctx context.Context, node *rabbitmq.Node) error {
	f.Report(ctx, node.Name()+": draining")
	err := node.Drain(ctx)
	switch {
	case rabbitmq.IsKind(err, rabbitmq.NotSupported): // before 3.8.8
		f.Report(ctx, node.Name()+": this version has no maintenance mode, so it is restarted without")
		return nil
	case err == nil:
		return nil
	}
	// Whatever took effect is taken back: a drained node serves nobody.
	recovering, cancel := context.WithTimeout(context.WithoutCancel(ctx), recovery)
	defer cancel()
	if waiting := f.awaitQuiet(recovering, node); waiting == nil {
		_ = node.Revive(recovering)
	}
	return err
}

// awaitReplicas waits until the node's replicas reach what their leaders had committed when it came back.
func (f *Fleet) awaitReplicas(ctx context.Context, node *rabbitmq.Node) error {
	goals := map[string]int64{}
	said := -1
	for {
		status, err := node.Status(ctx, rabbitmq.Ask{Lag: true})
		if err != nil {
			return err
		}
		var behind []string
		for _, r := range status.Lag {
			goal, known := goals[r.Queue()]
			if !known && r.Led() {
				goal = r.Leader
				goals[r.Queue()] = goal
			}
			if !r.Reaches(goal) {
				behind = append(behind, r.Queue())
			}
		}
		if len(behind) == 0 {
			f.Report(ctx, fmt.Sprintf("%s: back, all %d of its replicas have caught up", node.Name(), len(status.Lag)))
			return nil
		}
		if len(behind) != said {
			f.Report(ctx, fmt.Sprintf("%s: waiting for %d of its %d replicas to catch up", node.Name(), len(behind), len(status.Lag)))
			said = len(behind)
		}
		if err := pause(ctx, time.Second); err != nil {
			return fmt.Errorf("it is back, and its replicas of these have not caught up: %s: %w", strings.Join(shorten(behind), ", "), err)
		}
	}
}

// shorten leaves a list that fits a message: its first entries, and how many more there are.
func shorten(all []string) []string {
	if len(all) <= maxNamed {
		return all
	}
	more := len(all) - maxNamed + 1
	return append(slices.Clone(all[:maxNamed-1]), fmt.Sprintf("%d more", more))
}
