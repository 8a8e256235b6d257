// Command tiers runs the tests tier by tier, and says at the end what ran: how many tests of each tier passed, failed
// and were skipped, and why they were skipped. `go test` alone says "ok" for a tier in which every test was skipped.
//
//	tiers                every tier
//	tiers unit real      those
//	tiers -rest FILE     what the runs recorded in FILE have left to the full run, of every tier, and the matrix does not do
//	tiers -matrix CLI... the real tier's OnEveryVersion on every RabbitMQ in RELEASES, with each of these command lines
//	tiers -summary FILE  runs nothing: says what the runs recorded in FILE came to
//
// RABBITMQ_TEST_RECORD is the FILE that a run adds to. With RABBITMQ_TEST_SPREAD=1 each story of the matrix is told once,
// in whole, on the default version, or on the next one where that has not what it tells of; the others have the main job.
// With RABBITMQ_LAB_REQUIRED=1 a real tier in which no test was carried out is a failure.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// A tier is the tests of some packages, which all need the same of the machine.
type tier struct {
	name     string
	packages []string // below the module's root; the first tier takes what no other names
}

// A batch is the tiers that run side by side.
type batch struct {
	tiers    []tier
	flags    []string
	progress bool // tell of every test as it ends: they take minutes
}

var batches = []batch{
	// The unit tests mostly wait for SSH, the simulated ones compute, and wait for hosts that are gone.
	{tiers: []tier{{name: "unit"}, {name: "simulated", packages: []string{"internal/simulation"}}}, flags: []string{"-timeout=20m", "-parallel=8"}},
	// Hosts are booted by one package at a time: two labs at once on a small machine fail by time-outs alone.
	{tiers: []tier{{name: "lab", packages: []string{"internal/lab"}}}, flags: []string{"-count=1", "-p=1", "-timeout=20m"}, progress: true},
	{tiers: []tier{{name: "real", packages: []string{"internal/acceptance"}}}, flags: []string{"-count=1", "-p=1", "-timeout=60m"}, progress: true},
}

func main() {
	log.SetFlags(0)

	rest := flag.Bool("rest", false, "run what the runs recorded in this file have left to the full run")
	matrix := flag.Bool("matrix", false, "run the matrix with these command lines")
	summary := flag.Bool("summary", false, "say what the runs recorded in this file came to")

	flag.Parse()

	// The tests clean up behind themselves, and the summary still comes; what has not begun is left out.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var (
		good bool
		err  error
	)

	switch {
	case *summary:
		good, err = runSummary(os.Stdout, flag.Args())
	case *matrix:
		good, err = runMatrix(ctx, os.Stdout, flag.Args())
	case *rest:
		good, err = runRest(ctx, os.Stdout, flag.Args())
	default:
		good, err = runTiers(ctx, os.Stdout, flag.Args())
	}

	if err != nil {
		log.Fatal(err)
	}

	if !good || ctx.Err() != nil {
		os.Exit(1)
	}
}

// required tells whether a machine that cannot boot hosts is a failure.
func required() bool { return os.Getenv("RABBITMQ_LAB_REQUIRED") == "1" }

func runTiers(ctx context.Context, out io.Writer, chosen []string) (bool, error) {
	for _, name := range chosen {
		if !slices.ContainsFunc(batches, func(b batch) bool { return b.has(name) }) {
			return false, fmt.Errorf("there is no tier %q", name)
		}
	}

	what := "core"
	if os.Getenv("RABBITMQ_LAB_FULL") == "1" {
		what = "full"
	}

	counts, err := runAll(ctx, out, what, func(name string, packages []string) ([]string, []string) {
		if len(chosen) > 0 && !slices.Contains(chosen, name) {
			return nil, nil
		}

		return packages, nil
	})
	if err != nil {
		return false, err
	}

	return summarise(out, counts, required()), nil
}

// runRest runs each test of which something was left, in whole, with all that was left. The matrix comes after it.
func runRest(ctx context.Context, out io.Writer, args []string) (bool, error) {
	if len(args) != 1 {
		return false, fmt.Errorf("usage: tiers -rest FILE")
	}

	before, err := readRecord(args[0])
	if err != nil {
		return false, err
	}

	if err := os.Setenv("RABBITMQ_LAB_FULL", "1"); err != nil {
		return false, err
	}

	left := map[string][]string{} // names of tests, by package

	for _, c := range before {
		for _, id := range c.Left {
			name, _, _ := strings.Cut(id.Name, "/")
			if !slices.Contains(left[id.Package], name) && !strings.Contains(name, labtest.OnEveryVersion) {
				left[id.Package] = append(left[id.Package], name)
			}
		}
	}

	counts, err := runAll(ctx, out, "rest", func(_ string, packages []string) ([]string, []string) {
		var some, names []string

		for _, p := range packages {
			if len(left[p]) > 0 {
				some, names = append(some, p), append(names, left[p]...)
			}
		}

		return some, names
	})
	if err != nil {
		return false, err
	}

	return summarise(out, counts, false), nil
}

// runAll runs batch after batch. choose says, of a tier's packages, which to run, and the names of the tests in them;
// no name is all of them.
func runAll(ctx context.Context, out io.Writer, what string, choose func(tier string, packages []string) (some, names []string)) ([]count, error) {
	packages, err := listPackages(ctx)
	if err != nil {
		return nil, err
	}

	cli := describeCLI(ctx, os.Getenv("RABBITMQ_TEST_CLI"))

	var counts []count

	for _, b := range batches {
		run := suite{flags: b.flags, progress: b.progress, packages: map[string][]string{}}

		var names []string

		for _, t := range b.tiers {
			some, named := choose(t.name, packages[t.name])
			if len(some) == 0 {
				continue
			}

			run.tiers, run.packages[t.name] = append(run.tiers, t.name), some
			names = append(names, named...)
		}

		if len(run.tiers) == 0 || ctx.Err() != nil {
			continue
		}

		if len(names) > 0 {
			run.flags = append(slices.Clone(run.flags), "-run="+exactly(names))
		}

		fmt.Fprintf(out, "=== %s tests\n", strings.Join(run.tiers, " and "))

		ended, err := run.run(ctx, out)
		if err != nil {
			return nil, fmt.Errorf("%s tests: %w", strings.Join(run.tiers, " and "), err)
		}

		for i := range ended {
			ended[i].Run = what
			if ended[i].Tier == "real" {
				ended[i].RabbitMQ, ended[i].CLI = os.Getenv("RABBITMQ_LAB_RELEASE"), cli
			}
		}

		if err := record(ended); err != nil {
			return nil, err
		}

		counts = append(counts, ended...)
	}

	return counts, nil
}

func exactly(names []string) string {
	quoted := make([]string, 0, len(names))
	for _, n := range names {
		quoted = append(quoted, regexp.QuoteMeta(n))
	}

	return "^(" + strings.Join(quoted, "|") + ")$"
}

func (b batch) has(name string) bool {
	return slices.ContainsFunc(b.tiers, func(t tier) bool { return t.name == name })
}

// listPackages sorts the module's packages into tiers, those that do not compile as well: `go test` tells of them.
func listPackages(ctx context.Context) (map[string][]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-f", "{{.ImportPath}} {{.Module.Path}}", "./...")
	cmd.Stderr = os.Stderr

	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}

	sorted := map[string][]string{}

	for line := range strings.Lines(string(output)) {
		path, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := tierOf(strings.TrimPrefix(path, module+"/"))
		sorted[name] = append(sorted[name], path)
	}

	return sorted, nil
}

func tierOf(path string) string {
	for _, b := range batches {
		for _, t := range b.tiers {
			for _, root := range t.packages {
				if path == root || strings.HasPrefix(path, root+"/") {
					return t.name
				}
			}
		}
	}

	return batches[0].tiers[0].name
}

// A suite is one `go test`.
type suite struct {
	tiers    []string
	packages map[string][]string // by tier
	flags    []string
	env      []string // more of the environment
	progress bool
}

// run runs it and counts each tier for itself.
func (s suite) run(ctx context.Context, out io.Writer) ([]count, error) {
	args := slices.Concat([]string{"test", "-json"}, s.flags)
	for _, t := range s.tiers {
		args = append(args, s.packages[t]...)
	}

	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}

	if err := cmd.Start(); err != nil {
		return nil, err
	}

	report := newReport(out, s.progress)

	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			report.line(line)
		}

		if err != nil {
			break
		}
	}

	failed := cmd.Wait()

	var (
		counts []count
		known  int
	)

	for _, t := range s.tiers {
		c := report.count(s.packages[t])
		c.Tier = t
		counts = append(counts, c)
		known += c.Failed
	}

	if failed != nil && known == 0 {
		// Nothing that it printed says what: never let that pass for success.
		fmt.Fprintf(out, "go test: %v\n", failed)

		counts[0].Failed++
		counts[0].Failures = append(counts[0].Failures, fmt.Sprintf("go test: %v", failed))
	}

	return counts, nil
}
