package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

func TestForceBootRefusesWhatWouldDoHarm(t *testing.T) {
	down, up := topology.View{State: topology.Down}, topology.View{State: topology.Running}
	away, broken := topology.View{State: topology.Unreachable, Why: "no route"}, topology.View{State: topology.Failed, Why: "a wrong cookie"}
	for name, c := range map[string]struct {
		seen  topology.Snapshot
		lost  []string
		allow bool
		want  string // of the error; empty when it may be forced
	}{
		"it runs":                        {topology.Snapshot{"a": up, "b": down}, nil, true, "it runs"},
		"its host is away":               {topology.Snapshot{"a": away, "b": down}, nil, true, "cannot be read"},
		"a member runs":                  {topology.Snapshot{"a": down, "b": up}, nil, true, "b runs"},
		"a member runs that was lost":    {topology.Snapshot{"a": down, "b": up}, []string{"b"}, true, "b runs"},
		"a member cannot be asked":       {topology.Snapshot{"a": down, "b": away}, nil, true, "b cannot be asked"},
		"a member cannot be read":        {topology.Snapshot{"a": down, "b": broken}, []string{"b"}, true, "b cannot be asked"},
		"a member could be started":      {topology.Snapshot{"a": down, "b": down}, nil, false, "b is there and can be started"},
		"a lost member could be started": {topology.Snapshot{"a": down, "b": down}, []string{"b"}, false, "b is there and can be started"},
		"the others are lost":            {topology.Snapshot{"a": down, "b": away, "c": away}, []string{"b", "c"}, false, ""},
		"loss is allowed":                {topology.Snapshot{"a": {State: topology.Booting}, "b": down}, nil, true, ""},
	} {
		err := mayForce(c.seen, "a", c.lost, c.allow)
		var refused *ForceBootError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.As(err, &refused) || !strings.Contains(refused.Why, c.want) || refused.Next == ""):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
