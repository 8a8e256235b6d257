package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// A count is how the tests of a tier ended. A test with subtests is counted by its subtests. What a test leaves to a
// longer run is not skipped: nothing is missing here.
type count struct {
	tier                    string
	passed, failed, skipped int
	skips                   []string // "name: reason"
	left                    []string // tests that a longer run carries out
	failures                []string
	took                    time.Duration
}

// A report reads the events of `go test -json` (go doc test2json) and prints what a person needs of them.
type report struct {
	out      io.Writer
	progress bool
	tests    map[testID]*test
	output   map[string]*strings.Builder // by package: what belongs to no test, and what the compiler said
	broken   []string                    // packages that failed without a failed test
}

type testID struct{ pkg, name string }

type test struct {
	outcome string // pass, fail, skip; empty while it runs
	output  strings.Builder
	parent  bool
}

type event struct {
	Action      string
	Package     string
	ImportPath  string // in place of Package in build events
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

func newReport(out io.Writer, progress bool) *report {
	return &report{out: out, progress: progress, tests: map[testID]*test{}, output: map[string]*strings.Builder{}}
}

func (r *report) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		// Not an event: a line that a program wrote to the test binary's standard output by another way.
		fmt.Fprintf(r.out, "%s\n", strings.TrimRight(string(line), "\n"))
		return
	}

	switch {
	case e.Test != "":
		r.testEvent(e)
	case e.ImportPath != "":
		r.packageOutput(e.ImportPath, e.Output)
	default:
		r.packageEvent(e)
	}
}

func (r *report) testEvent(e event) {
	id := testID{e.Package, e.Test}

	t, known := r.tests[id]
	if !known {
		t = &test{}
		r.tests[id] = t

		if end := strings.LastIndex(e.Test, "/"); end >= 0 {
			if parent := r.tests[testID{e.Package, e.Test[:end]}]; parent != nil {
				parent.parent = true
			}
		}
	}

	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.outcome = e.Action
		if e.Action == "fail" {
			fmt.Fprint(r.out, t.output.String())
		} else if r.progress {
			fmt.Fprintf(r.out, "--- %s: %s (%.1fs)\n", strings.ToUpper(e.Action), e.Test, e.Elapsed)
		}
	}
}

func (r *report) packageEvent(e event) {
	switch e.Action {
	case "output":
		r.packageOutput(e.Package, e.Output)
	case "pass", "skip":
		ran := 0
		for id := range r.tests {
			if id.pkg == e.Package {
				ran++
			}
		}

		if ran > 0 {
			fmt.Fprintf(r.out, "ok   %s (%.1fs)\n", e.Package, e.Elapsed)
		}
	case "fail":
		r.packageFailed(e)
	}
}

// packageFailed prints what belongs to no failed test: the compiler's words, a panic, a time-out.
func (r *report) packageFailed(e event) {
	explained := false

	for id, t := range r.tests {
		if id.pkg != e.Package {
			continue
		}

		if t.outcome == "" {
			t.outcome = "fail"
			fmt.Fprint(r.out, t.output.String())
		}

		explained = explained || t.outcome == "fail"
	}

	if !explained {
		r.broken = append(r.broken, e.Package)
	}

	for _, pkg := range []string{e.FailedBuild, e.Package} {
		if output := r.output[pkg]; output != nil {
			fmt.Fprint(r.out, output.String())
			delete(r.output, pkg)
		}
	}
}

func (r *report) packageOutput(pkg, output string) {
	if r.output[pkg] == nil {
		r.output[pkg] = &strings.Builder{}
	}

	r.output[pkg].WriteString(output)
}

func (r *report) count() count {
	var c count

	failing := map[testID]bool{} // tests that a failed subtest already counts for

	for id, t := range r.tests {
		if t.outcome != "fail" {
			continue
		}

		for end := strings.LastIndex(id.name, "/"); end >= 0; end = strings.LastIndex(id.name[:end], "/") {
			failing[testID{id.pkg, id.name[:end]}] = true
		}
	}

	byName := func(a, b testID) int { return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name)) }

	for _, id := range slices.SortedFunc(maps.Keys(r.tests), byName) {
		t := r.tests[id]

		switch {
		case t.outcome == "fail" && !failing[id]:
			c.failed++
			c.failures = append(c.failures, id.name+" in "+id.pkg)
		case t.parent && t.outcome != "skip":
		case t.outcome == "pass":
			c.passed++
		case t.outcome == "skip":
			if why := reason(t.output.String()); strings.Contains(why, labtest.LeftToFullRun) {
				c.left = append(c.left, id.name)
			} else {
				c.skipped++
				c.skips = append(c.skips, id.name+": "+why)
			}
		}
	}

	for _, pkg := range r.broken {
		c.failed++
		c.failures = append(c.failures, pkg)
	}

	return c
}

// reason is what a test said when it skipped itself.
func reason(output string) string {
	var said []string

	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}

	return cmp.Or(strings.Join(said, " "), "no reason given")
}

// summarise prints the whole, the plain count last, and tells whether all is well.
func summarise(out io.Writer, counts []count, realRequired bool) bool {
	var all count

	good := true

	fmt.Fprintln(out)

	for _, c := range counts {
		for _, skip := range c.skips {
			fmt.Fprintf(out, "skipped %s\n", skip)
		}

		if len(c.left) > 0 {
			fmt.Fprintf(out, "%s of the %s tier (RABBITMQ_LAB_FULL=1): %s\n", labtest.LeftToFullRun, c.tier, strings.Join(c.left, ", "))
		}

		all.passed += c.passed
		all.failed += c.failed
		all.skipped += c.skipped
	}

	for _, c := range counts {
		for _, failure := range c.failures {
			fmt.Fprintf(out, "FAILED %s\n", failure)
		}
	}

	for _, c := range counts {
		fmt.Fprintf(out, "%-10s %4d passed, %d failed, %d skipped, %d %s; took %s\n",
			c.tier, c.passed, c.failed, c.skipped, len(c.left), labtest.LeftToFullRun, c.took.Round(time.Second))

		if c.tier == "real" && realRequired && c.passed+c.failed == 0 {
			fmt.Fprintln(out, "FAILED: RABBITMQ_LAB_REQUIRED=1, and no test of the real tier was carried out; it needs root on Linux")

			good = false
		}
	}

	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", all.passed, all.failed, all.skipped)

	return good && all.failed == 0
}
