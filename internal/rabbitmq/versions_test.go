package rabbitmq

import (
	"path/filepath"
	"strings"
	"testing"
)

// proofs say, for each capability, which recording of a broker shows it, and how.
var proofs = []struct {
	name, from string
	has        func(Capabilities) bool
	show       func(recording) bool
}{
	{"RAMNodes", "join-ram", func(c Capabilities) bool { return c.RAMNodes }, func(r recording) bool { return r.exit("join-ram") == 0 }},
	{"StopsForJoin", "join-app_running", func(c Capabilities) bool { return c.StopsForJoin }, func(r recording) bool { return r.exit("join-app_running") == 0 }},
	{"RejoinResets", "rejoin", func(c Capabilities) bool { return c.RejoinResets }, func(r recording) bool {
		return r.exit("rejoin") == 0 && !strings.Contains(r.text("rejoin"), "already a member")
	}},
	{"FailedJoinWipes", "join-target-app_stopped", func(c Capabilities) bool { return c.FailedJoinWipes }, func(r recording) bool {
		return strings.Contains(r.text("join-target-app_stopped"), "rabbit_khepri, :add_member") // which comes after the reset
	}},
	{"FailedJoinWipes", "join-target-app_stopped-after", func(c Capabilities) bool { return c.FailedJoinWipes }, func(r recording) bool {
		if r.exit("join-target-app_stopped-after") != 0 {
			r.t.Fatal("the joiner's vhosts were not listed")
		}
		return !strings.Contains(r.text("join-target-app_stopped-after"), "held") // its own vhost
	}},
	{"NeedsMajority", "probe-running", func(c Capabilities) bool { return c.NeedsMajority }, func(r recording) bool { return r.probe("probe-running").RaftState != "" }},
	{"ForgetResets", "start_app-forgotten", func(c Capabilities) bool { return c.ForgetResets }, func(r recording) bool { return r.exit("start_app-forgotten") == 0 }},
	{"ForgetLeavesReplicas", "forget-stopped-replicas", func(c Capabilities) bool { return c.ForgetLeavesReplicas }, func(r recording) bool {
		if !strings.Contains(r.text("forget-stopped-replicas"), "rabbit@rmq1") {
			r.t.Fatal("the queue's replicas were not listed")
		}
		return strings.Contains(r.text("forget-stopped-replicas"), "rabbit@rmq3") // which was forgotten
	}},
	{"StoppedKnowsPeers", "probe-stopped", func(c Capabilities) bool { return c.StoppedKnowsPeers }, func(r recording) bool { return len(r.probe("probe-stopped").Members()) == 2 }},
	{"LogsToStdout", "cookie-mode-open-ping", func(c Capabilities) bool { return c.LogsToStdout }, func(r recording) bool {
		stdout, stderr, _ := recorded(r.t, r.version, "cookie-mode-open-ping")
		if !strings.Contains(stdout+stderr, "[error]") {
			r.t.Fatalf("%s: no log line in cookie-mode-open-ping", r.version)
		}
		return strings.Contains(stdout, "[error]")
	}},
}

// recording is what one version printed.
type recording struct {
	t       *testing.T
	version string
}

func (r recording) has(name string) bool {
	found, _ := filepath.Glob(filepath.Join("testdata", r.version, name+".std*"))
	return len(found) > 0
}

func (r recording) text(name string) string {
	stdout, stderr, _ := recorded(r.t, r.version, name)
	return stdout + stderr
}

func (r recording) exit(name string) int {
	r.t.Helper()
	exists(r.t, r.version, name+".rc")
	_, _, exit := recorded(r.t, r.version, name)
	return exit
}

func (r recording) probe(name string) Status {
	r.t.Helper()
	stdout, _, _ := recorded(r.t, r.version, name)
	s, err := parseProbe([]byte(stdout))
	if err != nil {
		r.t.Fatalf("%s/%s: %v", r.version, name, err)
	}
	return s
}

// TestEveryCapabilityIsProved holds each cell of the table against the recordings that its line names.
func TestEveryCapabilityIsProved(t *testing.T) {
	for _, line := range Lines {
		t.Run(line.Record, func(t *testing.T) {
			r := recording{t, line.Record}
			if s := r.probe("probe-running"); s.Store != line.Store || older(s.Version, line.Since) {
				t.Fatalf("the recording is of %s on %s, and the line of %s on %s", s.Version, s.Store, line.Since, line.Store)
			}
			for _, p := range proofs {
				if !r.has(p.from) {
					t.Errorf("%s: there is no recording %s: internal/lab/cmd/record makes it", p.name, p.from)
					continue
				}
				if shown := p.show(r); shown != p.has(line.Capabilities) {
					t.Errorf("%s: the table says %t, the recording %t", p.name, !shown, shown)
				}
			}
		})
	}
}

// probe-code is the probe evaluated with a version's code loaded, without a node that runs: what the version can do, and
// the feature flags that it knows.
func TestVersionsSayWhatTheTableSays(t *testing.T) {
	for _, line := range Lines {
		if !(recording{t, line.Record}).has("probe-code") {
			continue
		}
		s := recording{t, line.Record}.probe("probe-code")
		s.Version, s.Store = line.Since, line.Store // no node runs that would tell
		if s.Can.RAMNodes == nil || s.Can.JoinAsBlank == nil || s.Can.Mnesia == nil {
			t.Fatalf("%s says only %+v of itself", line.Record, s.Can)
		}
		if got := CapabilitiesOf(s); got != line.Capabilities {
			t.Errorf("%s of its own word: %+v, by the table %+v", line.Record, got, line.Capabilities)
		}
		known := map[string]string{}
		for _, f := range s.Flags.Known {
			if f.Application != "rabbit" {
				t.Errorf("%s: %s belongs to %s", line.Record, f.Name, f.Application)
			}
			known[f.Name] = f.Kind
		}
		want := map[string]string{"3.10.8": "stable", "4.0.5": "required", "4.3.6": "required"}[line.Record]
		if known["stream_queue"] != want {
			t.Errorf("%s: stream_queue is %q, want %q", line.Record, known["stream_queue"], want)
		}
	}
}

// A version that nobody has seen is taken to be like the newest of its store, except in what it says of itself.
func TestUnknownVersionsAnswerForThemselves(t *testing.T) {
	yes, no := true, false
	newest := CapabilitiesOf(Status{Version: "4.3.6", Store: Khepri})
	unheard := Status{Version: "5.0.0-rc.1", Store: Khepri}
	if got := CapabilitiesOf(unheard); got != newest {
		t.Errorf("5.0.0 can %+v, 4.3.6 %+v", got, newest)
	}
	unheard.Can.RAMNodes, unheard.Can.Mnesia, unheard.Can.JoinAsBlank = &yes, &yes, &no
	if got := CapabilitiesOf(unheard); !got.RAMNodes || got.OnlyKhepri || got.JoinsAsBlank {
		t.Errorf("its own word does not count: %+v", got)
	}
	if got := CapabilitiesOf(Status{Version: "4.9.0", Store: Mnesia}); !got.RAMNodes || got.ForgetLeavesReplicas {
		t.Errorf("4.9 on Mnesia: %+v", got)
	}
	if got := CapabilitiesOf(Status{Version: "3.7.28", Store: Mnesia}); !got.ForgetLeavesReplicas {
		t.Errorf("3.7: %+v", got)
	}
	// RAM nodes may be denied where the version has them: a join would silently make a disc node.
	denied := Status{Version: "4.0.5", Store: Mnesia}
	denied.Can.RAMNodes = &no
	if CapabilitiesOf(denied).RAMNodes {
		t.Error("deprecated_features.permit.ram_node_type = false was not heard")
	}
}
