package rabbitmq

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestProbeExpressionSurvivesEveryShell(t *testing.T) {
	text := Ask{Inventory: true, Of: []string{"rabbit@rmq1"}, Peers: true, Flags: true, Overview: true, Hints: true, Lag: true, Resolve: []string{"rmq1"}}.Expression()
	if at := strings.IndexAny(text, "$`\\!'\n"); at >= 0 {
		t.Errorf("the expression holds %q, which some shell reads: …%s…", text[at], text[max(0, at-30):at+1])
	}
	for _, left := range []string{"WANT", "HOSTS", "MARKER", "= OF"} {
		if strings.Contains(text, left) {
			t.Errorf("%s was not replaced", left)
		}
	}
}

// Erlang compares what is bound twice instead of binding it anew, and the whole expression fails at that on every version.
func TestProbeBindsEveryNameOnce(t *testing.T) {
	bound := map[string]bool{}
	for line := range strings.Lines(probeSource) {
		name, _, is := strings.Cut(line, " = ")
		if !is || !regexp.MustCompile(`^[A-Z]\w*$`).MatchString(name) {
			continue
		}
		if bound[name] {
			t.Errorf("%s is bound twice", name)
		}
		bound[name] = true
	}
	if len(bound) < 20 {
		t.Errorf("only %d names were found", len(bound))
	}
}

// The recordings are of a two-node cluster with one vhost, one user, a classic and a quorum queue of a user's.
func TestProbeAnswersAlikeOnEveryVersion(t *testing.T) {
	for version, store := range map[string]Store{"3.8.9": Mnesia, "3.10.8": Mnesia, "4.0.5": Mnesia, "4.3.6": Khepri} {
		t.Run(version, func(t *testing.T) {
			stdout, _, _ := recorded(t, version, "probe-running")
			s, err := parseProbe([]byte(stdout))
			if err != nil {
				t.Fatal(err)
			}
			if !s.Running || s.Booting || s.Node != "rabbit@rmq1" || s.Version != version || s.Store != store || !s.MetadataMajority() {
				t.Errorf("state: %+v", s)
			}
			if want := []string{"rabbit@rmq1", "rabbit@rmq2"}; !slices.Equal(s.Members(), want) {
				t.Errorf("members %v, want %v", s.Members(), want)
			}
			if !strings.HasPrefix(s.ClusterID, "rabbitmq-cluster-id-") || s.CookieHash != CookieHash([]byte("REC")) {
				t.Errorf("id %q, cookie hash %q", s.ClusterID, s.CookieHash)
			}
			if len(s.Resolves) != 2 || len(s.Resolves[0].Addresses) == 0 || len(s.Resolves[1].Addresses) != 0 {
				t.Errorf("resolves: %+v", s.Resolves)
			}
			if version == "3.8.9" && s.InventoryFailed {
				return // recorded when the inventory had another shape; the stories of the real tier ask a real one
			}
			if s.Inventory == nil || !slices.Contains(s.Inventory.VHosts.Names, "orders") || !slices.Contains(s.Inventory.Users.Names, "shop") || s.Inventory.DefaultUser != "guest" {
				t.Fatalf("inventory: %+v", s.Inventory)
			}
			copies := map[string]int{}
			for _, q := range s.Inventory.Queues {
				copies[q.Type] = len(q.Copies)
			}
			if copies["rabbit_classic_queue"] != 1 || copies["rabbit_quorum_queue"] != 2 {
				t.Errorf("copies by type: %v", copies)
			}
		})
	}
}

func TestProbeAnswersTheSameOverBothCarriers(t *testing.T) {
	for _, version := range []string{"3.10.8", "4.0.5", "4.3.6"} { // OTP 23's erl_call cannot fetch output
		one, _, _ := recorded(t, version, "probe-running")
		two, _, _ := recorded(t, version, "probe-erl_call")
		a, errA := parseProbe([]byte(one))
		b, errB := parseProbe([]byte(two))
		if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: rabbitmqctl %+v (%v), erl_call %+v (%v)", version, a, errA, b, errB)
		}
	}
}

func TestProbeOfAStoppedNode(t *testing.T) {
	for version, members := range map[string]int{"3.8.9": 2, "3.10.8": 2, "4.0.5": 2, "4.3.6": 0} {
		stdout, _, _ := recorded(t, version, "probe-stopped")
		s, err := parseProbe([]byte(stdout))
		if err != nil || s.Running || len(s.Members()) != members || s.Inventory != nil || s.InventoryFailed {
			t.Errorf("%s: %+v (%v)", version, s, err)
		}
	}
}

// What real versions print around an answer, on the stream that it comes on.
var noises = []string{
	"18:01:02.345 [error] Discarding message {'$gen_call',{a,b}}\n",
	"\n12:00:00.000 [warning] \x1b[33mnoise {before: 1}\x1b[0m\r\n",
	"\x1b[33mRABBITMQ_ERLANG_COOKIE env variable support is deprecated and will be REMOVED in a future version.\x1b[0m\n",
	"\x1b[0m", // at the head of its line
	"warning: the VM is running with native name encoding of latin1 which may cause Elixir to malfunction as it expects utf8.\n",
	"ok\n{\"node\":\"rabbit@other\"}\n",
	"12:00:00.000 [error] io:put_chars([\"" + marker + "\", rabbit_json:encode(R), 10]).\n",
}

func TestProbeIsFoundBetweenNoise(t *testing.T) {
	for _, version := range []string{"3.8.9", "3.10.8", "4.0.5", "4.3.6"} {
		stdout, _, _ := recorded(t, version, "probe-running")
		want, err := parseProbe([]byte(stdout))
		if err != nil {
			t.Fatal(err)
		}
		for _, noise := range noises {
			for _, output := range []string{noise + stdout, stdout + noise, strings.Replace(stdout, "}\nok", "}"+noise+"\nok", 1)} {
				if got, err := parseProbe([]byte(output)); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s with %q: %v", version, noise, err)
				}
			}
		}
	}
}

func TestProbeDoesNotGuess(t *testing.T) {
	for name, output := range map[string]string{
		"nothing":         "",
		"only noise":      "{\"node\":\"rabbit@rmq1\"}\nok\n",
		"cut off":         marker + `{"node":"rabbit@rmq1","store":"mnesia","disc":["rabb`,
		"another shape":   marker + `{"node":"rabbit@rmq1","store":"mnesia","disc":"rabbit@rmq1"}`,
		"no store":        marker + `{"node":"rabbit@rmq1","running":false}`,
		"runs, no member": marker + `{"node":"rabbit@rmq1","store":"khepri","running":true,"disc":[],"ram":[]}`,
	} {
		if s, err := parseProbe([]byte(output)); err == nil {
			t.Errorf("%s was taken for an answer: %+v", name, s)
		}
	}
}

func TestProbeTellsAFailedInventoryFromNone(t *testing.T) {
	base := marker + `{"node":"rabbit@rmq1","store":"mnesia","running":true,"disc":["rabbit@rmq1"],"inventory":`
	failed, err := parseProbe([]byte(base + `"error"}`))
	if err != nil || failed.Inventory != nil || !failed.InventoryFailed {
		t.Errorf("failed: %+v (%v)", failed, err)
	}
	unasked, err := parseProbe([]byte(base + `null}`))
	if err != nil || unasked.Inventory != nil || unasked.InventoryFailed {
		t.Errorf("not asked for: %+v (%v)", unasked, err)
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte(marker + `{"node":"rabbit@rmq1","store":"mnesia","running":true,"disc":["rabbit@rmq1"]}`))
	for _, noise := range noises {
		f.Add([]byte(noise))
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		s, err := parseProbe(output)
		if err == nil && s.Running && len(s.Members()) == 0 {
			t.Errorf("a running node without members: %q", output)
		}
	})
}

// The recordings are of a three-node cluster with a quorum queue (and a stream where there are some), a disk alarm on the
// node that was asked, the third member drained, and a configuration file that the node has not read yet.
func TestProbeTellsOfTheWholeCluster(t *testing.T) {
	for _, version := range []string{"3.10.8", "4.0.5", "4.3.6"} {
		stdout, _, _ := recorded(t, version, "probe-overview")
		s, err := parseProbe([]byte(stdout))
		if err != nil || s.Overview == nil || s.Hints == nil {
			t.Errorf("%s: %+v (%v)", version, s, err)
			continue
		}
		if len(s.Overview.Members) != 3 || !reflect.DeepEqual(s.Overview.Alarms, []Alarm{{"rabbit@rmq1", "disk"}}) || s.Overview.FeatureFlags["quorum_queue"] != "enabled" {
			t.Errorf("%s: %+v", version, s.Overview)
		}
		for _, p := range s.Overview.Members {
			if p.Version != version || !strings.Contains(p.Erlang, ".") || p.Uptime <= 0 || Draining(p.Maintenance) != (p.Node == "rabbit@rmq3") {
				t.Errorf("%s: %+v", version, p)
			}
			if !slices.Contains(p.Listeners, Listener{"amqp", "[::]", 5672}) && p.Node != "rabbit@rmq3" {
				t.Errorf("%s: %s listens on %+v", version, p.Node, p.Listeners)
			}
		}
		if len(s.Lag) == 0 && version != "4.3.6" { // recorded of a cluster without queues
			t.Errorf("%s: no replica", version)
		}
		for _, r := range s.Lag {
			if !r.Led() || r.Leader < 40 || !r.Reaches(r.Leader) || r.Reaches(r.Leader+1) {
				t.Errorf("%s: %+v", version, r)
			}
		}
		// Names of settings only: the recording has the value of none of them, some of which are secrets.
		hints := strings.Join(s.Rejoins(), "\n")
		if strings.Count(hints, "/etc/rabbitmq/rabbitmq.conf sets cluster_formation.") != 2 || strings.Contains(stdout, "SECRET") || strings.Contains(stdout, "cluster_formation.x") {
			t.Errorf("%s: %s", version, hints)
		}
	}
}

func TestProbeDoesNotTakeAFailedOverviewForNone(t *testing.T) {
	base := marker + `{"node":"rabbit@rmq1","store":"mnesia","running":true,"disc":["rabbit@rmq1"],`
	for _, section := range []string{"overview", "hints", "lag"} {
		if s, err := parseProbe([]byte(base + `"` + section + `":"error"}`)); err == nil {
			t.Errorf("%s: %+v", section, s)
		}
		if _, err := parseProbe([]byte(base + `"` + section + `":null}`)); err != nil {
			t.Errorf("%s was not asked for: %v", section, err)
		}
	}
}

// Whatever stands on the lines around an answer, the answer is the same.
func FuzzProbeBetweenNoise(f *testing.F) {
	const answer = marker + `{"node":"rabbit@rmq1","store":"khepri","running":true,"disc":["rabbit@rmq1","rabbit@rmq2"]}`
	want, err := parseProbe([]byte(answer))
	if err != nil {
		f.Fatal(err)
	}
	for _, noise := range noises {
		f.Add([]byte(noise), []byte(noise))
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if bytes.Contains(after, []byte(marker)) {
			t.Skip("that is another answer")
		}
		output := slices.Concat(before, []byte(answer+"\n"), after)
		if got, err := parseProbe(output); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v (%v)", output, got, err)
		}
	})
}

// A leader goes on calling itself one when all others are gone, so that its word alone is no proof of a majority.
func TestMajorityIsCountedAndAsked(t *testing.T) {
	three := []string{"rabbit@rmq1", "rabbit@rmq2", "rabbit@rmq3"}
	for _, c := range []struct {
		state string
		sees  int
		want  bool
	}{
		{"leader", 3, true}, {"leader", 2, true}, {"leader", 1, false}, {"follower", 2, true},
		{"pre_vote", 1, false}, {"candidate", 2, false}, // whose links are there, and whose leader is not yet
		{"", 1, true}, // Mnesia
	} {
		s := Status{RaftState: c.state, Disc: three, RunningNodes: three[:c.sees]}
		if got := s.MetadataMajority(); got != c.want {
			t.Errorf("%q that sees %d of 3: %t", c.state, c.sees, got)
		}
	}

	// rmq3 leaves, and may be seen running or not.
	for _, c := range []struct {
		store   Store
		members []string
		sees    []string
		want    bool
	}{
		{Khepri, three, three[:2], true}, {Khepri, three, three[:1], false}, {Khepri, three, []string{three[0], three[2]}, false},
		{Khepri, three[1:], three[1:2], true}, {Mnesia, three, three[:1], true},
	} {
		s := Status{Store: c.store, Disc: c.members, RunningNodes: c.sees}
		if got := s.KeepsMajorityWithout("rabbit@rmq3"); got != c.want {
			t.Errorf("%s: %v that sees %v: %t", c.store, c.members, c.sees, got)
		}
	}
}
