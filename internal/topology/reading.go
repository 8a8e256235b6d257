package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Reading is what a cluster is, as Terraform's state keeps it.
type Reading struct {
	Name    string
	ID      string
	Members map[string]Member
	// Lacking are the members without a replica of some quorum queue or stream, as far as that was asked.
	Lacking []string
	// Unseen says why members gave no answer while others did and none runs: they stay, as not running.
	Unseen []string
	// Partition tells of both sides when the members do not see each other; empty when they do.
	Partition string
}

// Member is one member in a Reading.
type Member struct {
	Type    Type
	Running bool
}

// UnknownError says that membership could not be told: no known member gave an answer, and nobody else who could know
// runs. What is in state stays there.
type UnknownError struct{ Causes []string }

// Error implements error.
func (e *UnknownError) Error() string {
	return "no running member answered, so nothing is known about the cluster:\n" + strings.Join(e.Causes, "\n")
}

// Read says what the cluster of the known members is. A member drops out only when running members prove that it is
// none; when nobody runs, the known members stay, as not running, unless none of them gave an answer.
func Read(known map[string]Type, s Snapshot) (Reading, error) {
	return ReadWished(Wish{Members: known}, s)
}

// ReadWished is Read for the cluster that a wish builds on.
func ReadWished(w Wish, s Snapshot) (Reading, error) {
	known := w.Members
	base, ok := s.Base(w)
	if !ok {
		return readStopped(known, s)
	}
	r := Reading{Name: base.Name, ID: base.ID, Members: map[string]Member{}}
	for node, kind := range base.Members {
		r.Members[node] = Member{Type: kind, Running: base.Runs(node)}
	}
	for node, kind := range known {
		// Killed between being forgotten and being reset: it is none any more, but its host is not done with.
		if s.halfLeft(node, base) {
			r.Members[node] = Member{Type: kind}
		}
	}
	for _, node := range base.Running {
		if w.wants(node) && s.lacks(node, base) > 0 {
			r.Lacking = append(r.Lacking, node)
		}
	}
	if cut, found := s.partition(base); found {
		r.Partition = cut.text
	}
	for _, node := range sortedKeys(base.Members) {
		if s[node].State == Paused {
			r.Partition = fmt.Sprintf("%s has paused itself, because it sees only a minority of the members; others see %s running", node, strings.Join(base.Running, ", "))
		}
	}
	return r, nil
}

func readStopped(known map[string]Type, s Snapshot) (Reading, error) {
	var causes []string
	r := Reading{Members: map[string]Member{}}
	for _, node := range sortedKeys(known) {
		view := s[node]
		if view.State == Unreachable || view.State == Failed {
			causes = append(causes, fmt.Sprintf("%s: %s", node, view.Why))
		}
		r.Members[node] = Member{Type: known[node]}
	}
	if len(causes) == len(known) {
		return Reading{}, &UnknownError{Causes: causes}
	}
	r.Unseen = causes // who is there must be startable although another never comes back
	return r, nil
}

// ReadMember says whether node is a member of a cluster, in one of three ways: it is, it is proved not to be, or an
// *UnknownError. Its cluster is the one that most of it and its peers are in; a node that stands alone while none of its
// peers is in a cluster that could miss it is the only member of its own.
func ReadMember(node string, peers []string, s Snapshot) (m Member, r Reading, found bool, err error) {
	r, err = ReadWished(Wish{Members: map[string]Type{node: Disc}, Peers: peers}, s)
	m, found = r.Members[node]
	return m, r, found || err != nil, err
}

// Partitions says who does not see whom, although both run and count each other as members: as the nodes report it, which
// Mnesia does only after the network healed and Khepri never, and as their words side by side show it.
func (s Snapshot) Partitions() map[string][]string {
	cut := map[string][]string{}
	for _, a := range sortedKeys(s) {
		va := s[a]
		if va.State != Running {
			continue
		}
		cut[a] = append(cut[a], va.Partitioned...)
		for _, b := range sortedKeys(s) {
			vb := s[b]
			if a != b && vb.State == Running && va.lists(b) && vb.lists(a) && !va.sees(b) && !slices.Contains(cut[a], b) {
				cut[a] = append(cut[a], b)
			}
		}
		if len(cut[a]) == 0 {
			delete(cut, a)
		}
	}
	return cut
}

// Fits tells whether what the running nodes say fits together: each two are members of one cluster by the words of both or
// by neither's, and see each other running unless they report to have been cut off.
func (s Snapshot) Fits() bool {
	for a, va := range s {
		for b, vb := range s {
			if va.State != Running || vb.State != Running || !va.lists(b) {
				continue
			}
			if !vb.lists(a) || !va.sees(b) && !slices.Contains(va.Partitioned, b) {
				return false
			}
		}
	}
	return true
}
