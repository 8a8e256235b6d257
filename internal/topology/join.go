package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Joining what is proved to be outside.

// join plans the joins: of nodes that run, that no member of the base cluster lists, and that list none of them.
func (p *planner) join() {
	for _, node := range p.wish.names() {
		view := p.seen[node]
		if slices.Contains(p.base.Voices, node) || view.State == Unreachable || view.State == Failed {
			continue
		}
		if view.State != Running {
			if !p.base.has(node) { // it joins once it runs and was inspected
				p.add(Step{Kind: Join, Node: node, Via: p.seed(), Type: p.wish.Members[node]})
			}
			continue
		}
		if p.base.disagree[node] {
			p.refusal.refuse(RuleDisagreement, node, "Wait until all members agree (`rabbitmqctl cluster_status` on each), then apply again.",
				"some members of %s list it and some do not", p.clusterName())
			continue
		}
		if i := slices.IndexFunc(p.base.Voices, view.lists); i >= 0 {
			p.refusal.refuse(RuleDisagreement, node, fmt.Sprintf("Run `rabbitmqctl cluster_status` on both and decide which is right. To give up what %s holds, stop its broker, move its data directory away, start it, and apply again.", node),
				"it lists %s as a member, which is in %s and does not list it", p.base.Voices[i], p.clusterName())
			continue
		}
		if p.base.has(node) {
			p.expel(node)
		}
		step := Step{Kind: Join, Node: node, Via: p.seed(), Type: p.wish.Members[node]}
		step.Loses, step.Toll = p.joinLoses(node)
		step.Unproved = !p.seen.finds(node, p.seed()) || !p.seen.finds(p.seed(), node)
		p.checkJoin(node, step)
		p.add(step)
	}
}

// founder refuses to take a node that stands alone for the whole cluster while a peer that would be its founder does not
// run: that one would become a second cluster when it starts. A peer whose host does not answer is no reason, because it
// may be gone for good.
func (p *planner) founder() {
	for _, node := range p.wish.names() {
		if len(p.base.Members) > 1 || !p.base.has(node) {
			continue
		}
		for _, peer := range slices.Sorted(slices.Values(p.wish.Peers)) {
			view, known := p.seen[peer]
			if peer < node && known && (view.State == Stopped || view.State == Down || view.State == Booting) {
				p.refusal.refuse(RuleFounder, node, "Start "+peer+" first, or take it out of the peers when its host is gone for good.",
					"all nodes stand alone, so it would join %s, the first of them by name, which does not run", peer)
				return
			}
		}
	}
}

// expel plans that the members forget the old holder of a name whose host came back blank. Queues that they still count
// with their only copy there are given up for good by that, so a disk that was merely not mounted must come back first.
func (p *planner) expel(node string) {
	step := Step{Kind: Expel, Node: node, Via: p.seed()}
	step.Loses, step.Toll = p.removalLoses(node)
	if step.Loses != "" && !p.wish.AllowDataLoss {
		p.refusal.refuse(RuleDataLoss, node, "If its disk can be brought back, do that and start the node; else set allow_data_loss = true.",
			"its host came back blank, and %s still counts %s with their only copy there", p.clusterName(), step.Loses)
	}
	if holds := p.holds(); holds != nil && !p.wish.AllowDataLoss {
		if stuck := p.stuck(holds, []string{node}); len(stuck) > 0 {
			p.refusal.refuse(RuleDataLoss, node, "If its disk can be brought back, do that and start the node; else start the members whose replicas do not work, or save what can be read, and set allow_data_loss = true.",
				"its host came back blank, and when it is forgotten, %s", strings.Join(stuck, "; "))
		}
	}
	p.add(step)
}

// seed is the member that others join and leave through: one that stays, a configured one if there is any, a disc node
// if there is any.
func (p *planner) seed() string {
	best, rank := "", -1
	for _, node := range p.base.Voices {
		r := 0
		if p.wish.leaves(node) {
			continue
		}
		if p.wish.related(node) {
			r += 2
		}
		if p.base.Members[node] == Disc {
			r++
		}
		if r > rank {
			best, rank = node, r
		}
	}
	if best == "" {
		return p.base.Voices[0]
	}
	return best
}

// joinLoses says what a join destroys on the joiner: RabbitMQ resets it, on every version.
func (p *planner) joinLoses(node string) (loses, toll string) {
	view := p.seen[node]
	if view.Holds != nil && view.Holds.Blank() {
		return "", ""
	}
	if view.Holds == nil {
		return "everything it holds, which could not be inspected", "everything it holds is lost"
	}
	return view.Holds.String(), lost(view.Holds.Tally())
}

// checkJoin holds a join against every condition that RabbitMQ itself checks too late or not at all.
func (p *planner) checkJoin(node string, step Step) {
	view, seed := p.seen[node], p.seen[p.seed()]
	if len(view.Members) > 1 && !p.wish.AllowDataLoss {
		p.refusal.refuse(RuleOtherCluster, node, "Take it out of that cluster first, or set allow_data_loss = true.",
			"it is in a cluster with %s; joining would take it out of there and wipe it", strings.Join(without(view.Members, node), ", "))
	}
	p.checkLeftBehind(node)
	if step.Loses != "" && !p.wish.AllowDataLoss {
		rule, next := RuleDataLoss, "Move the data away (or delete it), choose another node, or set allow_data_loss = true to lose it."
		if view.Holds == nil {
			rule, next = RuleUninspected, "Look at the broker's log for the cause, or set allow_data_loss = true to join it unseen."
		}
		p.refusal.refuse(rule, node, next, "joining %s wipes the node, which holds %s", p.clusterName(), step.Loses)
	}
	if view.CookieHash != seed.CookieHash {
		p.refusal.refuse(RuleCookie, node, "Give both the same cookie, for example with rabbitmq_erlang_cookie.",
			"it runs with cookie hash %s, and %s with %s", view.CookieHash, p.seed(), seed.CookieHash)
	}
	for _, member := range p.base.Voices { // members form a full mesh
		p.checkResolve(node, member)
		p.checkResolve(member, node)
	}
	p.checkVersion(node)
	if step.Type == RAM && !seed.RAMAllowed {
		p.refusal.refuse(RuleType, node, `Use type = "disc".`, "%s runs RabbitMQ %s, which has no RAM nodes on its metadata store", p.seed(), seed.Version)
	}
}

// checkLeftBehind refuses to take a node out of another cluster that would lose its majority by it. Nothing switches
// this off: that cluster could change nothing any more, not even forget the node.
func (p *planner) checkLeftBehind(node string) {
	for _, other := range p.seen.Clusters() {
		members, running := len(other.Members), len(other.Running)
		if !slices.Contains(other.Voices, node) || !other.Khepri || members == 1 {
			continue
		}
		for _, step := range p.steps {
			running += one(step.Starts() && other.has(step.Node) && !other.Runs(step.Node)) // it is looked at anew once they run
		}
		if running-1 <= (members-1)/2 {
			p.refusal.refuse(RuleMajority, node, "Start the other members of that cluster first, or take the node out of it there. There is no switch for this one.",
				"it is in a cluster of %d of which %d run; without it fewer than a majority would", members, running)
		}
	}
}

func without(members map[string]Type, node string) []string {
	return slices.DeleteFunc(sortedKeys(members), func(other string) bool { return other == node })
}
