package provider

import (
	"maps"
	"slices"
	"sync"
)

// departures are the members that resources of this run are taking out right now. They come in any order and side by
// side, and the one that gets its turn first has those that do not run leave before it.
type departures struct {
	mu  sync.Mutex
	now map[string]departure
}

type departure struct {
	node          string
	allowDataLoss bool
}

// begin notes that a node leaves, named with its host, and returns what ends that.
func (d *departures) begin(place string, one departure) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now == nil {
		d.now = map[string]departure{}
	}
	d.now[place] = one
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.now, place)
	}
}

// among gives the nodes that leave of some places, with no less consent to losing data than is asked for.
func (d *departures) among(places []string, allowDataLoss bool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var nodes []string
	for _, place := range slices.Sorted(maps.Keys(d.now)) {
		if one := d.now[place]; slices.Contains(places, place) && (one.allowDataLoss || !allowDataLoss) {
			nodes = append(nodes, one.node)
		}
	}
	return nodes
}
