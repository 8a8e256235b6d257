package cluster

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// fresh is how long a look may be shared. A run that plans reads everything within it.
const fresh = 30 * time.Second

// Memory lets all resources that read the same nodes in one run share one look at them. Any change by this run drops
// what it holds; no change is ever decided on it, only that there is something to look at closely.
type Memory struct {
	mu       sync.Mutex
	looks    map[string]*sharedLook
	previews map[string]preview // by places
}

// preview is the look that a plan was made from.
type preview struct {
	at   time.Time
	seen topology.Snapshot
}

// plannedFrom keeps the look that a plan was made from.
func (m *Memory) plannedFrom(places []string, seen topology.Snapshot) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.previews == nil {
		m.previews = map[string]preview{}
	}
	m.previews[strings.Join(places, ", ")] = preview{time.Now(), seen}
}

// planned gives the look that a plan of this run was made from lately: Terraform plans once more right before each apply.
func (m *Memory) planned(places []string) (topology.Snapshot, bool) {
	if m == nil {
		return nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p, there := m.previews[strings.Join(places, ", ")]
	return p.seen, there && time.Since(p.at) <= fresh
}

type sharedLook struct {
	done chan struct{}
	at   time.Time
	seen topology.Snapshot
}

// share returns what look gave for the same question lately, or asks it. Who comes while it is being asked waits.
func (m *Memory) share(ctx context.Context, question string, places []string, look func(context.Context) topology.Snapshot) topology.Snapshot {
	if m == nil {
		return look(ctx)
	}
	key := question + " " + strings.Join(places, ", ")
	m.mu.Lock()
	if m.looks == nil {
		m.looks = map[string]*sharedLook{}
	}
	one := m.looks[key]
	if one == nil || time.Since(one.at) > fresh {
		one = &sharedLook{done: make(chan struct{}), at: time.Now()}
		m.looks[key] = one
		go func() {
			defer close(one.done)
			// The look belongs to all who wait for it: it does not end with the one who came first.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			one.seen = look(ctx)
		}()
	}
	m.mu.Unlock()
	select {
	case <-one.done:
		return one.seen
	case <-ctx.Done():
		return nil
	}
}

// forget drops everything.
func (m *Memory) forget() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks, m.previews = nil, nil
}
