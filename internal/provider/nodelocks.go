package provider

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// nodeLocks lets one resource at a time change the cluster of some nodes. Two resources that share a node exclude each
// other, whatever else they name.
type nodeLocks struct {
	mu      sync.Mutex
	held    map[string]bool
	changed chan struct{} // closed and replaced at every release
}

// take waits until none of the nodes is taken, takes them all and returns what gives them back.
func (l *nodeLocks) take(ctx context.Context, nodes []string) (release func(), err error) {
	for {
		l.mu.Lock()
		if !slices.ContainsFunc(nodes, func(node string) bool { return l.held[node] }) {
			for _, node := range nodes {
				l.held[node] = true
			}
			l.mu.Unlock()
			return func() { l.release(nodes) }, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another resource of this run that changes the same cluster: %w", context.Cause(ctx))
		}
	}
}

func (l *nodeLocks) release(nodes []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, node := range nodes {
		delete(l.held, node)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}
