package topology

import "slices"

// Plan returns the steps from what was observed to what is wished, in the order in which they are to be done, or a
// *Refusal. An empty plan means that the wish is true.
//
// Only the first step of a plan is certain: after it the world is observed and planned again. The later ones say what
// the operator can expect.
//
//	start what is stopped → join, one at a time → types → finish leaves → forget who is dead → grow → take out who runs → name
func Plan(w Wish, s Snapshot) ([]Step, error) {
	p := &planner{wish: w, seen: s}
	p.base, p.based = s.Base(w)
	p.inspect()
	p.start()
	p.checkPaused()
	if p.based {
		p.founder()
		p.join()
		p.types()
		p.grow()
		p.finishLeaves()
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
// data. It is the one that most queues have a copy on, so that the fewest are lost, of those that answered: who is only
// seen running may be dead.
func Dissolve(w Wish, s Snapshot) (Wish, bool) {
	base, ok := s.Base(w)
	if !ok {
		return Wish{}, false
	}
	keep, most := base.Voices[0], -1
	for _, node := range base.Voices {
		if base.Members[node] == RAM {
			continue
		}
		if n := s.copiesOn(base, node); n > most {
			keep, most = node, n
		}
	}
	last := Wish{Members: map[string]Type{keep: base.Members[keep]}, Only: true, AllowDataLoss: w.AllowDataLoss, ID: w.ID, Leaving: slices.Clone(w.Leaving)}
	for _, node := range w.names() {
		if node != keep {
			last.Leaving = append(last.Leaving, node)
		}
	}
	return last, true
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
	step.Consent = p.wish.AllowDataLoss
	p.steps = append(p.steps, step)
}

// addBeforeGrowth adds a step before whatever grows. Since 4.3 a queue with a replica that does not run refuses another
// one ("non_stable_members", measured), so that who is dead is forgotten first.
func (p *planner) addBeforeGrowth(step Step) {
	p.add(step)
	last := len(p.steps) - 1
	if i := slices.IndexFunc(p.steps, func(s Step) bool { return s.Kind == Grow }); i >= 0 {
		step = p.steps[last]
		p.steps = slices.Insert(p.steps[:last], i, step)
	}
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
		runs := p.based && p.base.has(node) && p.base.Runs(node)
		if p.unread(node) && !runs {
			p.refusal.Reasons = append(p.refusal.Reasons, p.unseen(node))
		}
	}
}

// unread tells whether a node gave no word of its own.
func (p *planner) unread(node string) bool {
	view, known := p.seen[node]
	return !known || view.State == Unreachable || view.State == Failed
}

// unseen is the reason for which nothing is done to an unread node.
func (p *planner) unseen(node string) Reason {
	view := p.seen[node]
	rule, next := RuleUnreachable, "Correct how it is reached, or bring it back; take the node out of the configuration when its host is gone for good."
	if view.State == Failed {
		rule, next = RuleUninspected, "Mend the cause; nothing is decided about a node that cannot be read."
	}
	return Reason{Rule: rule, Node: node, Unseen: true, Text: view.Why, Next: next}
}

// rename plans the cluster's name. Members report different names until somebody sets one, so all voices count.
func (p *planner) rename() {
	if p.wish.Name == "" || (len(p.base.names) == 1 && p.base.names[p.wish.Name]) {
		return
	}
	p.add(Step{Kind: SetName, Node: p.seed(), Name: p.wish.Name})
}
