package simulation

import (
	"strings"
	"testing"
)

// TestMajorityIsLostOnce sees that the account of a cluster's majority holds: a command that takes it is a violation, and
// what becomes of the last member after it forgot the others is none.
func TestMajorityIsLostOnce(t *testing.T) {
	for name, c := range map[string]struct {
		before, by func(f *Fleet)
		lost       bool
	}{
		"two of three are wiped": {func(*Fleet) {}, func(f *Fleet) {
			f.brokers[node(2)].blank()
			f.brokers[node(3)].blank()
		}, true},
		"the last one is wiped, whom one that was forgotten still counts": {func(f *Fleet) {
			delete(f.brokers[node(3)].members, node(1))
			delete(f.brokers[node(3)].members, node(2))
			f.brokers[node(2)].blank()
		}, func(f *Fleet) { f.brokers[node(3)].blank() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := New(Options{Hosts: 3, Version: V43, Seed: 1, Loud: t.Errorf})
			for i := 2; i <= 3; i++ {
				f.Broker(node(i)).JoinByHand(node(1), disc)
			}
			f.do("", func() { c.before(f) })
			f.do("a command", func() { c.by(f) })
			got := strings.Join(f.Violations(), "\n")
			if lost := strings.Contains(got, "lost its quorum for good: metadata"); lost != c.lost {
				t.Errorf("it says %q; want a majority that is lost: %t", got, c.lost)
			}
		})
	}
}
