package cluster

import (
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// What is said of a node after a failure is a sentence in every state that it may be in.
func TestFoundNodesAreTold(t *testing.T) {
	two := map[string]topology.Type{"rabbit@a": topology.Disc, "rabbit@b": topology.Disc}
	for want, view := range map[string]topology.View{
		"rabbit@a could not be read (no route)":       {State: topology.Unreachable, Why: "no route"},
		"rabbit@a could not be read (a wrong cookie)": {State: topology.Failed, Why: "a wrong cookie"},
		"rabbit@a is down":                            {State: topology.Down},
		"rabbit@a is running and lists rabbit@a, rabbit@b as members, of which rabbit@a run":                     {State: topology.Running, Members: two, Running: []string{"rabbit@a"}},
		"rabbit@a is booting and lists rabbit@a, rabbit@b as members, of which it sees none running":             {State: topology.Booting, Members: two},
		"rabbit@a is up with its application stopped and lists nobody (it cannot tell while stopped) as members": {State: topology.Stopped},
	} {
		if got := tell(topology.Snapshot{"rabbit@a": view}, topology.Step{Node: "rabbit@a"}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	both := topology.Snapshot{"rabbit@a": {State: topology.Down}, "rabbit@b": {State: topology.Down}}
	if got := tell(both, topology.Step{Node: "rabbit@a", Via: "rabbit@b"}); strings.Count(got, "; ") != 1 {
		t.Errorf("of both sides: %q", got)
	}
}
