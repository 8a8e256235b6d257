package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

func read(t *testing.T, events ...event) (count, string) {
	t.Helper()

	var out strings.Builder

	r := newReport(&out, false)

	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}

		r.line(line)
	}

	return r.count([]string{"p"}), out.String()
}

func TestReportCountsSubtestsAndNotTheirParents(t *testing.T) {
	c, _ := read(t,
		event{Action: "run", Package: "p", Test: "TestA"},
		event{Action: "run", Package: "p", Test: "TestA/one"},
		event{Action: "run", Package: "p", Test: "TestA/two"},
		event{Action: "pass", Package: "p", Test: "TestA/one"},
		event{Action: "fail", Package: "p", Test: "TestA/two"},
		event{Action: "fail", Package: "p", Test: "TestA"},
		event{Action: "fail", Package: "p"},
	)

	if c.Passed != 1 || c.Failed != 1 || c.Failures[0] != "TestA/two in p" {
		t.Errorf("got %+v", c)
	}
}

func TestReportCountsAParentThatFailedByItself(t *testing.T) {
	c, _ := read(t,
		event{Action: "run", Package: "p", Test: "TestA"},
		event{Action: "run", Package: "p", Test: "TestA/one"},
		event{Action: "pass", Package: "p", Test: "TestA/one"},
		event{Action: "fail", Package: "p", Test: "TestA"},
		event{Action: "fail", Package: "p"},
	)

	if c.Passed != 1 || c.Failed != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestReportKeepsTheReasonOfASkip(t *testing.T) {
	c, _ := read(t,
		event{Action: "run", Package: "p", Test: "TestLab"},
		event{Action: "output", Package: "p", Test: "TestLab", Output: "=== RUN   TestLab\n"},
		event{Action: "output", Package: "p", Test: "TestLab", Output: "    lab_test.go:9: the lab needs root\n"},
		event{Action: "output", Package: "p", Test: "TestLab", Output: "--- SKIP: TestLab (0.00s)\n"},
		event{Action: "skip", Package: "p", Test: "TestLab"},
		event{Action: "pass", Package: "p"},
	)

	if c.Skipped != 1 || c.Skips[0] != "TestLab: lab_test.go:9: the lab needs root" {
		t.Errorf("got %+v", c)
	}
}

func TestReportTellsWhatIsLeftFromWhatIsSkipped(t *testing.T) {
	c, _ := read(t,
		event{Action: "run", Package: "p", Test: "TestStory"},
		event{Action: "run", Package: "p", Test: "TestStory/long"},
		event{Action: "output", Package: "p", Test: "TestStory/long", Output: "    story_test.go:9: " + labtest.LeftToFullRun + ": RABBITMQ_LAB_FULL=1\n"},
		event{Action: "skip", Package: "p", Test: "TestStory/long"},
		event{Action: "pass", Package: "p", Test: "TestStory"},
		event{Action: "run", Package: "p", Test: "TestWalk"},
		event{Action: "output", Package: "p", Test: "TestWalk", Output: "    story_test.go:9: " + labtest.LeftToLongRun + ": RABBITMQ_LAB_LONG=1\n"},
		event{Action: "skip", Package: "p", Test: "TestWalk"},
		event{Action: "pass", Package: "p"},
	)

	if c.Skipped != 0 || !slices.Equal(c.Left, []testID{{"p", "TestStory/long"}}) || !slices.Equal(c.Long, []testID{{"p", "TestWalk"}}) {
		t.Errorf("got %+v", c)
	}

	var out strings.Builder

	c.Tier = "real"
	if summarise(&out, []count{c}, true) {
		t.Error("a real tier that left all its tests passed where it is required")
	}

	if !strings.Contains(out.String(), "left to the full run of the real tier (RABBITMQ_LAB_FULL=1): TestStory/long\n") ||
		!strings.Contains(out.String(), "left to the long run of the real tier (RABBITMQ_LAB_LONG=1): TestWalk\n") ||
		!strings.HasSuffix(out.String(), "\n0 passed, 0 failed, 0 skipped\n") {
		t.Errorf("got %q", out.String())
	}
}

func TestReportCountsAPackageThatDoesNotCompile(t *testing.T) {
	c, out := read(t,
		event{Action: "build-output", ImportPath: "p [p.test]", Output: "a.go:1: undefined: x\n"},
		event{Action: "build-fail", ImportPath: "p [p.test]"},
		event{Action: "fail", Package: "p", FailedBuild: "p [p.test]"},
	)

	if c.Failed != 1 || !strings.Contains(out, "undefined: x") {
		t.Errorf("got %+v and %q", c, out)
	}
}

func TestReportFailsATestThatNeverEnded(t *testing.T) {
	c, out := read(t,
		event{Action: "run", Package: "p", Test: "TestHangs"},
		event{Action: "output", Package: "p", Test: "TestHangs", Output: "panic: test timed out\n"},
		event{Action: "fail", Package: "p"},
	)

	if c.Failed != 1 || !strings.Contains(out, "timed out") {
		t.Errorf("got %+v and %q", c, out)
	}
}

func TestSummaryRefusesARealTierThatWasOnlySkipped(t *testing.T) {
	counts := []count{{Tier: "unit", Passed: 3}, {Tier: "real", Skipped: 7}}

	var out strings.Builder
	if !summarise(&out, counts, false) {
		t.Error("skipped tests are a failure where they are not required")
	}

	if !strings.HasSuffix(out.String(), "\n3 passed, 0 failed, 7 skipped\n") {
		t.Errorf("got %q", out.String())
	}

	if summarise(&out, counts, true) {
		t.Error("a real tier without a test passed where it is required")
	}
}

func TestTierOfPackage(t *testing.T) {
	for path, want := range map[string]string{
		"internal/ssh":         "unit",
		"internal/laboratory":  "unit",
		"internal/lab":         "lab",
		"internal/lab/cmd/up":  "lab",
		"internal/acceptance":  "real",
		"internal/simulation":  "simulated",
		"internal/build/tiers": "unit",
	} {
		if got := tierOf(path); got != want {
			t.Errorf("%s is in tier %s, not in %s", path, got, want)
		}
	}
}
