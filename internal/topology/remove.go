package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Taking out what is not wished.

// remove plans that members leave which nobody wishes: those that do not run first, because every one of them makes a
// majority harder.
func (p *planner) remove() {
	var dead, live []string
	for _, node := range sortedKeys(p.base.Members) {
		if !p.wish.leaves(node) {
			continue
		}
		if p.base.Runs(node) {
			live = append(live, node)
		} else {
			dead = append(dead, node)
		}
	}
	if len(dead)+len(live) == 0 || len(dead)+len(live) == len(p.base.Members) && !p.wish.Only {
		return // nobody leaves, or the last member does: it ends alone and keeps its data
	}
	via := p.seed()
	if p.wish.leaves(via) {
		p.refusal.refuse(RuleNobodyRuns, strings.Join(append(dead, live...), ", "), "Start one of the wished members first.",
			"a member leaves through another one, and no member that shall stay runs")
		return
	}
	p.checkRemoval(append(slices.Clone(dead), live...), via)
	for _, node := range dead {
		kind := Forget
		if p.seen[node].State == Running { // rebuilt blank: peers refuse to forget it while it runs
			kind = Expel
		}
		p.add(Step{Kind: kind, Node: node, Via: via, Loses: p.removalLoses(node)})
	}
	for _, node := range live {
		discovers := slices.ContainsFunc(p.seen[node].Discovers, func(peer string) bool { return peer != node })
		p.add(Step{Kind: Leave, Node: node, Via: via, Loses: p.removalLoses(node), StayStopped: discovers})
	}
}

// removalLoses says which queues have their only copy on node.
func (p *planner) removalLoses(node string) string {
	holds := p.seen.Holds(p.base)
	if holds == nil {
		return ""
	}
	return describe(holds.lostWithout([]string{node}))
}

// willRun is the members that run once what is planned to start has started.
func (p *planner) willRun() []string {
	up := slices.Clone(p.base.Running)
	for _, step := range p.steps {
		if step.Starts() && p.base.has(step.Node) {
			up = append(up, step.Node)
		}
	}
	return up
}

// checkRemoval holds a removal against what it would take away: the last copy of a queue, the majority of a queue's
// replicas, the last disc node.
func (p *planner) checkRemoval(gone []string, via string) {
	names := strings.Join(gone, ", ")
	holds := p.seen.Holds(p.base)
	switch {
	case p.wish.AllowDataLoss:
	case holds == nil:
		p.refusal.refuse(RuleUninspected, names, "Look at the broker's log for the cause, or set allow_data_loss = true to remove it unseen.", "what %s holds could not be inspected", p.clusterName())
	default:
		if lost := holds.lostWithout(gone); len(lost) > 0 {
			p.refusal.refuse(RuleDataLoss, names, "Drain or move the queues, or give quorum queues more replicas (`rabbitmq-queues grow`), or set allow_data_loss = true to lose them.",
				"the only copy of %s would go", describe(lost))
		}
		if stuck := holds.stuckWithout(gone, p.willRun()); len(stuck) > 0 {
			p.refusal.refuse(RuleDataLoss, names, "Start the members that hold the other replicas, or grow the queues onto running members first (`rabbitmq-queues grow`).",
				"%s would be left without a running majority", describe(stuck))
		}
	}
	discs := 0
	for node, kind := range p.base.Members {
		if wished, stays := p.wish.Members[node]; stays {
			kind = wished // types change before anybody leaves
		}
		if kind == Disc && !slices.Contains(gone, node) {
			discs++
		}
	}
	if discs == 0 && p.discJoiner() == "" {
		p.refusal.refuse(RuleLastDisc, names, fmt.Sprintf("Make %s a disc node first.", via), "only RAM nodes would be left, and they forget everything when they all stop")
	}
}

func describe(queues []QueueGroup) string {
	parts := make([]string, len(queues))
	for i, q := range queues {
		parts[i] = q.String()
	}
	return strings.Join(parts, ", ")
}
