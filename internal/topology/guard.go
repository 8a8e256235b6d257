package topology

import (
	"slices"
	"strings"
)

// The state a cluster must be in for any change of membership.

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
