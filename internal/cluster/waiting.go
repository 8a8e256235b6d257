package cluster

import (
	"context"
	"errors"
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

// noticing is how long members may take to notice that the host of one of them is gone: they see it run until they have
// not heard of it for net_ticktime, which is 60 seconds, and look every quarter of that.
const noticing = 90 * time.Second

// errNoticed tells that a member which was to leave or to be forgotten is by now in another state than it was planned for.
// Nothing was done to it.
var errNoticed = errors.New("its state has changed")

// noticed waits until a member sees that another one is down which did not answer, and then returns errNoticed; err when
// it goes on to see it run, or to be no help.
func (f *Fleet) noticed(ctx context.Context, peer *rabbitmq.Node, name string, err error) error {
	f.Report(ctx, fmt.Sprintf("%s does not answer, and %s still sees it run: waiting until it notices, %s at the most", name, peer.Name(), noticing))
	for deadline := time.Now().Add(noticing); time.Now().Before(deadline); {
		status, asked := peer.Status(ctx, rabbitmq.Ask{})
		if asked != nil {
			return errors.Join(err, asked)
		}
		if !slices.Contains(status.RunningNodes, name) {
			return errNoticed
		}
		if pause(ctx, time.Second) != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return fmt.Errorf("%s still sees it run after %s: %w", peer.Name(), noticing, err)
}
