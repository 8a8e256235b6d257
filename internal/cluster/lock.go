package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// Two runs that change one cluster at once would each plan from a world that the other is changing. So a run that has
// something to change locks every host that it sees, and looks again once it has them all. A lock goes away with its
// connection, and so with a killed run; what such a run left running on a host is what Fleet.quietly waits for.

// claim is the hosts that one run has for itself. A nil one is none.
type claim struct{ locks []*remote.Lock }

// held tells whether it was made and all of its locks are still held.
func (c *claim) held() bool {
	return c != nil && !slices.ContainsFunc(c.locks, func(one *remote.Lock) bool { return !one.Held() })
}

func (c *claim) release() {
	if c == nil {
		return
	}
	var all sync.WaitGroup
	for _, one := range c.locks {
		all.Go(one.Release)
	}
	all.Wait()
}

// ChangedByOthersError says that the wait for another run has ended before that run did.
type ChangedByOthersError struct {
	Host, Holder string
	Err          error
}

// Error implements error.
func (e *ChangedByOthersError) Error() string {
	return fmt.Sprintf("another run is changing this cluster: host %s is locked %s. Nothing was done by this one. Wait for the end of the other and apply again; "+
		"should that run be gone, its lock goes with its connection, after a minute at the latest, or when that process is ended: %v", e.Host, e.Holder, e.Err)
}

// Unwrap gives the cause.
func (e *ChangedByOthersError) Unwrap() error { return e.Err }

// lock locks the hosts of all nodes that were reached. It waits for as long as ctx lets it. Whoever finds one of them
// taken gives back what it has before it tries again, so that no two runs wait for each other whatever they call the
// hosts.
func (f *Fleet) lock(ctx context.Context, seen topology.Snapshot) (*claim, error) {
	holder, told := whoAmI(), ""
	var taken *remote.LockedError
	for {
		have, err := f.tryLock(ctx, seen, holder)
		switch {
		case err == nil:
			return have, nil
		case !errors.As(err, &taken) && (taken == nil || ctx.Err() == nil):
			return nil, err
		}
		if holder := taken.Host + taken.Holder; holder != told {
			f.Report(ctx, fmt.Sprintf("waiting for another run that changes this cluster: %s", err))
			told = holder
		}
		if waited := pause(ctx, time.Second+rand.N(time.Second)); waited != nil { //nolint:gosec // G404: so that two do not meet again
			return nil, &ChangedByOthersError{Host: taken.Host, Holder: taken.Holder, Err: waited}
		}
	}
}

// alone locks the hosts and looks at them anew, once nothing changes any more.
func (f *Fleet) alone(ctx context.Context, seen topology.Snapshot, decide func(topology.Snapshot) (topology.Wish, error)) (*claim, topology.Snapshot, error) {
	mine, err := f.lock(ctx, seen)
	if err != nil {
		return nil, nil, err
	}
	if seen, err = f.quietly(ctx, f.full(), decide); err != nil {
		mine.release()
		return nil, nil, err
	}
	return mine, seen, nil
}

// meanwhile starts what is stopped elsewhere while something goes on at some nodes: it may wait for just these, as a
// Khepri member's reset does that was begun without a majority (measured). It tells whether it did anything.
func (f *Fleet) meanwhile(ctx context.Context, seen sighting, decide func(topology.Snapshot) (topology.Wish, error)) (bool, error) {
	wish, err := decide(seen.Snapshot)
	if err != nil {
		return false, nil //nolint:nilerr // it is told once everything is quiet
	}
	steps, err := topology.Plan(wish, seen.Snapshot)
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	steps = startable(steps, seen.busy)
	if len(steps) == 0 {
		return false, nil
	}
	if failed := f.do(ctx, steps); failed != nil {
		f.afterwards(ctx, wish, failed)
		return false, failed
	}
	return true, nil
}

// startable are the starts that lead a plan, of nodes where nothing goes on and that nothing going on elsewhere names: what
// is on its way to a node through a peer is seen at the peer alone at first. A start further down waits for what stands
// before it: a node that leaves is started when it is blank.
func startable(steps []topology.Step, busy map[string]work) []topology.Step {
	var starts []topology.Step
	for _, step := range steps {
		if !step.Starts() {
			break
		}
		if !concerns(busy, step.Node) && step.Kind != topology.Await {
			starts = append(starts, step)
		}
	}
	return starts
}

// concerns tells whether something goes on at a node, or elsewhere and names it.
func concerns(busy map[string]work, node string) bool {
	for at, doing := range busy {
		if at == node || slices.ContainsFunc(doing.commands, func(command string) bool { return slices.Contains(strings.Fields(command), node) }) {
			return true
		}
	}
	return false
}

// tryLock locks all hosts side by side, or none.
func (f *Fleet) tryLock(ctx context.Context, seen topology.Snapshot, holder string) (*claim, error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	have := &claim{}
	var failed error
	hosts := map[string]bool{}
	for name, v := range seen {
		node, err := f.node(name)
		if v.State == topology.Unreachable || err != nil || hosts[node.Address()] {
			continue // a host that is out of reach is changed through its peers, if at all
		}
		hosts[node.Address()] = true
		all.Go(func() {
			lock, err := node.LockHost(ctx, holder)
			mu.Lock()
			defer mu.Unlock()
			var flockless *remote.NoFlockError
			var taken *remote.LockedError
			switch {
			case err == nil:
				have.locks = append(have.locks, lock)
			case errors.As(err, &flockless):
				f.Report(ctx, fmt.Sprintf("%s, so nothing keeps two runs from changing it at once", err))
			case errors.As(err, &taken) && strings.HasPrefix(taken.Holder, holder+", as process"):
				// The same machine under two addresses.
			case v.State == topology.Failed && !errors.As(err, &taken):
				// It could not be read either, and what is said about that names the cause.
			case errors.As(err, &taken):
				// Of several the same one each time, whichever answers first: it is told once.
				if other := (*remote.LockedError)(nil); !errors.As(failed, &other) || taken.Host < other.Host {
					failed = err
				}
			case failed == nil:
				failed = err
			}
		})
	}
	all.Wait()
	if failed != nil {
		have.release()
		return nil, failed
	}
	return have, nil
}

// whoAmI is what other runs are told about this one, and unlike every other attempt to lock.
func whoAmI() string {
	name := "somebody"
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed machine"
	}
	return fmt.Sprintf("by %s@%s, process %d, since %s (%08x)", name, host, os.Getpid(), time.Now().UTC().Format("2006-01-02T15:04:05Z"), rand.Uint32()) //nolint:gosec // G404: only to tell it from others
}
