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
	base, ok := s.Base(Wish{Members: known})
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
