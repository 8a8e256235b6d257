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
	Run                     string // core, full, rest, matrix
	Tier                    string
	RabbitMQ, Store, CLI    string // of the real tier
	Passed, Failed, Skipped int
	Skips                   []string // "name: reason"
	Left                    []testID // what a full run carries out
	Long                    []testID // what nobody carries out who has not hours, CI among them
	Done                    []testID // what passed or failed
	Failures                []string
	Took                    time.Duration
}

// A report reads the events of `go test -json` (go doc test2json) and prints what a person needs of them.
type report struct {
	out      io.Writer
	progress bool
	tests    map[testID]*test
	output   map[string]*strings.Builder // by package: what belongs to no test, and what the compiler said
	broken   []string                    // packages that failed without a failed test
	began    time.Time
	ended    map[string]time.Duration // when each package had ended
}

type testID struct{ Package, Name string }

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
	return &report{
		out: out, progress: progress, tests: map[testID]*test{}, output: map[string]*strings.Builder{},
		began: time.Now(), ended: map[string]time.Duration{},
	}
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
	r.ended[e.Package] = time.Since(r.began)

	switch e.Action {
	case "output":
		r.packageOutput(e.Package, e.Output)
	case "pass", "skip":
		ran := 0
		for id := range r.tests {
			if id.Package == e.Package {
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
		if id.Package != e.Package {
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

// count counts the tests of some packages.
func (r *report) count(packages []string) count {
	var c count

	for _, p := range packages {
		c.Took = max(c.Took, r.ended[p])
	}

	failing := map[testID]bool{} // tests that a failed subtest already counts for

	for id, t := range r.tests {
		if t.outcome != "fail" {
			continue
		}

		for end := strings.LastIndex(id.Name, "/"); end >= 0; end = strings.LastIndex(id.Name[:end], "/") {
			failing[testID{id.Package, id.Name[:end]}] = true
		}
	}

	byName := func(a, b testID) int { return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Name, b.Name)) }

	for _, id := range slices.SortedFunc(maps.Keys(r.tests), byName) {
		if !slices.Contains(packages, id.Package) {
			continue
		}

		t := r.tests[id]

		switch {
		case t.outcome == "fail" && !failing[id]:
			c.Failed++
			c.Failures = append(c.Failures, id.Name+" in "+id.Package)
			c.Done = append(c.Done, id)
		case t.parent && t.outcome != "skip":
		case t.outcome == "pass":
			c.Passed++
			c.Done = append(c.Done, id)
		case t.outcome == "skip":
			switch why := reason(t.output.String()); {
			case strings.Contains(why, labtest.LeftToFullRun):
				c.Left = append(c.Left, id)
			case strings.Contains(why, labtest.LeftToLongRun):
				c.Long = append(c.Long, id)
			default:
				c.Skipped++
				c.Skips = append(c.Skips, id.Name+": "+why)
			}
		}
	}

	for _, pkg := range r.broken {
		if !slices.Contains(packages, pkg) {
			continue
		}

		c.Failed++
		c.Failures = append(c.Failures, pkg)
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
	fmt.Fprintln(out)

	for _, c := range counts {
		for _, skip := range c.Skips {
			fmt.Fprintf(out, "skipped %s\n", skip)
		}

		if len(c.Left) > 0 {
			fmt.Fprintf(out, "%s of the %s tier (RABBITMQ_LAB_FULL=1): %s\n", labtest.LeftToFullRun, c.Tier, names(c.Left))
		}

		if len(c.Long) > 0 {
			fmt.Fprintf(out, "%s of the %s tier (RABBITMQ_LAB_LONG=1): %s\n", labtest.LeftToLongRun, c.Tier, names(c.Long))
		}
	}

	for _, c := range counts {
		for _, failure := range c.Failures {
			fmt.Fprintf(out, "FAILED %s\n", failure)
		}
	}

	for _, c := range counts {
		fmt.Fprintf(out, "%-10s %4d passed, %d failed, %d skipped, %d left to a longer run; took %s\n",
			c.Tier, c.Passed, c.Failed, c.Skipped, len(c.Left)+len(c.Long), c.Took.Round(time.Second))
	}

	return total(out, counts, realRequired)
}

// total prints the plain count, and tells whether all is well.
func total(out io.Writer, counts []count, realRequired bool) bool {
	var all, onHosts count

	for _, c := range counts {
		all.add(c)

		if c.Tier == "real" {
			onHosts.add(c)
		}
	}

	good := all.Failed == 0

	if realRequired && onHosts.Passed+onHosts.Failed == 0 {
		fmt.Fprintln(out, "FAILED: RABBITMQ_LAB_REQUIRED=1, and no test of the real tier was carried out; it needs root on Linux")

		good = false
	}

	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", all.Passed, all.Failed, all.Skipped)

	return good
}

func (c *count) add(other count) {
	c.Passed += other.Passed
	c.Failed += other.Failed
	c.Skipped += other.Skipped
}

func names(ids []testID) string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		names = append(names, id.Name)
	}

	return strings.Join(names, ", ")
}
