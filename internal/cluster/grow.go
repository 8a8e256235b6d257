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

// grow gives quorum queues and streams a replica on a member. A queue that has just elected a leader, or whose last
// change of replicas is still going on, refuses; RabbitMQ then succeeds as a whole and says so of that queue alone. What
// is missing is read, and asked for again until nothing is.
func (f *Fleet) grow(ctx context.Context, via *rabbitmq.Node, step topology.Step) error {
	deadline := time.Now().Add(settle)
	said := ""
	for {
		status, err := via.Status(ctx, rabbitmq.Ask{Replicas: true})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(status.Lacking, func(l rabbitmq.Lacking) bool { return l.Node == step.Node })
		if i < 0 {
			return fmt.Errorf("%s does not see %s running, or could not say which replicas it lacks", step.Via, step.Node)
		}
		lacks := status.Lacking[i]
		if lacks.Quorum == 0 && len(lacks.Streams) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			next := ""
			if strings.Contains(said, "non_stable_members") { // since 4.3
				next = " That means that another replica does not run: start its member, or take the member out when it is gone for good."
			}
			return fmt.Errorf("after %s quorum queues without a replica on %s: %d, streams: %d. RabbitMQ said: %s.%s", settle, step.Node, lacks.Quorum, len(lacks.Streams), strings.TrimRight(said, ". \n"), next)
		}
		if lacks.Quorum > 0 {
			if said, err = via.GrowQueues(ctx, step.Node); err != nil {
				return err
			}
		}
		for _, stream := range lacks.Streams {
			if err := via.AddStreamReplica(ctx, stream, step.Node); err != nil {
				return err
			}
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}
