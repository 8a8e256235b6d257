package topology

import (
	"fmt"
	"slices"
)

// Starting what is stopped: a stopped node cannot be judged, so it comes first.

// start plans to start every wished node that does not run, members or not: a stopped node cannot be joined safely,
// because what it holds cannot be seen.
func (p *planner) start() {
	for _, node := range p.wish.names() {
		view := p.seen[node]
		switch view.State {
		case Down:
			p.add(Step{Kind: StartService, Node: node})
		case Booting:
			p.add(Step{Kind: Await, Node: node})
		case Stopped:
			if by := p.blankInstead(node); by != "" && (!p.wish.AllowDataLoss || p.seen[node].onlyDisc(node)) {
				p.refusal.refuse(RuleForgotten, node, fmt.Sprintf("If the host of %[1]s was rebuilt: stop its application (`rabbitmqctl stop_app`), start that of %[2]s, then start %[1]s and apply again. If %[2]s shall come back blank, reset it by hand.", by, node),
					"it counts %[1]s as a member, which runs alone and holds nothing: either %[1]s has forgotten it, or came back blank itself, and then what there is, is here", by)
			} else if by, forgotten := p.forgotten(node); forgotten {
				// Mnesia: its start_app fails with inconsistent_cluster until it is reset (measured).
				if !p.wish.AllowDataLoss {
					p.refusal.refuse(RuleForgotten, node, "Look at what it holds, then set allow_data_loss = true, or reset it by hand.",
						"%s has forgotten this node while it was stopped; it can only come back blank, and what it holds cannot be seen", by)
				}
				p.add(Step{Kind: Reset, Node: node, Cluster: by, Loses: "everything that the stopped node holds", Toll: "everything it holds is lost"})
			}
			p.add(Step{Kind: StartApp, Node: node})
		}
	}
	p.startLeavers()
}

// startLeavers plans to start members that leave, where their votes are needed for it: a leave that was cut off after
// its stop_app has taken the majority of two Khepri members away, and nobody else would bring it back.
func (p *planner) startLeavers() {
	if !p.based || !p.base.Khepri || len(p.base.Running) > len(p.base.Members)/2 {
		return
	}
	for _, node := range sortedKeys(p.base.Members) {
		if p.wish.leaves(node) && p.seen[node].State == Stopped {
			p.add(Step{Kind: StartApp, Node: node})
		}
	}
}

// blankInstead gives a node that a stopped one counts as a member and that stands alone and blank and would be built on, when
// nobody else runs of those that it counts. Who has forgotten whom cannot be told then, and the stopped one may have the
// data of both.
func (p *planner) blankInstead(node string) string {
	blank := ""
	for _, other := range without(p.seen[node].Members, node) {
		view := p.seen[other]
		if view.State != Running {
			continue
		}
		if len(view.Members) > 1 || view.Holds == nil || !view.Holds.Blank() || !slices.Contains(p.base.Voices, other) {
			return ""
		}
		blank = other
	}
	return blank
}

// onlyDisc tells whether a node counts nobody else as a disc node: RabbitMQ does not reset it then.
func (v View) onlyDisc(node string) bool {
	for member, kind := range v.Members {
		if member != node && kind == Disc {
			return false
		}
	}
	return true
}

// forgotten tells whether a stopped node believes to be a member of a cluster that runs and no longer lists it, and by
// whom it was forgotten. That need not be the base.
func (p *planner) forgotten(node string) (by string, forgotten bool) {
	for _, other := range without(p.seen[node].Members, node) {
		view := p.seen[other]
		if view.State != Running {
			continue
		}
		if view.lists(node) {
			return "", false
		}
		if by == "" {
			by = "the cluster of " + other
		}
	}
	return by, by != ""
}
