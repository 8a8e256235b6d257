package topology

import (
	"fmt"
	"slices"
	"strings"
)

// The state a cluster must be in for any change of membership.

// guard refuses every change of membership while the cluster is in no state for one.
func (p *planner) guard() {
	if !slices.ContainsFunc(p.steps, func(s Step) bool { return !s.Starts() }) {
		return
	}
	if cut, found := p.seen.partition(p.base); found {
		p.refusal.refuse(cut.rule, cut.nodes, cut.next, "%s", cut.text)
	}
	// What is planned to start may bring the majority back; everything is looked at again after it.
	if p.seen[p.seed()].NoMajority && !p.steps[0].Starts() {
		if node := p.estranged(); node != "" {
			p.refusal.refuse(RuleCookie, node, "Give both the same cookie, for example with rabbitmq_erlang_cookie; it goes on to boot then.",
				"it runs with cookie hash %s, and %s with %s, which misses it for a majority", p.seen[node].CookieHash, p.seed(), p.seen[p.seed()].CookieHash)
			return
		}
		p.refusal.refuse(RuleMajority, p.seed(), "Start the members that are down first: `rabbitmq-diagnostics metadata_store_status` tells who is there.",
			"it does not see more than half of the members, so its metadata store can take no change, and what it says may be stale")
		return
	}
	p.guardMajority()
}

// estranged gives a member whose Erlang node is up with another cookie than the seed's: a rotation was cut short, and it
// was started again since.
func (p *planner) estranged() string {
	for _, node := range sortedKeys(p.base.Members) {
		if hash := p.seen[node].CookieHash; hash != "" && hash != p.seen[p.seed()].CookieHash {
			return node
		}
	}
	return ""
}

// guardMajority plays the steps through: at each one that changes what the metadata store holds more than half of the
// members must run, before and after. Nothing switches this off.
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
		case Join, Grow, Forget, Expel, SetName:
			if running <= members/2 {
				p.refuseMajority(step, members, running)
				return
			}
			switch step.Kind {
			case Join:
				members++
				running++
			case Forget, Expel:
				members--
			}
		case Leave:
			if members > 1 && running-1 <= (members-1)/2 { // without a majority now there is none without it either
				p.refuseMajority(step, members, running)
				return
			}
			members--
			running--
		}
	}
}

func (p *planner) refuseMajority(step Step, members, running int) {
	next := "Start more members first."
	var down []string
	for _, node := range sortedKeys(p.base.Members) {
		if !p.base.Runs(node) && node != step.Node {
			down = append(down, node)
		}
	}
	if len(down) > 0 && running > members/2 {
		next = fmt.Sprintf("Start %[1]s first, or, if gone for good, take %[1]s out before.", strings.Join(down, ", "))
	}
	p.refusal.refuse(RuleMajority, step.Node, next+" There is no switch for this one.",
		"to %s, more than half of the members must run before and after, and %d of %d do", step, running, members)
}
