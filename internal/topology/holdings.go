package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Holdings is what a node that stands alone, or the cluster it is in, holds.
type Holdings struct {
	Objects []string // what a blank node does not have, in words: "vhost orders", "user shop", "policies: 3"
	Counts  []Count  // the same in numbers
	Queues  []QueueGroup
}

// Count is how many of something there are.
type Count struct {
	N    int
	What string // one of them: "vhost"
}

// String counts in words: "3 policies".
func (c Count) String() string { return plural(c.N, c.What) }

// QueueGroup counts the queues of one type whose copies are on the same nodes.
type QueueGroup struct {
	Type      string // classic, quorum, stream, in RabbitMQ's words
	Copies    []string
	Lame      []string // of those nodes, the ones that run and whose replica does not
	Exclusive bool     // such queues die with their connection anyway
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
	if q.late() {
		messages += soFar
	}
	if q.Uncounted > 0 {
		messages = fmt.Sprintf("at least %s (%s uncounted)", messages, plural(q.Uncounted, "queue"))
	}
	return fmt.Sprintf("%s with %s (%s)", plural(q.Count, q.Type+" queue"), messages, strings.Join(q.Largest, ", "))
}

// late tells whether nothing was counted where RabbitMQ counts some seconds after the messages came.
func (q QueueGroup) late() bool { return q.grows() && q.Messages == 0 }

const soFar = " counted so far"

// remedies says what keeps queues of these types: each type has its own.
func remedies(queues []QueueGroup) string {
	var all []string
	for _, r := range []struct{ kind, text string }{
		{"classic", "drain classic queues and delete them, or move them"},
		{"quorum", "give quorum queues a replica elsewhere (`rabbitmq-queues grow NODE all`)"},
		{"stream", "give streams a replica elsewhere (`rabbitmq-streams add_replica STREAM NODE`)"},
	} {
		if slices.ContainsFunc(queues, func(q QueueGroup) bool { return q.Type == r.kind }) {
			all = append(all, r.text)
		}
	}
	if len(all) == 0 {
		return "Drain the queues and delete them, or move them"
	}
	text := strings.Join(all, ", ")
	return strings.ToUpper(text[:1]) + text[1:]
}

// Tally is everything in numbers: "2 vhosts, 14 queues, 1203 messages".
func (h Holdings) Tally() string {
	var parts []string
	for _, c := range h.Counts {
		parts = append(parts, c.String())
	}
	if queues := h.queues(); len(queues) > 0 {
		parts = append(parts, tally(queues))
	}
	return strings.Join(parts, ", ")
}

// lost says of what a tally counts that it is lost.
func lost(tally string) string {
	if strings.HasPrefix(tally, "1 ") && !strings.Contains(tally, ",") {
		return "its " + tally + " is lost"
	}
	return "its " + tally + " are lost"
}

// tally counts queues and their messages: "14 queues, 1203 messages".
func tally(queues []QueueGroup) string {
	count, messages, atLeast, late := 0, 0, "", false
	for _, q := range queues {
		count += q.Count
		messages += q.Messages
		late = late || q.late()
		if q.Uncounted > 0 {
			atLeast = "at least "
		}
	}
	text := plural(count, "queue") + ", " + atLeast + plural(messages, "message")
	if late && messages == 0 {
		text += soFar
	}
	return text
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
// is left once the nodes in gone are out. A running member is taken out of its queues before it leaves. From one that
// does not run, only quorum queues still drop their replica; a stream goes on counting it, and is deleted by the forget
// when it was led from there and could not elect another leader (measured on 3.10).
func (h Holdings) stuckWithout(gone, running []string) []QueueGroup {
	var stuck []QueueGroup
	for _, q := range h.queues() {
		if q.Type == "classic" {
			continue
		}
		out := func(node string) bool { return slices.Contains(gone, node) }
		touched, stays := slices.ContainsFunc(q.Copies, out), slices.ContainsFunc(q.Copies, func(node string) bool { return !out(node) })
		if counted, up := q.countedWithout(gone, running); touched && stays && len(up) <= len(counted)/2 {
			stuck = append(stuck, q)
		}
	}
	return stuck
}

// countedWithout returns the replicas that are counted once the nodes in gone are out, and which of these work.
func (q QueueGroup) countedWithout(gone, running []string) (counted, up []string) {
	for _, node := range q.Copies {
		runs := slices.Contains(running, node)
		switch {
		case !slices.Contains(gone, node):
			counted = append(counted, node)
			if runs && !slices.Contains(q.Lame, node) {
				up = append(up, node)
			}
		case q.Type == "stream" && !runs:
			counted = append(counted, node)
		}
	}
	return counted, up
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, y := strings.CutSuffix(what, "y"); y {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
