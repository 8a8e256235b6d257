package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Scenario is a story in text, so that a failure can be kept, read and told again: what the world is, what happens to
// it, and what the user applies. A line is one step; see steps.go for all of them.
type Scenario struct {
	Seed    uint64
	Version Version
	// Versions are those that a story from a file holds for.
	Versions []Version
	Hosts    int
	Steps    []string
	// Simulated is why the story can only be told in the simulation; empty for one that real hosts can live through.
	Simulated string
	// Open leaves the world as the last step left it. A story is otherwise told to a good end.
	Open bool
}

// String is the scenario as Parse reads it.
func (s Scenario) String() string {
	return fmt.Sprintf("seed %d\nversion %s\nhosts %d\n%s\n", s.Seed, s.Version, s.Hosts, strings.Join(s.Steps, "\n"))
}

// last is the last step. A story that ends with what must be is over then.
func (s Scenario) last() string {
	if len(s.Steps) == 0 {
		return ""
	}
	return s.Steps[len(s.Steps)-1]
}

// Parse reads a scenario. Empty lines and lines that begin with # mean nothing.
func Parse(text string) (Scenario, error) {
	var s Scenario
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		var err error
		switch words[0] {
		case "seed":
			s.Seed, err = strconv.ParseUint(words[1], 10, 64)
		case "simulated:":
			s.Simulated = strings.TrimSpace(strings.TrimPrefix(line, "simulated:"))
		case "hosts":
			s.Hosts, err = strconv.Atoi(words[1])
		case "version":
			for _, word := range words[1:] {
				i := slices.IndexFunc(V, func(v Version) bool { return v.String() == word })
				if i < 0 {
					return s, fmt.Errorf("no version %s", word)
				}
				s.Versions = append(s.Versions, V[i])
			}
		default:
			s.Steps = append(s.Steps, line)
		}
		if err != nil {
			return s, fmt.Errorf("%q: %w", line, err)
		}
	}
	if len(s.Versions) == 0 {
		s.Versions = V
	}
	s.Version = s.Versions[0]
	return s, nil
}
