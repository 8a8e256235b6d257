package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Holdings is what a node that stands alone, or the cluster it is in, holds.
type Holdings struct {
	Objects []string // what a blank node does not have, in words: "vhost orders", "user shop", "3 policies"
	Queues  []QueueGroup
}

// QueueGroup counts the queues of one type whose copies are on the same nodes.
type QueueGroup struct {
	Type      string // classic, quorum, stream, in RabbitMQ's words
	Copies    []string
	Exclusive bool // such queues die with their connection anyway
	Count     int
	Messages  int // a hint: quorum queues report 0 for some seconds after publishing
	Uncounted int // queues whose messages could not be counted
	Largest   []string
}

// Blank tells whether there is nothing that a user made.
func (h Holdings) Blank() bool { return len(h.Objects) == 0 && len(h.queues()) == 0 }

// queues leaves out what dies with its connection.
func (h Holdings) queues() []QueueGroup {
	return slices.DeleteFunc(slices.Clone(h.Queues), func(q QueueGroup) bool { return q.Exclusive })
}

// String lists everything: "vhost orders, user shop, 14 classic queues with 1203 messages (orders in / with 900, …)".
func (h Holdings) String() string {
	parts := slices.Clone(h.Objects)
	for _, q := range h.queues() {
		parts = append(parts, q.String())
	}
	return strings.Join(parts, ", ")
}

// String counts the group and names its largest queues.
func (q QueueGroup) String() string {
	messages := plural(q.Messages, "message")
	if q.Uncounted > 0 {
		messages = fmt.Sprintf("at least %s (%s uncounted)", messages, plural(q.Uncounted, "queue"))
	}
	return fmt.Sprintf("%s with %s (%s)", plural(q.Count, q.Type+" queue"), messages, strings.Join(q.Largest, ", "))
}

// lostWithout returns the queues that have no copy outside the nodes in gone.
func (h Holdings) lostWithout(gone []string) []QueueGroup {
	var lost []QueueGroup
	for _, q := range h.queues() {
		if !slices.ContainsFunc(q.Copies, func(node string) bool { return !slices.Contains(gone, node) }) {
			lost = append(lost, q)
		}
	}
	return lost
}

// stuckWithout returns the queues of the Raft kinds that keep a copy, but fewer running ones than a majority of what
// is left once the nodes in gone are out.
func (h Holdings) stuckWithout(gone, running []string) []QueueGroup {
	var stuck []QueueGroup
	for _, q := range h.queues() {
		if q.Type == "classic" {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(q.Copies), func(node string) bool { return slices.Contains(gone, node) })
		up := 0
		for _, node := range left {
			if slices.Contains(running, node) {
				up++
			}
		}
		if len(left) > 0 && len(left) < len(q.Copies) && up <= len(left)/2 {
			stuck = append(stuck, q)
		}
	}
	return stuck
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
