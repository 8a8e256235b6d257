package topology

import (
	"cmp"
	"slices"
	"strings"
)

// Changing what a member keeps on disc.

// types plans changes of the node type of members: those that become disc nodes first, because one disc node must be
// there all the time.
func (p *planner) types() {
	names := p.wish.names()
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(p.wish.Members[a], p.wish.Members[b]) })
	var last []string
	for _, node := range names {
		want, have := p.wish.Members[node], p.base.Members[node]
		if !p.base.has(node) || want == have {
			continue
		}
		if p.base.Runs(node) && p.unread(node) {
			p.refusal.Reasons = append(p.refusal.Reasons, p.unseen(node))
			continue
		}
		if !slices.Contains(p.base.Voices, node) {
			continue // until it runs
		}
		if want == RAM && !p.seen[node].RAMAllowed {
			p.refusal.refuse(RuleType, node, `Use type = "disc".`, "RabbitMQ %s has no RAM nodes on its metadata store", p.seen[node].Version)
			continue
		}
		via := cmp.Or(p.peerOf(node), p.discJoiner())
		if len(p.base.Members) == 1 && via == "" {
			p.refusal.refuse(RuleLastDisc, node, `Use type = "disc" until there is another member.`, "it is the only member, and a RAM node needs a disc node to start from")
			continue
		}
		if want == RAM && !p.discStays() {
			last = append(last, node)
			continue
		}
		if via == "" && len(p.steps) > 0 && p.steps[0].Starts() {
			continue // until one of those runs
		}
		if via == "" {
			p.refusal.refuse(RuleNobodyRuns, node, "Start another member first.", "a member changes its type through another one, and no other one runs")
			continue
		}
		p.setType(node, via, want)
	}
	if len(last) > 0 {
		p.refusal.refuse(RuleLastDisc, strings.Join(last, ", "), `Use type = "disc" for one member at least, better for two.`, "all members would be RAM nodes, and they forget everything when they all stop")
	}
}

// setType plans that a member changes its type. RabbitMQ resets it and joins it anew (rabbit_mnesia:change_cluster_node_type/1):
// a queue whose only copy is there is gone, while the peers keep the metadata (measured).
func (p *planner) setType(node, via string, want Type) {
	step := Step{Kind: SetType, Node: node, Via: via, Type: want}
	step.Loses, step.Toll = p.removalLoses(node)
	if !p.wish.AllowDataLoss {
		switch {
		case p.seen.Holds(p.base) == nil:
			p.refusal.refuse(RuleUninspected, node, "Look at the broker's log for the cause, or set allow_data_loss = true to change it unseen.", "what %s holds could not be inspected", p.clusterName())
		case step.Loses != "":
			p.refusal.refuse(RuleDataLoss, node, remedies(p.seen.Holds(p.base).lostWithout([]string{node}))+", or set allow_data_loss = true to lose them.",
				"to become a %s node it is wiped and joins anew, and the only copy of %s is there", want, step.Loses)
		}
	}
	p.add(step)
}

// discStays tells whether any member is a disc node once the wish is true.
func (p *planner) discStays() bool {
	for node, kind := range p.base.Members {
		if wished, stays := p.wish.Members[node]; stays {
			kind = wished
		}
		if kind == Disc && !p.wish.leaves(node) {
			return true
		}
	}
	return p.discJoiner() != ""
}

// discJoiner is a node that joins as a disc node before types change.
func (p *planner) discJoiner() string {
	for _, step := range p.steps {
		if step.Kind == Join && step.Type == Disc {
			return step.Node
		}
	}
	return ""
}

// peerOf is a running member other than node that keeps the metadata on disc, or the first other one.
func (p *planner) peerOf(node string) string {
	first := ""
	for _, other := range p.base.Voices {
		if other == node {
			continue
		}
		if p.base.Members[other] == Disc {
			return other
		}
		if first == "" {
			first = other
		}
	}
	return first
}
