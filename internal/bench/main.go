// Command bench measures what a plan and an apply cost, side by side with what people would use instead, on real hosts
// and at sizes that only a simulation has. `make bench` runs it. Nothing of it is left behind.
//
//	bench                 everything, and the page with the results is written
//	bench -rounds 3       fewer rounds
//	bench -only real      real hosts alone, or growth; nothing is written
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

func main() {
	rounds := flag.Int("rounds", 7, "how often each contender runs")
	forms := flag.Int("forms", 5, "how often each contender forms the cluster")
	only := flag.String("only", "", "real or growth; empty for both")
	page := flag.String("page", "templates/guides", "where the page with the results goes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rounds, *forms, *only, *page); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, forms int, only, page string) (err error) {
	dir, err := os.MkdirTemp("", "rabbitmq-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cli, err := newCLI(ctx, dir)
	if err != nil {
		return err
	}
	r := results{When: time.Now().UTC().Format(time.DateOnly), CLI: cli.version(ctx)}
	if only != "growth" {
		if err := measureReal(ctx, &r, cli, rounds, forms); err != nil {
			return err
		}
		fmt.Print(r.realTables())
	}
	if only != "real" {
		if r.Growth, err = measureGrowth(ctx, cli); err != nil {
			return err
		}
		fmt.Print(r.growthTable())
	}
	if only != "" {
		return nil
	}
	return r.write(page)
}

// measureReal boots three hosts and measures on them.
func measureReal(ctx context.Context, r *results, cli *cli, rounds, forms int) (err error) {
	release := lab.DefaultRelease
	if wanted := os.Getenv("RABBITMQ_LAB_RELEASE"); wanted != "" {
		if release, err = lab.ParseRelease(wanted); err != nil {
			return err
		}
	}
	r.Release = release.String()
	for _, program := range []string{"ansible-playbook", "ssh"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: `make bench` installs it", err)
		}
	}
	l, err := lab.Up(ctx, lab.Options{Name: "bench", Release: release, Hosts: 3, Cookie: "BENCHBENCHBENCHBENCH", Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	s := &stage{lab: l, cli: cli, dir: filepath.Join(cli.dir, "stage")}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	// Forming comes first: the checks are then made on what was formed last.
	if r.Form, err = s.measure(ctx, forms, s.forming()); err != nil {
		return err
	}
	if r.Check, err = s.measure(ctx, rounds, s.checking()); err != nil {
		return err
	}
	return s.countBoots(ctx, r)
}
