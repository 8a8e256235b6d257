package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/simulation"
)

// grown is a plan without changes at one size.
type grown struct {
	Clusters, Members int // members of each
	Wall              time.Duration
	Connections       int
	Commands          int
	Memory            int // bytes, at the most, of one process of the provider
}

// sizes are what a plan is measured at.
var sizes = []grown{{Clusters: 1, Members: 1}, {Clusters: 1, Members: 10}, {Clusters: 1, Members: 100}, {Clusters: 1, Members: 300}, {Clusters: 1, Members: 3}, {Clusters: 10, Members: 3}, {Clusters: 100, Members: 3}}

// growthRounds is how often each size is planned; the fastest counts, because only the machine can make one slower.
const growthRounds = 3

// measureGrowth plans clusters of simulated brokers, each behind an SSH server of its own, with the real CLI and the
// provider's real binary.
func measureGrowth(ctx context.Context, cli *cli) ([]grown, error) {
	var all []grown
	for _, size := range sizes {
		g, err := grow(ctx, cli, size)
		if err != nil {
			return nil, fmt.Errorf("%d clusters of %d: %w", size.Clusters, size.Members, err)
		}
		fmt.Fprintf(os.Stderr, "%3d clusters of %3d: %6.2f s\n", g.Clusters, g.Members, g.Wall.Seconds())
		all = append(all, g)
	}
	return all, nil
}

func grow(ctx context.Context, cli *cli, g grown) (grown, error) {
	fleet := simulation.New(simulation.Options{
		Hosts: g.Clusters * g.Members, Version: simulation.V310, Second: time.Millisecond,
		Loud: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	})
	t := &stand{}
	defer t.end()
	servers := simulation.Serve(t, fleet)
	defer servers.Close()

	resources := map[string]any{}
	names := fleet.Names()
	for i := range g.Clusters {
		members := names[i*g.Members : (i+1)*g.Members]
		for _, member := range members[1:] {
			fleet.Broker(member).JoinByHand(members[0], "disc")
		}
		resources[fmt.Sprintf("c%d", i)] = map[string]any{"members": servers.Members(members...)}
	}
	w, err := cli.workspace(fmt.Sprintf("growth-%d-%d", g.Clusters, g.Members), map[string]any{
		"terraform": required, "provider": map[string]any{"rabbitmq": servers.Provider()},
		"resource": map[string]any{"rabbitmq_cluster": resources},
	})
	if err != nil {
		return g, err
	}
	if err := w.apply(ctx); err != nil { // adopts what is there
		return g, err
	}
	if changes := fleet.Commands(); len(changes) > 0 {
		return g, fmt.Errorf("adopting ran commands that change something: %v", changes)
	}
	var walls []time.Duration
	for range growthRounds {
		connections, commands := servers.Seen()
		began := time.Now()
		memory, err := cli.peak(func() error { return w.emptyPlan(ctx) })
		if err != nil {
			return g, err
		}
		walls = append(walls, time.Since(began))
		after, ran := servers.Seen()
		g.Connections, g.Commands, g.Memory = after-connections, ran-commands, max(g.Memory, memory)
	}
	g.Wall = slices.Min(walls)
	return g, os.RemoveAll(w.dir)
}

// stand stands in for a test where the SSH servers of tests are put before the simulated hosts.
type stand struct {
	testing.TB
	cleanups []func()
}

func (*stand) Helper() {}

func (s *stand) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *stand) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (s *stand) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (s *stand) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}
