package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// SetMaintenance drains a node or revives it, and reads that it took effect.
func (f *Fleet) SetMaintenance(ctx context.Context, name string, drain bool) error {
	mine, err := f.begin(ctx)
	if err != nil {
		return err
	}
	defer mine.release()
	node, err := f.node(name)
	if err != nil {
		return err
	}
	status, err := node.Status(ctx, rabbitmq.Ask{Overview: true})
	if err != nil {
		return err
	}
	if !status.Running {
		return fmt.Errorf("%s does not run, so there is no maintenance to begin or to end", name)
	}
	if rabbitmq.Draining(status.Maintenance) == drain {
		f.Report(ctx, name+map[bool]string{true: " is in maintenance already", false: " is in regular operation already"}[drain])
		return nil
	}
	if !drain {
		f.Report(ctx, name+": ending maintenance")
		err = node.Revive(ctx)
	} else {
		if others := serving(status, name); len(others) == 0 {
			return fmt.Errorf("%s was not drained: no other member that runs takes clients, so that nobody would", name)
		}
		f.Report(ctx, name+": handing leaders to other members and closing client connections")
		err = node.Drain(ctx)
	}
	if err != nil {
		return err
	}
	if status, err = node.Status(ctx, rabbitmq.Ask{}); err != nil {
		return err
	}
	if rabbitmq.Draining(status.Maintenance) != drain {
		return fmt.Errorf("the command succeeded, and %s still tells that its maintenance status is %q", name, status.Maintenance)
	}
	f.Report(ctx, name+map[bool]string{true: ": in maintenance, takes no clients", false: ": in regular operation"}[drain])
	return nil
}

// serving lists the running members other than one that take clients.
func serving(status rabbitmq.Status, except string) []string {
	var others []string
	for _, p := range status.Overview.Members {
		if p.Node != except && (p.Maintenance == "regular" || p.Maintenance == "undefined") {
			others = append(others, p.Node)
		}
	}
	return others
}

// Rebalance gives members replicas of the quorum queues and streams that they have none of, and spreads leaders.
func (f *Fleet) Rebalance(ctx context.Context, grow []string, leaders *rabbitmq.Selection) error {
	mine, err := f.begin(ctx)
	if err != nil {
		return err
	}
	defer mine.release()
	if missing := f.missing(ctx); len(missing) > 0 {
		return fmt.Errorf("nothing was moved, because the cluster is not whole: %s. Leaders would gather on the members that run, and replicas need a majority to move", strings.Join(missing, "; "))
	}
	word, others := f.firstRunning(ctx, rabbitmq.Ask{})
	if word.Node == "" {
		return &NobodyAnsweredError{Causes: told(others)}
	}
	via, err := f.node(word.Node)
	if err != nil {
		return err
	}
	for _, node := range grow {
		f.Report(ctx, "giving "+node+" a replica of every quorum queue and stream that has none there")
		if err := f.grow(ctx, via, topology.Step{Node: node, Via: word.Node}); err != nil {
			return err
		}
	}
	if leaders == nil {
		return nil
	}
	f.Report(ctx, "spreading the leaders of "+leaders.Type+" queues over "+strings.Join(word.RunningNodes, ", "))
	said, err := via.RebalanceLeaders(ctx, *leaders)
	if err != nil {
		return err
	}
	f.Report(ctx, "leaders are spread. RabbitMQ said: "+said)
	return nil
}
