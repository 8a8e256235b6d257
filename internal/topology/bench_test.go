package topology

import (
	"fmt"
	"testing"
)

// crowd is a cluster of n running members that all agree, and the wish for exactly it.
func crowd(n int) (Wish, Snapshot) {
	w, seen := Wish{Members: map[string]Type{}, Only: true, Name: "orders"}, Snapshot{}
	members, running := map[string]Type{}, []string{}
	for i := range n {
		node := fmt.Sprintf("rabbit@rmq%03d", i)
		w.Members[node], members[node] = Disc, Disc
		running = append(running, node)
	}
	for node := range members {
		seen[node] = View{State: Running, Name: "orders", Members: members, Running: running, Version: "3.10.8", CookieHash: "A", RAMAllowed: true, Holds: &Holdings{}}
	}
	return w, seen
}

func BenchmarkPlanOf300Members(b *testing.B) {
	w, seen := crowd(300)
	for b.Loop() {
		if steps, err := Plan(w, seen); err != nil || len(steps) > 0 {
			b.Fatal(steps, err)
		}
	}
}

func BenchmarkReadOf300Members(b *testing.B) {
	w, seen := crowd(300)
	for b.Loop() {
		if r, err := ReadWished(w, seen); err != nil || len(r.Members) != 300 {
			b.Fatal(len(r.Members), err)
		}
	}
}
