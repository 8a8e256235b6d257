// Command tiers runs the tests tier by tier, and says at the end what ran: how many tests of each tier passed, failed
// and were skipped, and why they were skipped. `go test` alone says "ok" for a tier in which every test was skipped.
//
//	tiers             every tier
//	tiers unit real   those
//
// With RABBITMQ_LAB_REQUIRED=1 a real tier in which no test was carried out is a failure.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A tier is the tests of some packages, which all need the same of the machine.
type tier struct {
	name     string
	packages []string // below the module's root; the first tier takes what no other names
	flags    []string
	progress bool // tell of every test as it ends: they take minutes
}

var tiers = []tier{
	{name: "unit", flags: []string{"-timeout=15m"}},
	{name: "simulated", packages: []string{"internal/simulation"}, flags: []string{"-timeout=20m"}},
	// Hosts are booted by one package at a time: two labs at once on a small machine fail by time-outs alone.
	{name: "lab", packages: []string{"internal/lab"}, flags: []string{"-count=1", "-p=1", "-timeout=20m"}, progress: true},
	{name: "real", packages: []string{"internal/acceptance"}, flags: []string{"-count=1", "-p=1", "-timeout=60m"}, progress: true},
}

func main() {
	log.SetFlags(0)

	// The tests clean up behind themselves, and the summary still comes; what has not begun is left out.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	good, err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}

	if !good {
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, chosen []string) (bool, error) {
	for _, name := range chosen {
		if !slices.ContainsFunc(tiers, func(t tier) bool { return t.name == name }) {
			return false, fmt.Errorf("there is no tier %q", name)
		}
	}

	packages, err := listPackages(ctx)
	if err != nil {
		return false, err
	}

	var counts []count

	interrupted := func() bool { return ctx.Err() != nil }

	for _, t := range tiers {
		if interrupted() {
			break
		}

		if len(chosen) > 0 && !slices.Contains(chosen, t.name) {
			continue
		}

		c, err := runTier(ctx, out, t, packages[t.name])
		if err != nil {
			return false, fmt.Errorf("tier %s: %w", t.name, err)
		}

		counts = append(counts, c)
	}

	good := summarise(out, counts, os.Getenv("RABBITMQ_LAB_REQUIRED") == "1")

	return good && !interrupted(), nil
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
	for _, t := range tiers {
		for _, root := range t.packages {
			if path == root || strings.HasPrefix(path, root+"/") {
				return t.name
			}
		}
	}

	return tiers[0].name
}

func runTier(ctx context.Context, out io.Writer, t tier, packages []string) (count, error) {
	started := time.Now()

	if len(packages) == 0 {
		return count{tier: t.name}, nil
	}

	fmt.Fprintf(out, "=== %s tests\n", t.name)

	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-json"}, t.flags, packages)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return count{}, err
	}

	if err := cmd.Start(); err != nil {
		return count{}, err
	}

	report := newReport(out, t.progress)

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

	c := report.count()
	c.tier, c.took = t.name, time.Since(started)

	if failed != nil && c.failed == 0 {
		// Nothing that it printed says what: never let that pass for success.
		fmt.Fprintf(out, "go test: %v\n", failed)
		c.failed++
	}

	return c, nil
}
