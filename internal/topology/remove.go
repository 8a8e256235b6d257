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
	via := p.stays()
	moved := p.movedOn()
	if len(live) > 0 && len(dead)+len(live)+len(moved) == len(p.base.Members) && !p.wish.Only {
		if len(moved) > 0 {
			p.checkLast(via, moved)
		}
		live = slices.DeleteFunc(live, func(node string) bool { return node == via }) // the last that runs ends alone and keeps its data
	} else if len(dead)+len(live) > 0 && p.wish.leaves(via) {
		p.refuseWithoutVia(append(dead, live...))
		return
	}
	if len(dead)+len(live) == 0 {
		return
	}
	gone := append(slices.Clone(dead), live...)
	p.checkRemoval(gone, via)
	p.checkWaiting(gone)
	for _, node := range dead {
		p.checkDead(node)
		kind := Forget
		if p.seen[node].State == Running { // rebuilt blank: peers refuse to forget it while it runs
			kind = Expel
		}
		step := Step{Kind: kind, Node: node, Via: via, Dead: p.seen[node].State != Stopped}
		step.Loses, step.Toll = p.removalLoses(node)
		p.addBeforeGrowth(step)
		if p.seen[node].State == Stopped && slices.Contains(p.wish.Leaving, node) {
			p.blank(node)
		}
	}
	for _, node := range live {
		discovers := slices.ContainsFunc(p.seen[node].Discovers, func(peer string) bool { return peer != node })
		step := Step{Kind: Leave, Node: node, Via: via, StayStopped: discovers, Mute: p.seen[node].State == Unreachable}
		step.Loses, step.Toll = p.removalLoses(node)
		p.add(step)
	}
}

// movedOn are the members that shall stay and are in another cluster by now: their hosts came back blank, and joined that.
// They come back to this one no more, whatever it lists.
func (p *planner) movedOn() []string {
	return slices.DeleteFunc(sortedKeys(p.base.Members), func(node string) bool {
		return p.wish.leaves(node) || !p.elsewhere(node) || len(p.seen[node].Members) == 1
	})
}

// checkLast refuses to leave a node alone with data that those have not who were to keep it.
func (p *planner) checkLast(node string, moved []string) {
	holds := p.holds()
	text := fmt.Sprintf("%s, with which it was a cluster, came back blank and is in another one by now", strings.Join(moved, ", "))
	switch {
	case p.wish.AllowDataLoss:
	case holds == nil:
		p.refusal.refuse(RuleUninspected, node, "Look at the broker's log for the cause, or set allow_data_loss = true to leave it alone unseen.", "%s, and what it holds could not be inspected", text)
	case !holds.Blank():
		p.refusal.refuse(RuleDataLoss, node, "Move the data away (or delete it) and apply again; or take the resource out with `state rm`, and the node stays as it is, no longer managed.",
			"%s, and this node holds what nobody else has: %s", text, holds)
	}
}

// elsewhere tells whether a member runs and says itself that it is none.
func (p *planner) elsewhere(node string) bool {
	view := p.seen[node]
	return view.State == Running && !slices.ContainsFunc(p.base.Voices, view.lists)
}

// refuseWithoutVia refuses to take anybody out while nobody who stays can do it.
func (p *planner) refuseWithoutVia(leavers []string) {
	text, next := "a member leaves through another one, and no member that shall stay runs", "Start one of the wished members first."
	mute := slices.DeleteFunc(slices.Clone(p.base.Running), p.wish.leaves)
	for _, node := range sortedKeys(p.base.Members) {
		if !p.wish.leaves(node) && p.elsewhere(node) && len(p.seen[node].Members) == 1 {
			text = fmt.Sprintf("a member leaves through another one, and %s, which shall stay, came back blank and is outside", node)
			next = fmt.Sprintf("Bring %s in again first: apply with %s in the configuration as well.", node, p.base.Voices[0])
		}
	}
	if len(mute) > 0 {
		text = fmt.Sprintf("a member leaves through another one, and of those that shall stay none answers (seen running: %s)", strings.Join(mute, ", "))
		next = "Correct how they are reached; or, if their hosts are gone, wait until the others notice it, which takes up to a minute and a half."
	}
	p.refusal.refuse(RuleNobodyRuns, strings.Join(leavers, ", "), next, "%s", text)
}

// checkDead refuses to forget a node that may live: its host answers and does not say that nothing runs there, and what
// the members see is no proof, because they do not see one with another cookie, or beyond a partition, either.
func (p *planner) checkDead(node string) {
	if p.seen[node].State != Failed || p.wish.AllowDataLoss {
		return
	}
	p.refusal.refuse(RuleUninspected, node, "Mend that; or, if its broker is gone for good, turn its host off, or set allow_data_loss = true to forget it unseen.",
		"no member sees it running, but its host answers, and whether it runs there cannot be told: %s", p.seen[node].Why)
}

// checkWaiting refuses to take out those without whom a member that stays can never start again. On Mnesia it starts with
// whom it knows, and it does not know who joined while it was stopped (measured on 3.10). On Khepri the leader
// sends it what it missed, as Raft does.
func (p *planner) checkWaiting(gone []string) {
	up := p.willRun()
	for _, node := range sortedKeys(p.base.Members) {
		if p.base.Khepri || p.wish.AllowDataLoss || p.wish.leaves(node) || slices.Contains(up, node) {
			continue
		}
		knows := slices.DeleteFunc(without(p.seen[node].Members, node), func(other string) bool { return !p.base.has(other) })
		if len(knows) == 0 || slices.ContainsFunc(knows, func(other string) bool { return !slices.Contains(gone, other) }) {
			continue
		}
		names := strings.Join(knows, ", ")
		p.refusal.refuse(RuleDataLoss, node, fmt.Sprintf("Start it first, for which %s must run. If that is gone for good, stop the broker of %s, move its data directory away, start it and apply again; or set allow_data_loss = true.", names, node),
			"it does not run, and of the members it knows only %s, without whom it never starts again: what it holds would be out of reach", names)
	}
}

// finishLeaves ends the leaves that were cut off after the forget. What is left on such a node is lost already: it can
// never start again with it, because its cluster has forgotten it. It comes before others leave: on Mnesia its reset fails
// when one of those that it remembers was reset since.
func (p *planner) finishLeaves() {
	for _, node := range sortedKeys(p.seen) {
		view := p.seen[node]
		if !slices.Contains(p.wish.Leaving, node) || p.wish.wants(node) || view.State != Stopped || p.base.has(node) {
			continue
		}
		if p.seen.halfLeft(node, p.base) || len(view.Members) == 1 {
			p.blank(node)
		}
	}
}

// blank plans that a stopped node that was forgotten is reset and runs again, alone.
func (p *planner) blank(node string) {
	if len(p.seen[node].Members) > 1 { // else it was reset already: on Khepri its peers do it when they forget it
		p.add(Step{Kind: Reset, Node: node, Loses: "what is left on the stopped node"})
	}
	p.add(Step{Kind: StartApp, Node: node})
}

// stays is the member that others leave through: the seed, or, when nobody stays who runs now, one that joins or starts
// before.
func (p *planner) stays() string {
	seed := p.seed()
	for _, step := range p.steps {
		if p.wish.leaves(seed) && p.wish.wants(step.Node) && (step.Kind == Join || step.Starts() && p.base.has(step.Node)) {
			return step.Node
		}
	}
	return seed
}

// removalLoses says which queues have their only copy on node.
func (p *planner) removalLoses(node string) (loses, toll string) {
	holds := p.holds()
	if holds == nil {
		return "", ""
	}
	queues := holds.lostWithout([]string{node})
	if len(queues) == 0 {
		return "", ""
	}
	return describe(queues), lost(tally(queues))
}

// willRun is the members that run once what is planned to start and to join has done so.
func (p *planner) willRun() []string {
	up := slices.Clone(p.base.Running)
	for _, step := range p.steps {
		if step.Starts() && p.base.has(step.Node) || step.Kind == Join {
			up = append(up, step.Node)
		}
	}
	return up
}

// checkRemoval holds a removal against what it would take away: the last copy of a queue, the majority of a queue's
// replicas, the last disc node.
func (p *planner) checkRemoval(gone []string, via string) {
	names := strings.Join(gone, ", ")
	holds := p.holds()
	switch {
	case p.wish.AllowDataLoss:
	case holds == nil:
		p.refusal.refuse(RuleUninspected, names, "Look at the broker's log for the cause, or set allow_data_loss = true to remove it unseen.", "what %s holds could not be inspected", p.clusterName())
	default:
		if lost := holds.lostWithout(gone); len(lost) > 0 {
			p.refusal.refuse(RuleDataLoss, names, remedies(lost)+", or set allow_data_loss = true to lose them.",
				"the only copy of %s would go", describe(lost))
		}
		if stuck := p.stuck(holds, gone); len(stuck) > 0 {
			next := "Start the members whose replicas do not work, or restart those that run, or take dead replicas off (`rabbitmq-queues shrink NODE`), or add some on running members (`rabbitmq-queues grow NODE all`, `rabbitmq-streams add_replica STREAM NODE`), or set allow_data_loss = true."
			if idle := slices.DeleteFunc(slices.Clone(gone), func(node string) bool { return p.base.Runs(node) || p.seen[node].State == Running }); len(idle) > 0 {
				next = fmt.Sprintf("Start %s first, if it can be: its replicas are taken off as it leaves, which needs their votes. Or else: s%s", strings.Join(idle, ", "), next[1:])
			}
			p.refusal.refuse(RuleDataLoss, names, next,
				"%s", strings.Join(stuck, "; "))
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

// stuck says which queues and streams would be left without a running majority of their replicas.
func (p *planner) stuck(holds *Holdings, gone []string) []string {
	var all []string
	for _, q := range holds.stuckWithout(gone, p.willRun()) {
		counted, up := q.countedWithout(gone, p.willRun())
		works := "none"
		if len(up) > 0 {
			works = "only " + strings.Join(up, ", ")
		}
		all = append(all, fmt.Sprintf("%s would be left without a running majority: of the replicas on %s, %s would work", q, strings.Join(counted, ", "), works))
	}
	return all
}

func describe(queues []QueueGroup) string {
	parts := make([]string, len(queues))
	for i, q := range queues {
		parts[i] = q.String()
	}
	return strings.Join(parts, ", ")
}
