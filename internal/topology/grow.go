package topology

import "slices"

// Giving quorum queues and streams a replica on members: a new member gets none by itself.

// grow plans replicas on the wished members that lack them: those that join now, and those that run.
func (p *planner) grow() {
	if !p.wish.Grow {
		return
	}
	for _, node := range p.wish.names() {
		joins := slices.ContainsFunc(p.steps, func(s Step) bool { return s.Kind == Join && s.Node == node })
		if joins && p.replicated() {
			p.add(Step{Kind: Grow, Node: node, Via: p.seed()})
		}
		if n := p.seen.lacks(node, p.base); !joins && n > 0 && p.base.Runs(node) {
			p.add(Step{Kind: Grow, Node: node, Via: p.seed(), Queues: n})
		}
	}
}

// lacks counts the quorum queues and streams of a cluster without a replica on a running member.
func (s Snapshot) lacks(node string, c Cluster) int {
	most := 0
	for _, voice := range c.Voices {
		most = max(most, s[voice].Lacks[node])
	}
	return most
}

// replicated tells whether the cluster has queues that keep replicas.
func (p *planner) replicated() bool {
	holds := p.seen.Holds(p.base)
	return holds != nil && slices.ContainsFunc(holds.queues(), QueueGroup.grows)
}

// grows tells whether a queue of this kind can have replicas on more members.
func (q QueueGroup) grows() bool { return q.Type == "quorum" || q.Type == "stream" }

// holds is what the base cluster holds once everything has grown that is planned to. A queue grows only while most of
// its replicas run.
func (p *planner) holds() *Holdings {
	holds := p.seen.Holds(p.base)
	if holds == nil {
		return nil
	}
	grown := &Holdings{Objects: holds.Objects, Queues: slices.Clone(holds.Queues)}
	for _, step := range p.steps {
		for i, q := range grown.Queues {
			if step.Kind == Grow && q.grows() && !slices.Contains(q.Copies, step.Node) && running(holds.Queues[i].Copies, p.willRun()) > len(holds.Queues[i].Copies)/2 {
				grown.Queues[i].Copies = append(slices.Clone(q.Copies), step.Node)
			}
		}
	}
	return grown
}

func running(copies, up []string) int {
	n := 0
	for _, node := range copies {
		n += one(slices.Contains(up, node))
	}
	return n
}
