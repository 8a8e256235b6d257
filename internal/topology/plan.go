package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Plan returns the steps from what was observed to what is wished, in the order in which they are to be done, or a
// *Refusal. An empty plan means that the wish is true.
//
// Only the first step of a plan is certain: after it the world is observed and planned again. The later ones say what
// the operator can expect.
//
//	start what is stopped → join, one at a time → types → remove, dead ones first → name
func Plan(w Wish, s Snapshot) ([]Step, error) {
	p := &planner{wish: w, seen: s}
	p.base, p.based = s.Base(w)
	p.inspect()
	p.start()
	if p.based {
		p.join()
		p.types()
		p.remove()
		p.rename()
		p.guard()
	}
	p.refusal.Steps = p.steps
	if err := p.refusal.err(); err != nil {
		return nil, err
	}
	return p.steps, nil
}

// Dissolve returns the wish that is left of w when its cluster shall be no more: the one member that stays keeps the
// data. It is the one that most queues have a copy on, so that the fewest are lost.
func Dissolve(w Wish, s Snapshot) (Wish, bool) {
	base, ok := s.Base(w)
	if !ok {
		return Wish{}, false
	}
	keep, most := base.Running[0], -1
	for _, node := range base.Running {
		if base.Members[node] == RAM {
			continue
		}
		if n := s.copiesOn(base, node); n > most {
			keep, most = node, n
		}
	}
	return Wish{Members: map[string]Type{keep: base.Members[keep]}, Only: true, AllowDataLoss: w.AllowDataLoss}, true
}

func (s Snapshot) copiesOn(c Cluster, node string) int {
	n := 0
	if holds := s.Holds(c); holds != nil {
		for _, q := range holds.queues() {
			if slices.Contains(q.Copies, node) {
				n += q.Count
			}
		}
	}
	return n
}

type planner struct {
	wish    Wish
	seen    Snapshot
	base    Cluster
	based   bool // base is there: at least one node runs
	steps   []Step
	refusal Refusal
}

func (p *planner) add(step Step) {
	if p.based && step.Cluster == "" {
		step.Cluster = p.clusterName()
	}
	p.steps = append(p.steps, step)
}

// clusterName is what the cluster will be called, for people.
func (p *planner) clusterName() string {
	if p.wish.Name != "" {
		return p.wish.Name
	}
	return p.base.String()
}

// inspect refuses what cannot be decided because a host or node did not answer. A member that the cluster sees running
// needs no word of its own.
func (p *planner) inspect() {
	for _, node := range p.wish.names() {
		view, known := p.seen[node]
		if known && view.State != Unreachable && view.State != Failed {
			continue
		}
		if p.based && p.base.has(node) && p.base.Runs(node) {
			continue
		}
		rule, next := RuleUnreachable, "Bring the host back, or take the node out of the configuration when it is gone for good."
		if view.State == Failed {
			rule, next = RuleUninspected, "Mend the cause; nothing is decided about a node that cannot be read."
		}
		p.refusal.refuse(rule, node, next, "%s", view.Why)
	}
}

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
			if by, forgotten := p.forgotten(node); forgotten {
				// Mnesia: its start_app fails with inconsistent_cluster until it is reset (measured).
				if !p.wish.AllowDataLoss {
					p.refusal.refuse(RuleDataLoss, node, "Look at what it holds, then set allow_data_loss = true, or reset it by hand.",
						"%s has forgotten this node while it was stopped; it can only come back blank, and what it holds cannot be seen", by)
				}
				p.add(Step{Kind: Reset, Node: node, Cluster: by, Loses: "everything that the stopped node holds"})
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
		if slices.ContainsFunc(p.base.Voices, view.lists) {
			p.refusal.refuse(RuleDisagreement, node, "Run `rabbitmqctl cluster_status` on both and decide which is right.",
				"it lists members of %s, and they do not list it as the same cluster", p.clusterName())
			continue
		}
		if p.base.has(node) {
			p.expel(node)
		}
		step := Step{Kind: Join, Node: node, Via: p.seed(), Type: p.wish.Members[node], Loses: p.joinLoses(node)}
		p.checkJoin(node, step)
		p.add(step)
	}
}

// expel plans that the members forget the old holder of a name whose host came back blank. Queues that they still count
// with their only copy there are given up for good by that, so a disk that was merely not mounted must come back first.
func (p *planner) expel(node string) {
	step := Step{Kind: Expel, Node: node, Via: p.seed(), Loses: p.removalLoses(node)}
	if step.Loses != "" && !p.wish.AllowDataLoss {
		p.refusal.refuse(RuleDataLoss, node, "If its disk can be brought back, do that and start the node; else set allow_data_loss = true.",
			"its host came back blank, and %s still counts %s with their only copy there", p.clusterName(), step.Loses)
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
func (p *planner) joinLoses(node string) string {
	view := p.seen[node]
	if view.Holds != nil && view.Holds.Blank() {
		return ""
	}
	if view.Holds == nil {
		return "everything it holds, which could not be inspected"
	}
	return view.Holds.String()
}

// checkJoin holds a join against every condition that RabbitMQ itself checks too late or not at all.
func (p *planner) checkJoin(node string, step Step) {
	view, seed := p.seen[node], p.seen[p.seed()]
	if len(view.Members) > 1 && !p.wish.AllowDataLoss {
		p.refusal.refuse(RuleOtherCluster, node, "Take it out of that cluster first, or set allow_data_loss = true.",
			"it is in a cluster with %s; joining would take it out of there and wipe it", strings.Join(without(view.Members, node), ", "))
	}
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
	p.checkResolve(node, p.seed())
	p.checkResolve(p.seed(), node)
	if major(view.Version) != major(seed.Version) {
		p.refusal.refuse(RuleVersion, node, "Bring both to the same version.", "it runs RabbitMQ %s, and %s runs %s", view.Version, p.seed(), seed.Version)
	}
	if step.Type == RAM && !seed.RAMAllowed {
		p.refusal.refuse(RuleType, node, `Use type = "disc".`, "%s runs RabbitMQ %s, which has no RAM nodes on its metadata store", p.seed(), seed.Version)
	}
}

func (p *planner) checkResolve(from, to string) {
	host := to[strings.Index(to, "@")+1:]
	if slices.Contains(p.seen[from].Unresolved, host) {
		p.refusal.refuse(RuleResolve, from, fmt.Sprintf("Add a line for %s to /etc/hosts there, or to DNS.", host),
			"it cannot resolve %s, the host name of %s", host, to)
	}
}

// types plans changes of the node type of members.
func (p *planner) types() {
	for _, node := range p.wish.names() {
		want, have := p.wish.Members[node], p.base.Members[node]
		if !p.base.has(node) || !slices.Contains(p.base.Voices, node) || want == have {
			continue
		}
		if want == RAM && !p.seen[node].RAMAllowed {
			p.refusal.refuse(RuleType, node, `Use type = "disc".`, "RabbitMQ %s has no RAM nodes on its metadata store", p.seen[node].Version)
			continue
		}
		if via := p.discJoiner(); len(p.base.Members) == 1 && via != "" {
			p.setType(node, via, want)
			continue
		}
		if len(p.base.Members) == 1 {
			p.refusal.refuse(RuleLastDisc, node, `Use type = "disc" until there is another member.`, "it is the only member, and a RAM node needs a disc node to start from")
			continue
		}
		via := p.peerOf(node)
		if via == "" && len(p.steps) > 0 && p.steps[0].Starts() {
			continue // until one of those runs
		}
		if via == "" {
			p.refusal.refuse(RuleNobodyRuns, node, "Start another member first.", "a member changes its type through another one, and no other one runs")
			continue
		}
		p.setType(node, via, want)
	}
}

// setType plans that a member changes its type. RabbitMQ resets it and joins it anew (rabbit_mnesia:change_cluster_node_type/1):
// a queue whose only copy is there is gone, while the peers keep the metadata (measured).
func (p *planner) setType(node, via string, want Type) {
	step := Step{Kind: SetType, Node: node, Via: via, Type: want, Loses: p.removalLoses(node)}
	if !p.wish.AllowDataLoss {
		switch {
		case p.seen.Holds(p.base) == nil:
			p.refusal.refuse(RuleUninspected, node, "Look at the broker's log for the cause, or set allow_data_loss = true to change it unseen.", "what %s holds could not be inspected", p.clusterName())
		case step.Loses != "":
			p.refusal.refuse(RuleDataLoss, node, "Drain or move the queues, or set allow_data_loss = true to lose them.",
				"to become a %s node it is wiped and joins anew, and the only copy of %s is there", want, step.Loses)
		}
	}
	p.add(step)
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

// rename plans the cluster's name. Members report different names until somebody sets one, so all voices count.
func (p *planner) rename() {
	if p.wish.Name == "" || (len(p.base.names) == 1 && p.base.names[p.wish.Name]) {
		return
	}
	p.add(Step{Kind: SetName, Node: p.seed(), Name: p.wish.Name})
}

// guard refuses every change of membership while the cluster is in no state for one.
func (p *planner) guard() {
	if !slices.ContainsFunc(p.steps, func(s Step) bool { return !s.Starts() }) {
		return
	}
	for _, node := range p.base.Voices {
		if cut := p.seen[node].Partitioned; len(cut) > 0 {
			p.refusal.refuse(RulePartition, node, "Choose the side to trust and restart the members of the other (`rabbitmqctl stop_app`, `start_app`), then apply again.",
				"it reports that it was cut off from %s, and both sides may have changed since", strings.Join(cut, ", "))
		}
	}
	if a, b, found := p.seen.split(); found {
		p.refusal.refuse(RulePartition, a, "Mend the network between them, then apply again.",
			"it does not see %s, although that one runs and both count each other as members", b)
	}
	// What is planned to start may bring the majority back; everything is looked at again after it.
	if p.seen[p.seed()].NoMajority && !p.steps[0].Starts() {
		p.refusal.refuse(RuleMajority, p.seed(), "Start the members that are down first: `rabbitmq-diagnostics metadata_store_status` tells who is there.",
			"its metadata store has no leader, so no change would succeed and every read may be stale")
		return
	}
	p.guardMajority()
}

// guardMajority plays the removals through: at each one more than half of the members must run, before and after.
// Nothing switches this off.
func (p *planner) guardMajority() {
	if !p.base.Khepri {
		return
	}
	members, running := len(p.base.Members), len(p.base.Running)
	for _, step := range p.steps {
		switch step.Kind {
		case StartService, StartApp, Await:
			if p.base.has(step.Node) {
				running++
			}
		case Join:
			members++
			running++
		case Forget, Expel:
			if running <= members/2 {
				p.refuseMajority(step, members, running)
				return
			}
			members--
		case Leave:
			if running <= members/2 || (members > 1 && running-1 <= (members-1)/2) {
				p.refuseMajority(step, members, running)
				return
			}
			members--
			running--
		}
	}
}

func (p *planner) refuseMajority(step Step, members, running int) {
	p.refusal.refuse(RuleMajority, step.Node, "Start more members first. There is no switch for this one.",
		"to %s, more than half of the members must run before and after, and %d of %d do", step, running, members)
}

func describe(queues []QueueGroup) string {
	parts := make([]string, len(queues))
	for i, q := range queues {
		parts[i] = q.String()
	}
	return strings.Join(parts, ", ")
}

func without(members map[string]Type, node string) []string {
	return slices.DeleteFunc(sortedKeys(members), func(other string) bool { return other == node })
}

func major(version string) string {
	head, _, _ := strings.Cut(version, ".")
	return head
}
