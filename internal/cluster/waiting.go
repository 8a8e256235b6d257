package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// tellEvery is how often a long wait is reported.
const tellEvery = 20 * time.Second

// telling does something that waits for a boot, and tells how that goes while it takes long: a member waits at its start
// for others, on Mnesia and on Khepri for five minutes, and only then fails.
func (f *Fleet) telling(ctx context.Context, node *rabbitmq.Node, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	began := time.Now()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			f.Report(ctx, fmt.Sprintf("%s does not run yet after %s%s", node.Name(), time.Since(began).Round(time.Second), f.waitsFor(ctx, node)))
		}
	}
}

// waitsFor says whom a booting member waits for, as far as it can tell.
func (f *Fleet) waitsFor(ctx context.Context, node *rabbitmq.Node) string {
	ctx, cancel := context.WithTimeout(ctx, tellEvery)
	defer cancel()
	status, err := node.Status(ctx, rabbitmq.Ask{})
	switch others := slices.DeleteFunc(status.Members(), func(name string) bool { return name == node.Name() }); {
	case err != nil || !status.Booting && !status.Paused:
		return ""
	case len(others) > 0:
		return ": it boots and waits for enough of " + strings.Join(others, ", ")
	default:
		return ": it boots and waits for enough of its peers"
	}
}
