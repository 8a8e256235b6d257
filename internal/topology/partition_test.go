package topology

import (
	"maps"
	"slices"
	"testing"
)

func TestPartitionsAreReportedOrFound(t *testing.T) {
	three := map[string]Type{"a": Disc, "b": Disc, "c": Disc}
	node := func(sees []string, cut ...string) View {
		return View{State: Running, Members: three, Running: sees, Partitioned: cut}
	}
	for name, c := range map[string]struct {
		seen Snapshot
		want map[string][]string
	}{
		"whole":            {Snapshot{"a": node([]string{"a", "b", "c"}), "b": node([]string{"a", "b", "c"}), "c": node([]string{"a", "b", "c"})}, nil},
		"one is down":      {Snapshot{"a": node([]string{"a", "b"}), "b": node([]string{"a", "b"}), "c": {State: Down}}, nil},
		"going on":         {Snapshot{"a": node([]string{"a", "b"}), "b": node([]string{"a", "b"}), "c": node([]string{"c"})}, map[string][]string{"a": {"c"}, "b": {"c"}, "c": {"a", "b"}}},
		"after it healed":  {Snapshot{"a": node([]string{"a", "b"}, "c"), "b": node([]string{"a", "b"}, "c"), "c": node([]string{"c"}, "a", "b")}, map[string][]string{"a": {"c"}, "b": {"c"}, "c": {"a", "b"}}},
		"a rebuilt member": {Snapshot{"a": node([]string{"a", "b"}), "c": {State: Running, Members: map[string]Type{"c": Disc}, Running: []string{"c"}}}, nil},
	} {
		if got := c.seen.Partitions(); !maps.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
