package provider

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// claims remembers which nodes are managed in which way in one run. A cluster that is managed as a whole would take out
// what a member resource brought in, and the other way round. Nodes are told apart by their hosts as well: two clusters
// of one run may use the same names.
type claims struct {
	mu       sync.Mutex
	clusters map[string]bool
	members  map[string][]string // the nodes that a member resource knows, by its node
}

func (c *claims) cluster(nodes map[string]memberModel, diags *diagnostics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clusters == nil {
		c.clusters = map[string]bool{}
	}
	for _, place := range places(nodes) {
		c.clusters[place] = true
	}
	for member, known := range c.members {
		c.conflict(member, known, diags)
	}
}

func (c *claims) member(node string, known map[string]memberModel, diags *diagnostics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members == nil {
		c.members = map[string][]string{}
	}
	c.members[node] = places(known)
	c.conflict(node, c.members[node], diags)
}

func (c *claims) conflict(member string, known []string, diags *diagnostics) {
	for _, place := range known {
		if c.clusters[place] {
			diags.AddError("Two resources manage one cluster", fmt.Sprintf("rabbitmq_cluster_member manages %s, and rabbitmq_cluster manages %s, which is the same cluster or would become it. "+
				"rabbitmq_cluster takes out every member that it does not list. Use one of the two: see the guide on choosing a mode.", member, place))
			return
		}
	}
}

// places names nodes with their hosts.
func places(nodes map[string]memberModel) []string {
	all := make([]string, 0, len(nodes))
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		all = append(all, place(node, nodes[node]))
	}
	return all
}

func place(node string, m memberModel) string { return node + " on " + m.host(node).Address }
