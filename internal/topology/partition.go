package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Members that do not see each other. While a partition goes on it looks to each side exactly like members that are
// down; Mnesia reports it only after the network healed (measured). Only the words of both sides tell.

// cut is a partition in words.
type cut struct {
	rule              Rule
	nodes, text, next string
}

// partition finds the sides of a cluster whose running members do not all see each other.
func (s Snapshot) partition(c Cluster) (cut, bool) {
	sides, reported := s.sides(c), false
	var reports []string
	for _, node := range c.Voices {
		if from := s[node].Partitioned; len(from) > 0 {
			reported = true
			reports = append(reports, fmt.Sprintf("%s reports that it was cut off from %s", node, strings.Join(from, ", ")))
		}
	}
	a, b, apart := s.apart(c)
	if !apart && !reported {
		return cut{}, false
	}
	names := make([]string, len(sides))
	for i, side := range sides {
		names[i] = strings.Join(side, ", ")
	}
	found := cut{rule: RulePartition, nodes: strings.Join(c.Voices, ", "), text: "one side is " + strings.Join(names, "; the other is ")}
	if len(sides) < 2 { // others see both
		found.text = fmt.Sprintf("%s and %s do not see each other", a, b)
	}
	if va, vb := s[a], s[b]; apart && !reported && va.CookieHash != vb.CookieHash {
		// A rotation that was cut short, and one of them has been started since: a link that stands needs no cookie.
		return cut{RuleCookie, found.nodes, fmt.Sprintf("%s and %s do not see each other: %s runs with cookie hash %s, and %s with %s", a, b, a, va.CookieHash, b, vb.CookieHash),
			"Give both the same cookie, for example with rabbitmq_erlang_cookie; they find each other then."}, true
	}
	if !reported {
		found.text += ". Both run and count each other as members"
		found.next = "Mend the network between them (ports 4369 and 25672, both ways), then apply again."
		return found, true
	}
	if !apart {
		found.text = strings.Join(reports, "; ")
	}
	found.text += ". The network is whole again, and both sides may have changed meanwhile without each other"
	found.next = "Choose the side to trust and restart the members of the other (`rabbitmqctl stop_app`, then `start_app`): what was written there meanwhile is lost. Then apply again."
	return found, true
}

// sides groups the running members of a cluster by whom they see.
func (s Snapshot) sides(c Cluster) [][]string {
	var sides [][]string
	taken := map[string]bool{}
	for _, first := range c.Voices {
		if taken[first] {
			continue
		}
		side := []string{first}
		taken[first] = true
		for i := 0; i < len(side); i++ {
			for _, other := range c.Voices {
				if !taken[other] && s.together(side[i], other) {
					taken[other] = true
					side = append(side, other)
				}
			}
		}
		slices.Sort(side)
		sides = append(sides, side)
	}
	return sides
}

// apart gives a pair of running members that do not see each other.
func (s Snapshot) apart(c Cluster) (a, b string, found bool) {
	for i, a := range c.Voices {
		for _, b := range c.Voices[i+1:] {
			if s[a].lists(b) && s[b].lists(a) && !s.together(a, b) {
				return a, b, true
			}
		}
	}
	return "", "", false
}

func (s Snapshot) together(a, b string) bool {
	va, vb := s[a], s[b]
	return va.sees(b) && vb.sees(a) && !slices.Contains(va.Partitioned, b) && !slices.Contains(vb.Partitioned, a)
}

// checkPaused refuses to go on while a member has paused itself: to its peers it looks like one that is down, and it is
// neither to be started by hand nor to be forgotten. When others start now, it may see enough of them afterwards.
func (p *planner) checkPaused() {
	for _, node := range sortedKeys(p.seen) {
		if p.seen[node].State != Paused || !p.wish.wants(node) && (!p.based || !p.base.has(node)) {
			continue
		}
		if p.starts() {
			if p.wish.wants(node) {
				p.add(Step{Kind: Await, Node: node})
			}
			continue
		}
		others := "no other member was seen running"
		if p.based && len(p.base.Running) > 0 {
			others = "on the other side are " + strings.Join(p.base.Running, ", ")
		}
		p.refusal.refuse(RulePartition, node, "Mend the network between them, or start the members that are down: it then starts by itself and nothing is lost. If the others are gone for good, set cluster_partition_handling to ignore on its host and restart the broker there.",
			"its application was stopped by RabbitMQ itself, because it sees only a minority of its cluster (cluster_partition_handling), and %s", others)
	}
}

// starts tells whether the plan so far starts a member.
func (p *planner) starts() bool { return len(p.steps) > 0 && p.steps[0].Starts() }
