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

// What was seen at two moments does not fit together, and neither does what is broken.
func TestWordsFitTogether(t *testing.T) {
	three := map[string]Type{"a": Disc, "b": Disc, "c": Disc}
	node := func(lists map[string]Type, sees []string, cut ...string) View {
		return View{State: Running, Members: lists, Running: sees, Partitioned: cut}
	}
	all := node(three, []string{"a", "b", "c"})
	without := node(three, []string{"a", "b"})
	for name, c := range map[string]struct {
		seen Snapshot
		want bool
	}{
		"whole":                     {Snapshot{"a": all, "b": all, "c": all}, true},
		"one is down":               {Snapshot{"a": without, "b": without, "c": {State: Down}}, true},
		"one boots":                 {Snapshot{"a": all, "b": without, "c": {State: Booting, Members: three}}, true},
		"each alone":                {Snapshot{"a": node(map[string]Type{"a": Disc}, []string{"a"}), "b": node(map[string]Type{"b": Disc}, []string{"b"})}, true},
		"started between":           {Snapshot{"a": without, "b": without, "c": all}, false},
		"joined between":            {Snapshot{"a": node(map[string]Type{"a": Disc}, []string{"a"}), "c": node(map[string]Type{"a": Disc, "c": Disc}, []string{"a", "c"})}, false},
		"stopped between":           {Snapshot{"a": without, "b": all, "c": all}, false},
		"a partition that is told":  {Snapshot{"a": node(three, []string{"a", "b"}, "c"), "c": node(three, []string{"c"}, "a", "b")}, true},
		"a partition that goes on":  {Snapshot{"a": without, "b": without, "c": node(three, []string{"c"})}, false},
		"a rebuilt member is alone": {Snapshot{"a": all, "c": node(map[string]Type{"c": Disc}, []string{"c"})}, false},
	} {
		if got := c.seen.Fits(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
