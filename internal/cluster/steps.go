package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// carryOut does one step. An error leaves open how much of it took effect.
func (f *Fleet) carryOut(ctx context.Context, step topology.Step) error {
	if step.Kind == topology.Leave || step.Kind == topology.Forget {
		via, err := f.node(step.Via)
		if err != nil {
			return err
		}
		if step.Kind == topology.Forget {
			return f.forget(ctx, via, step)
		}
		return f.leave(ctx, via, step)
	}
	node, err := f.node(step.Node)
	if err != nil {
		return err
	}
	switch step.Kind {
	case topology.StartService:
		return f.telling(ctx, node, func() error { return f.startService(ctx, node) })
	case topology.StartApp:
		return f.telling(ctx, node, func() error { return node.StartApp(ctx) })
	case topology.Await:
		return f.telling(ctx, node, func() error { return f.awaitBoot(ctx, node) })
	case topology.Reset:
		return f.reset(ctx, node)
	case topology.SetName:
		return node.SetClusterName(ctx, step.Name)
	}
	via, err := f.node(step.Via)
	if err != nil {
		return err
	}
	switch step.Kind {
	case topology.Expel:
		return f.expel(ctx, node, via, step)
	case topology.Grow:
		return f.grow(ctx, via, step)
	case topology.Join:
		return f.join(ctx, node, via, step)
	case topology.SetType:
		return f.stopped(ctx, node, func() error { return node.ChangeType(ctx, step.Type == topology.RAM) })
	}
	return fmt.Errorf("a step of an unknown kind: %s", step.Kind)
}

// startService starts the unit and waits for the end of the boot: a member waits there for its peers, on Mnesia for
// five minutes, on Khepri until a majority is up.
func (f *Fleet) startService(ctx context.Context, node *rabbitmq.Node) error {
	if err := node.StartService(ctx); err != nil {
		return err
	}
	return node.AwaitService(ctx)
}

// awaitBoot waits until a boot that somebody else began is over, either way.
func (f *Fleet) awaitBoot(ctx context.Context, node *rabbitmq.Node) error {
	for {
		status, err := node.Status(ctx, rabbitmq.Ask{})
		if err != nil || !status.Booting && !status.Paused {
			return err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// join makes node a member. The world was looked at just before; the seed is looked at once more after the joiner
// stopped, because 4.3 wipes the joiner and then fails when the seed's application is not running (measured).
func (f *Fleet) join(ctx context.Context, node, seed *rabbitmq.Node, step topology.Step) error {
	if step.Unproved {
		if err := meet(ctx, node, seed); err != nil {
			return err
		}
	}
	return f.stopped(ctx, node, func() error {
		status, err := seed.Status(ctx, rabbitmq.Ask{})
		if err != nil {
			return fmt.Errorf("looking at the seed right before the join: %w", err)
		}
		switch {
		case !status.Running:
			return fmt.Errorf("the seed %s stopped just now; the join was not tried", step.Via)
		case !status.MetadataMajority():
			return fmt.Errorf("the seed %s lost the majority just now; the join was not tried", step.Via)
		case slices.Contains(status.Members(), step.Node):
			return fmt.Errorf("the seed %s lists %s as a member just now; the join was not tried", step.Via, step.Node)
		}
		return node.JoinCluster(ctx, step.Via, step.Type == topology.RAM)
	})
}

// stopped does something while a node's application is stopped, and starts it again whatever happened: after every
// failed join RabbitMQ leaves it stopped (measured).
func (f *Fleet) stopped(ctx context.Context, node *rabbitmq.Node, do func() error, asked ...*rabbitmq.Node) error {
	err := node.StopApp(ctx)
	if err == nil {
		err = do()
	}
	if err == nil {
		return node.StartApp(ctx)
	}
	return f.startAgain(ctx, node, err, asked...)
}

// reset wipes a node that its cluster has forgotten. A Mnesia node connects to those that it remembers for that, and fails
// when one of them has been reset since: its schema is another one (measured on 3.10). There is nobody left to tell then.
func (f *Fleet) reset(ctx context.Context, node *rabbitmq.Node) error {
	err := node.Reset(ctx)
	if !rabbitmq.IsKind(err, rabbitmq.SchemaApart) {
		return err
	}
	f.Report(ctx, fmt.Sprintf("resetting %s without the members that it remembers, because one of them was reset since", node.Name()))
	return node.ForceReset(ctx)
}

// expel has a member forget the old holder of a name whose host came back blank. Peers refuse that while its application
// runs. Where they ask whom they forget to leave by itself, which a blank node does without any effect on them, the whole
// node is stopped, so that they do not reach it.
func (f *Fleet) expel(ctx context.Context, node, via *rabbitmq.Node, step topology.Step) error {
	own, err := node.Status(ctx, rabbitmq.Ask{})
	if others := own.Members(); err == nil && own.Running && len(others) > 1 && !step.Consent {
		return fmt.Errorf("%s runs in a cluster with others by now (%s), and %s does not forget a name whose node runs: stop its application for a moment (`rabbitmqctl stop_app`), apply, and start it again", node.Name(), strings.Join(others, ", "), step.Via)
	}
	status, err := via.Status(ctx, rabbitmq.Ask{})
	if err != nil {
		return err
	}
	if !rabbitmq.CapabilitiesOf(status).ForgetResets {
		return f.stopped(ctx, node, func() error { return f.forgetOn(ctx, via, node.Name()) }, via)
	}
	err = node.StopNode(ctx)
	if err == nil {
		err = f.forgetOn(ctx, via, node.Name())
	}
	if err != nil {
		f.Report(ctx, fmt.Sprintf("starting %s again after a failure", node.Name()))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), recovery)
		defer cancel()
		if waiting := f.awaitQuiet(ctx, via); waiting != nil {
			return errors.Join(err, fmt.Errorf("%s was not started again: %w", node.Name(), waiting))
		}
	}
	if starting := f.startService(ctx, node); starting != nil {
		return errors.Join(err, fmt.Errorf("starting %s again: %w", node.Name(), starting))
	}
	return err
}

// startAgain brings a node's application back after err, once nothing goes on any more there and at those that were asked
// about it, and returns err with whatever went wrong on top.
func (f *Fleet) startAgain(ctx context.Context, node *rabbitmq.Node, err error, asked ...*rabbitmq.Node) error {
	f.Report(ctx, fmt.Sprintf("starting the application of %s again after a failure", node.Name()))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recovery)
	defer cancel()
	for _, one := range append(asked, node) {
		if waiting := f.awaitQuiet(ctx, one); waiting != nil {
			return errors.Join(err, fmt.Errorf("%s was not started again: %w", node.Name(), waiting))
		}
	}
	if starting := node.StartApp(ctx); starting != nil {
		return errors.Join(err, fmt.Errorf("and starting %s again failed: %w", node.Name(), starting))
	}
	return err
}

// forget drops a member that does not run. Its own host is asked once more: what looked dead may have been one lost
// connection to a member that is cut off from the others and runs. A host that answers, and does not tell, is no dead one.
func (f *Fleet) forget(ctx context.Context, via *rabbitmq.Node, step topology.Step) error {
	node, err := f.node(step.Node)
	if err != nil {
		return f.forgetOn(ctx, via, step.Node)
	}
	o, err := node.Observe(ctx, rabbitmq.Ask{})
	switch {
	case err != nil && !unreachable(err) && !step.Consent:
		return fmt.Errorf("whether %s runs cannot be told, although its host answers. It was not forgotten: mend that, or turn its host off when its broker is gone for good: %w", step.Node, err)
	case err != nil || o.Condition == rabbitmq.Down:
		return f.forgetOn(ctx, via, step.Node)
	case o.Condition == rabbitmq.Running && slices.Contains(o.Status.Members(), step.Via):
		return fmt.Errorf("%s runs and counts %s as a member, which does not see it: the network between them is broken. It was not forgotten; mend the network", step.Node, step.Via)
	case o.Condition == rabbitmq.Running: // blank, since its boot has ended
		return f.expel(ctx, node, via, step)
	case o.Condition == rabbitmq.Booting && f.boots(ctx, node):
		return errNoticed
	}
	if err := f.forgetOn(ctx, via, step.Node); err != nil {
		return err
	}
	status, err := via.Status(ctx, rabbitmq.Ask{})
	if err != nil || !slices.Contains(status.Members(), step.Node) {
		return err
	}
	return f.expel(ctx, node, via, step) // it has nothing to leave, and was asked to: success without effect (measured on 4.3)
}

// boots waits for the end of a boot that is soon over, and tells whether it is. One that waits for its peers is not.
func (f *Fleet) boots(ctx context.Context, node *rabbitmq.Node) bool {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return f.awaitBoot(ctx, node) == nil
}

// forgetOn makes a member forget a name, and the replicas that were there.
func (f *Fleet) forgetOn(ctx context.Context, via *rabbitmq.Node, name string) error {
	if err := via.ForgetClusterNode(ctx, name); err != nil {
		return err
	}
	status, err := via.Status(ctx, rabbitmq.Ask{})
	if err != nil || !rabbitmq.CapabilitiesOf(status).ForgetLeavesReplicas {
		return err
	}
	return via.ShrinkQueues(ctx, name)
}

// The types of queues that have replicas.
const (
	quorumQueue = "rabbit_quorum_queue"
	streamQueue = "rabbit_stream_queue"
)

// hasReplicas tells whether a node holds a replica of a quorum queue, which is also assumed when nobody could tell.
func hasReplicas(i *rabbitmq.Inventory, node string) bool {
	return i == nil || slices.ContainsFunc(i.Queues, func(q rabbitmq.QueueGroup) bool {
		return q.Type == quorumQueue && slices.Contains(q.Copies, node)
	})
}

// hasStreams tells whether there is a stream anywhere. Without any nothing is lost with their coordinator.
func hasStreams(i *rabbitmq.Inventory) bool {
	return i != nil && slices.ContainsFunc(i.Queues, func(q rabbitmq.QueueGroup) bool { return q.Type == streamQueue })
}

// shrunk waits until a member holds no replica of a quorum queue or stream that has others, and so stops without taking
// a queue's majority along: a queue without a leader at that moment keeps its replica, and shrink ends well all the same.
func (f *Fleet) shrunk(ctx context.Context, leaver *rabbitmq.Node, step topology.Step) error {
	deadline := time.Now().Add(settle)
	for {
		status, err := leaver.Status(ctx, rabbitmq.Ask{Inventory: true})
		if err != nil {
			return err
		}
		left := 0
		for _, q := range inventoryOf(status).Queues {
			if (q.Type == quorumQueue || q.Type == streamQueue) && len(q.Copies) > 1 && slices.Contains(q.Copies, step.Node) {
				left += q.Count
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s still has replicas of %d quorum queues or streams %s after they were taken off. It was not stopped: look at `rabbitmq-queues quorum_status` and `rabbitmq-streams stream_status` of those", step.Node, left, settle)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func inventoryOf(s rabbitmq.Status) rabbitmq.Inventory {
	if s.Inventory == nil {
		return rabbitmq.Inventory{}
	}
	return *s.Inventory
}

// leave takes a running member out through a peer, with rabbitmqctl -n, so that it works the same when the member's
// own host cannot be reached. This order is safe on every version and store: stop, forget on the peer, reset (measured).
func (f *Fleet) leave(ctx context.Context, peer *rabbitmq.Node, step topology.Step) error {
	leaver := peer.Through(step.Node)
	status, err := leaver.Status(ctx, rabbitmq.Ask{Peers: true, Inventory: true})
	if rabbitmq.IsKind(err, rabbitmq.NodeDown, rabbitmq.EpmdUnreachable, rabbitmq.PortUnreachable) {
		return f.noticed(ctx, peer, step.Node, err)
	}
	if err != nil {
		return err
	}
	// While the leaver still votes: of two replicas the one that is left is no majority, so that forget could not drop
	// the other (rabbit_quorum_queue:delete_member/2 asks the queue's own Raft group), and the queue would be stuck for
	// good. 3.8 drops none in any case (measured).
	if hasReplicas(status.Inventory, step.Node) {
		if err := peer.ShrinkQueues(ctx, step.Node); err != nil {
			return err
		}
	}
	if hasStreams(status.Inventory) {
		if err := peer.ShrinkStreams(ctx, step.Node); err != nil && !step.Consent {
			return err
		}
	}
	if hasReplicas(status.Inventory, step.Node) || hasStreams(status.Inventory) {
		if err := f.shrunk(ctx, leaver, step); err != nil && !step.Consent {
			return err
		}
	}
	if err := leaver.StopApp(ctx); err != nil {
		return err
	}
	// The others may be gone since the last look. A leader that is alone forgets all the same and reports success (measured
	// on 4.3), and the vote that would have kept the majority is lost.
	if rabbitmq.CapabilitiesOf(status).NeedsMajority {
		left, err := peer.Status(ctx, rabbitmq.Ask{})
		if err == nil && !left.KeepsMajorityWithout(step.Node) {
			err = fmt.Errorf("the majority of the other members was lost just now (%s sees %s running); %s was not taken out, because its vote is needed", step.Via, strings.Join(left.RunningNodes, ", "), step.Node)
		}
		if err != nil {
			return f.startAgain(ctx, leaver, err)
		}
	}
	if err := peer.ForgetClusterNode(ctx, step.Node); err != nil {
		return f.stillMember(ctx, peer, leaver, err)
	}
	if err := leaver.Reset(ctx); err != nil {
		return err
	}
	if step.StayStopped || slices.ContainsFunc(status.Peers, func(other string) bool { return other != step.Node }) {
		f.Report(ctx, fmt.Sprintf("leaving %s blank and stopped: its own peer discovery names %s and would make it join again", step.Node, strings.Join(status.Peers, ", ")))
		return nil
	}
	if err := leaver.StartApp(ctx); err != nil {
		return err
	}
	after, err := leaver.Status(ctx, rabbitmq.Ask{})
	if err != nil {
		return err
	}
	if len(after.Members()) > 1 {
		return fmt.Errorf("%s was taken out and reset, and is a member again of a cluster with %s: something on its host makes it join", step.Node, strings.Join(after.Members(), ", "))
	}
	return nil
}

// stillMember brings a leaver back to work that its peer did not forget, once it is sure that it does not do so any more.
// One that it forgot all the same could not start: the next run resets it.
func (f *Fleet) stillMember(ctx context.Context, peer, leaver *rabbitmq.Node, err error) error {
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), recovery)
	defer cancel()
	if asked := f.awaitQuiet(waiting, peer); asked != nil {
		return errors.Join(err, fmt.Errorf("%s was not started again: %w", leaver.Name(), asked))
	}
	if status, asked := peer.Status(waiting, rabbitmq.Ask{}); asked == nil && !slices.Contains(status.Members(), leaver.Name()) {
		return errors.Join(err, fmt.Errorf("%s was forgotten all the same; the next apply resets and starts it", leaver.Name()))
	}
	return f.startAgain(ctx, leaver, err)
}

func list(members map[string]topology.Type) string {
	if members == nil {
		return "nobody (it cannot tell while stopped)"
	}
	return strings.Join(slices.Sorted(maps.Keys(members)), ", ")
}
