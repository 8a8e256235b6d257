package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Generate makes up a scenario. It depends on nothing but the seed.
func Generate(seed uint64) Scenario {
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // G404: a replayable story
	s := Scenario{Seed: seed, Version: V[r.IntN(len(V))], Hosts: 2 + r.IntN(3)}
	if r.IntN(8) == 0 {
		s.Hosts += 2
	}
	host := func() string { return fmt.Sprintf("rabbit@rmq%d", 1+r.IntN(s.Hosts)) }
	tell := func(format string, args ...any) { s.Steps = append(s.Steps, fmt.Sprintf(format, args...)) }
	happen := func() {
		switch r.IntN(15) {
		case 0, 1:
			tell("stop-app %s", host())
		case 2:
			tell("stop-service %s", host())
		case 3:
			tell("crash %s", host())
		case 4:
			tell("power-off %s", host())
		case 5:
			tell("power-on %s", host())
		case 6:
			tell("rebuild %s", host())
		case 7, 8:
			tell("join %s %s", host(), host())
		case 9:
			tell("leave %s", host())
		case 10:
			tell("declare %s vhost:v%d", host(), r.IntN(100))
		case 11, 12, 13:
			kind := []string{"classic", "quorum", "stream"}[r.IntN(3)]
			tell("queue %s %s q%d %d", host(), kind, r.IntN(100), 1+r.IntN(3))
		case 14:
			tell("part %s", host())
		}
	}
	fault := func() {
		kind := Kinds[r.IntN(len(Kinds))]
		word := []string{"-", "join_cluster", "stop_app", "start_app", "forget_cluster_node", "reset", "eval", "-"}[r.IntN(8)]
		at, bytes := 1+r.IntN(2), r.IntN(200)
		if word == "-" || word == "eval" {
			at = 1 + r.IntN(25)
		}
		on := []string{"-", host()}[r.IntN(2)]
		if kind == CutBytes && r.IntN(2) == 0 {
			at, word, on, bytes = 0, "-", host(), r.IntN(6000) // a handshake takes some 2000
		}
		tell("fault %s %d %s %s %d", strings.ReplaceAll(string(kind), " ", "-"), at, word, on, bytes)
	}
	// A story is told with one of the two resources: together they are refused.
	resource := []string{"apply", "apply", "apply-members"}[r.IntN(3)]
	cookie := 0
	wish := func() {
		words := []string{resource}
		if r.IntN(6) == 0 {
			cookie++
		}
		if cookie > 0 {
			words = append(words, fmt.Sprintf("cookie=%d", cookie))
		}
		if resource == "apply" && r.IntN(3) == 0 {
			words = append(words, fmt.Sprintf("name=orders%d", r.IntN(2)))
		}
		if r.IntN(4) == 0 {
			words = append(words, "loss")
		}
		if resource == "apply" && r.IntN(5) == 0 {
			words = append(words, "grow")
		}
		members := r.Perm(s.Hosts)[:1+r.IntN(s.Hosts)]
		slices.Sort(members)
		for i, member := range members {
			word := fmt.Sprintf("rabbit@rmq%d", member+1)
			if i > 0 && !s.Version.Khepri && r.IntN(12) == 0 {
				word += ":ram"
			}
			words = append(words, word)
		}
		tell("%s", strings.Join(words, " "))
	}
	for range r.IntN(5) {
		happen()
	}
	turns := 1 + r.IntN(2)
	if r.IntN(6) == 0 {
		turns += 2
	}
	for range turns {
		for range r.IntN(3) {
			fault()
		}
		if r.IntN(9) == 0 {
			tell("dissolve")
		} else {
			wish()
		}
		for range r.IntN(3) {
			happen()
		}
		if r.IntN(4) == 0 {
			tell("mend")
		}
	}
	return s
}
