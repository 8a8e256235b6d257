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
}

// Member is one member in a Reading.
type Member struct {
	Type    Type
	Running bool
}

// UnknownError says that membership could not be told: no member runs and at least one host gave no answer. What is in
// state stays there.
type UnknownError struct{ Causes []string }

// Error implements error.
func (e *UnknownError) Error() string {
	return "no running member answered, so nothing is known about the cluster:\n" + strings.Join(e.Causes, "\n")
}

// Read says what the cluster of the known members is. A member drops out only when running members prove that it is
// none; when nobody runs, the known members stay, as not running.
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
		if view := s[node]; !base.has(node) && view.State == Stopped && slices.ContainsFunc(base.Voices, view.lists) {
			r.Members[node] = Member{Type: kind}
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
	if len(causes) > 0 {
		return Reading{}, &UnknownError{Causes: causes}
	}
	return r, nil
}

// ReadMember says whether node is a member of a cluster, in one of three ways: it is, it is proved not to be, or an
// *UnknownError. Its cluster is the one that most of it and its peers are in; a node that stands alone while none of its
// peers is in a cluster that could miss it is the only member of its own.
func ReadMember(node string, peers []string, s Snapshot) (m Member, name string, found bool, err error) {
	base, ok := s.Base(Wish{Members: map[string]Type{node: Disc}, Peers: peers})
	if !ok {
		r, err := readStopped(map[string]Type{node: Disc}, s)
		return r.Members[node], "", true, err
	}
	if base.has(node) {
		return Member{Type: base.Members[node], Running: base.Runs(node)}, base.Name, true, nil
	}
	// Killed between being forgotten and being reset: its host is not done with.
	if view := s[node]; view.State == Stopped && slices.ContainsFunc(base.Voices, view.lists) {
		return Member{Type: Disc}, base.Name, true, nil
	}
	return Member{}, "", false, nil
}
