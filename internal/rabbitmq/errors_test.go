package rabbitmq

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// kinds says what each recorded failure of a real broker is, on every version it was recorded on.
var kinds = map[string]Kind{
	"await_startup-booting":              Timeout, // on 4.x: Minority, see below
	"change_type-app_running":            AppRunning,
	"change_type-bad":                    BadArgument,
	"change_type-ram":                    NotSupported,
	"check_running-app_stopped":          Other,
	"cluster_status-app_stopped":         AppStopped,
	"cluster_status-booting-alone":       AppStopped,
	"cluster_status-dead":                NodeDown,
	"cookie-empty-ping":                  CookieFile,
	"cookie-file-differs-cluster_status": CookieRejected,
	"cookie-file-differs-eval":           CookieRejected,
	"cookie-file-differs-stop_app":       CookieRejected,
	"cookie-mismatch-join":               CookieRejected, // on 4.x: SeedUnreachable, see below
	"cookie-mode-open-ping":              CookieFile,
	"cookie-owner-root-ping":             CookieFile,
	"err-bad-node-name":                  BadArgument,
	"err-nxdomain-cluster_status":        HostUnknown,
	"eval-dead":                          NodeDown,
	"force_reset":                        NotSupported,
	"forget-not-a-member":                NotAMember,
	"forget-running":                     StillRunning,
	"forget-self":                        LastDiscNode, // on 4.x: StillRunning, see below
	"join-app_running":                   AppRunning,
	"join-ram":                           NotSupported,
	"join-self":                          Self,
	"join-target-app_stopped":            SeedAppStopped,
	"join-target-down":                   NodeDown, // on 4.x: SeedUnreachable, see below
	"minority-forget_cluster_node":       Minority,
	"ping-dead":                          NodeDown,
	"rebuild-join-still-listed":          InconsistentMember,
	"reset-app_running":                  AppRunning,
	"start_app-forgotten":                InconsistentMember,
}

// exceptions are the recordings whose kind differs on one version.
var exceptions = map[string]Kind{
	"4.0.5/await_startup-booting":   Minority,
	"4.3.6/await_startup-booting":   Minority,
	"4.0.5/cookie-mismatch-join":    SeedUnreachable,
	"4.3.6/cookie-mismatch-join":    SeedUnreachable,
	"4.0.5/forget-self":             StillRunning,
	"4.3.6/forget-self":             StillRunning,
	"4.0.5/join-target-down":        SeedUnreachable,
	"4.3.6/join-target-down":        SeedUnreachable,
	"4.3.6/change_type-app_running": NotSupported,
	"4.3.6/change_type-bad":         NotSupported,
}

func TestEveryRecordedFailureHasItsKind(t *testing.T) {
	seen := 0
	for _, version := range []string{"3.8.9", "3.10.8", "4.0.5", "4.3.6"} {
		for name, want := range kinds {
			stdout, stderr, exit := recorded(t, version, name)
			if exit == 0 {
				continue // not recorded on this version, or no failure there
			}
			seen++
			if special, ok := exceptions[version+"/"+name]; ok {
				want = special
			}
			if got := classify(stderr + "\n" + stdout); got != want {
				t.Errorf("%s/%s: got %q, want %q\n%s%s", version, name, got, want, stderr, stdout)
			}
			text := cause([]byte(stdout), []byte(stderr))
			if text == "nothing" || strings.Contains(text, "\x1b") || strings.Contains(text, "Usage") || len(text) > 900 {
				t.Errorf("%s/%s: the cause is no text for people: %q", version, name, text)
			}
		}
	}
	if seen < 90 {
		t.Errorf("only %d recordings were found in testdata", seen)
	}
}

// What erl_call prints is another language: the same failure has the same kind, and the same words.
func TestFailureThatErlCallTellsHasItsKind(t *testing.T) {
	for _, version := range []string{"3.10.8", "4.0.5"} {
		stdout, stderr, exit := recorded(t, version, "start_app-forgotten-erl_call")
		if exit != 0 || classify(stderr+"\n"+stdout) != InconsistentMember {
			t.Errorf("%s: exit code %d, %q", version, exit, classify(stderr+"\n"+stdout))
		}
		if text := cause([]byte(stdout), []byte(stderr)); !strings.Contains(text, "thinks it's clustered with node") {
			t.Errorf("%s: the cause is %q", version, text)
		}
	}
}

// A join whose seed cannot be reached is no fault of the joiner, at whose host nothing would be found.
func TestJoinThatFailsAtItsSeedSaysSo(t *testing.T) {
	for _, recording := range []string{"3.8.9/join-target-down", "3.10.8/join-target-down", "3.10.8/cookie-mismatch-join", "4.0.5/join-target-down"} {
		version, name, _ := strings.Cut(recording, "/")
		stdout, stderr, _ := recorded(t, version, name)
		if got := classifyFor("rabbit@rmq3", stderr+"\n"+stdout); got != SeedUnreachable {
			t.Errorf("%s: got %q", recording, got)
		}
	}
	stdout, stderr, _ := recorded(t, "3.10.8", "eval-dead")
	own := contacted.FindStringSubmatch(stderr + stdout)
	if own == nil || classifyFor(own[1], stderr+"\n"+stdout) != NodeDown {
		t.Errorf("a dead node of its own, %q, is %q", own, classifyFor("rabbit@rmq1", stderr+"\n"+stdout))
	}
}

func TestCauseIsRabbitMQsOwnSentence(t *testing.T) {
	for recording, want := range map[string]string{
		"3.10.8/forget-running":              "RabbitMQ on node rabbit@rmq3 must be stopped with 'rabbitmqctl -n rabbit@rmq3 stop_app' before it can be removed",
		"3.10.8/cluster_status-app_stopped":  "Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.",
		"4.3.6/minority-forget_cluster_node": "Khepri has timed out on node rabbit@rmq1. Khepri cluster could be in minority.",
	} {
		version, name, _ := strings.Cut(recording, "/")
		stdout, stderr, _ := recorded(t, version, name)
		if got := cause([]byte(stdout), []byte(stderr)); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want it to hold %q", recording, got, want)
		}
	}
}

// recorded reads what a real broker's CLI printed. An exit of 0 also stands for "not recorded on this version".
func recorded(t *testing.T, version, name string) (stdout, stderr string, exit int) {
	t.Helper()
	read := func(suffix string) string {
		content, err := os.ReadFile(filepath.Join("testdata", version, name+suffix))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(content)
	}
	exit, _ = strconv.Atoi(strings.TrimSpace(read(".rc")))
	return read(".stdout"), read(".stderr"), exit
}

// exists fails the test when there is no such file: absent, it would read like a command that succeeded.
func exists(t *testing.T, version, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("testdata", version, file)); err != nil {
		t.Fatal(err)
	}
}
