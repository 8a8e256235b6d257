package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// recorded writes counts to a file as runs do.
func recorded(t *testing.T, counts ...count) string {
	t.Helper()

	name := filepath.Join(t.TempDir(), "record")
	t.Setenv("RABBITMQ_TEST_RECORD", name)

	for _, c := range counts {
		if err := record([]count{c}); err != nil {
			t.Fatal(err)
		}
	}

	return name
}

func TestSummaryAddsUpAllRuns(t *testing.T) {
	t.Setenv("RABBITMQ_LAB_REQUIRED", "1")

	left := []testID{{"p", "TestStory/long"}}
	core := count{Run: "core", Tier: "real", RabbitMQ: "3.10", CLI: "Terraform 1.11.4", Passed: 5, Left: left}
	rest := count{Run: "rest", Tier: "real", RabbitMQ: "3.10", CLI: "Terraform 1.11.4", Passed: 3, Done: []testID{{"p", "TestStory/long/part"}}}
	long := count{Run: "rest", Tier: "real", RabbitMQ: "3.10", CLI: "Terraform 1.11.4", Passed: 2, Long: left}
	matrix := count{Run: "matrix", Tier: "real", RabbitMQ: "4.3.6", Store: "Khepri", CLI: "OpenTofu 1.12.6", Passed: 2, Left: left}

	for _, c := range []struct {
		name   string
		counts []count
		good   bool
		says   []string
	}{
		{"all is well", []count{core, rest, matrix}, true, []string{"Khepri", "\n10 passed, 0 failed, 0 skipped\n"}},
		{"what was left did not run", []count{core, matrix}, false, []string{"done by no other run: TestStory/long\n", "\n7 passed, 0 failed, 0 skipped\n"}},
		{"what was left is long", []count{core, long, matrix}, true, []string{"left to the long run (RABBITMQ_LAB_LONG=1): TestStory/long\n", "\n9 passed, 0 failed, 0 skipped\n"}},
		{"another package has a test of that name", []count{core, {Run: "rest", Tier: "unit", Passed: 3, Done: []testID{{"q", "TestStory/long"}}}}, false, []string{"done by no other run: TestStory/long\n"}},
		{"a failure in the matrix", []count{core, rest, {Run: "matrix", Tier: "real", RabbitMQ: "4.0.5", CLI: "OpenTofu 1.12.6", Failed: 1, Failures: []string{"TestX in p"}}}, false,
			[]string{"FAILED in the real tier, RabbitMQ 4.0.5 with OpenTofu 1.12.6: TestX in p\n", "\n8 passed, 1 failed, 0 skipped\n"}},
		{"no real tier", []count{{Run: "core", Tier: "unit", Passed: 5}}, false, []string{"no test of the real tier", "\n5 passed, 0 failed, 0 skipped\n"}},
		{"nothing at all", nil, false, []string{"\n0 passed, 0 failed, 0 skipped\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder

			good, err := runSummary(&out, []string{recorded(t, c.counts...)})
			if err != nil || good != c.good {
				t.Errorf("got %v, %v; want %v", good, err, c.good)
			}

			for _, text := range c.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is not in\n%s", text, out.String())
				}
			}

			if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); !strings.HasSuffix(lines[len(lines)-1], " skipped") {
				t.Errorf("the last line is %q", lines[len(lines)-1])
			}
		})
	}
}

func TestClaimOfSupportIsHeldToWhatPassed(t *testing.T) {
	counts := []count{
		{RabbitMQ: "3.10.8", Store: "Mnesia", CLI: "Terraform 1.11.4", Passed: 9},
		{RabbitMQ: "4.0.5", Store: "Mnesia", CLI: "Terraform 1.11.4", Passed: 9, Failed: 1},
		{RabbitMQ: "4.3.6", Store: "Khepri", CLI: "Terraform 1.11.4", Passed: 9},
	}

	if rows := supportRows(counts); strings.Contains(rows, "4.0.5") || !strings.Contains(rows, "| 4.3.6 | Khepri | Terraform 1.11.4 | 9 passed |\n") {
		t.Errorf("got\n%s", rows)
	}

	for row, want := range map[string]bool{
		"| 3.10.8 | Mnesia | Terraform 1.11.4 | 9 passed |\n": true,
		"| 3.10.5 | Mnesia | Terraform 1.14.0 | 8 passed |\n": true, // another patch release, another Terraform
		"| 4.0.5 | Mnesia | Terraform 1.11.4 | 9 passed |\n":  false,
		"| 4.3.6 | Mnesia | Terraform 1.11.4 | 9 passed |\n":  false,
		"| 3.1.8 | Mnesia | Terraform 1.11.4 | 9 passed |\n":  false,
		"| 3.8.9 | Mnesia | OpenTofu 1.12.6 | 9 passed |\n":   true, // there is none here
	} {
		if got := seen(row, counts); got != want {
			t.Errorf("%sgot %v, want %v", row, got, want)
		}
	}
}

func TestCellOfTheMatrixInWhichNothingRanIsAFailure(t *testing.T) {
	if c := cell(count{Skipped: 3}, "4.3.6", "Khepri", "OpenTofu 1.12.6"); c.Failed != 1 {
		t.Errorf("got %+v", c)
	}

	if c := cell(count{Passed: 3}, "4.3.6", "Khepri", "OpenTofu 1.12.6"); c.Failed != 0 || c.RabbitMQ != "4.3.6" || c.Run != "matrix" {
		t.Errorf("got %+v", c)
	}
}

func TestEachStoryIsToldOnTheDefaultRelease(t *testing.T) {
	names := strings.Fields("TestA TestB TestClusterLifeOnEveryVersion TestC")

	for _, r := range lab.Releases {
		var want []string
		if r == lab.DefaultRelease {
			want = strings.Fields("TestA TestB TestC") // every release has the main story anyway
		}

		if got := shareOf(names, r); !slices.Equal(got, want) {
			t.Errorf("%s gets %q, want %q", r, got, want)
		}
	}
}

func TestStoryThatOneReleaseSkipsIsPassedOn(t *testing.T) {
	ended := []count{
		{Passed: 3, Skips: []string{"TestB/part: not here", "TestBB: not here", "TestC: Khepri does not pause members"}},
		{Skips: []string{"TestD: not here either"}},
	}
	if got := notTold([]string{"TestA", "TestB", "TestC"}, ended); !slices.Equal(got, []string{"TestC"}) {
		t.Errorf("got %q", got)
	}
}

func TestMatrixDoesNotRepeatTheCore(t *testing.T) {
	before := []count{
		{Run: "core", Tier: "real", RabbitMQ: "3.10", CLI: "Terraform 1.11.4", Passed: 9},
		{Run: "rest", Tier: "real", RabbitMQ: "4.3", CLI: "Terraform 1.11.4", Passed: 9},
		{Run: "core", Tier: "lab", RabbitMQ: "4.0", CLI: "Terraform 1.11.4", Passed: 9},
	}

	for _, r := range lab.Releases {
		if got, want := hadCore(before, r, "Terraform 1.11.4"), r == lab.V3_10; got != want {
			t.Errorf("%s: got %v, want %v", r, got, want)
		}

		if hadCore(before, r, "OpenTofu 1.12.6") {
			t.Errorf("%s: OpenTofu had no core", r)
		}
	}
}
