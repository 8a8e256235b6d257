package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// mainJob is the test that every command line runs on every RabbitMQ.
const mainJob = "^TestClusterLife" + labtest.OnEveryVersion + "$"

// runMatrix runs the real tier on every RabbitMQ with every command line. Each RabbitMQ is booted once. There one
// command line, each time the next one, runs all that has OnEveryVersion in its name, and the others the main job: what
// differs between command lines does not differ between versions of RabbitMQ.
func runMatrix(ctx context.Context, out io.Writer, clis []string) (bool, error) {
	if len(clis) == 0 {
		return false, errors.New("usage: tiers -matrix CLI...")
	}

	releases, err := releases()
	if err != nil {
		return false, err
	}

	packages, err := listPackages(ctx)
	if err != nil {
		return false, err
	}

	var counts []count

	for i, r := range releases {
		if ctx.Err() != nil {
			break
		}

		turn := i % len(clis)

		ended, err := runRelease(ctx, out, r, slices.Concat(clis[turn:], clis[:turn]), packages["real"])
		if err != nil {
			return false, err
		}

		if err := record(ended); err != nil {
			return false, err
		}

		counts = append(counts, ended...)
	}

	fmt.Fprintln(out)

	for _, c := range counts {
		for _, skip := range c.Skips {
			fmt.Fprintf(out, "skipped on RabbitMQ %s with %s: %s\n", c.RabbitMQ, c.CLI, skip)
		}

		for _, failure := range c.Failures {
			fmt.Fprintf(out, "FAILED on RabbitMQ %s with %s: %s\n", c.RabbitMQ, c.CLI, failure)
		}
	}

	table(out, counts)

	good := total(out, counts, required())

	return good && support(out, counts), nil
}

// releases are those in RELEASES, or all that the lab knows.
func releases() ([]lab.Release, error) {
	wanted := strings.Fields(os.Getenv("RELEASES"))
	if len(wanted) == 0 {
		return lab.Releases, nil
	}

	var found []lab.Release

	for _, name := range wanted {
		r, err := lab.ParseRelease(name)
		if err != nil {
			return nil, err
		}

		found = append(found, r)
	}

	return found, nil
}

// runRelease boots one RabbitMQ and runs the command lines on it, the first one everything.
func runRelease(ctx context.Context, out io.Writer, r lab.Release, clis []string, packages []string) (counts []count, err error) {
	fmt.Fprintf(out, "=== %s\n", r)

	failed := func(err error) []count {
		return []count{{Run: "matrix", Tier: "real", RabbitMQ: r.RabbitMQ, Failed: 1, Failures: []string{err.Error()}}}
	}

	l, err := lab.Up(ctx, lab.Options{Name: fmt.Sprintf("matrix-%d", os.Getpid()), Release: r, Cookie: labtest.Cookie, Progress: out})
	if err != nil {
		return failed(err), nil
	}

	defer func() { err = errors.Join(err, l.Down()) }()

	version, err := l.Hosts()[0].Run(ctx, "dpkg-query", "--show", "--showformat=${source:Upstream-Version}", "rabbitmq-server")
	if err != nil {
		return failed(err), nil
	}

	store, err := storeOf(ctx, l.Hosts()[0])
	if err != nil {
		return failed(err), nil
	}

	for i, cli := range clis {
		if ctx.Err() != nil {
			break
		}

		tests := mainJob
		if i == 0 {
			tests = labtest.OnEveryVersion
		}

		name := describeCLI(ctx, cli)
		fmt.Fprintf(out, "--- %s with %s\n", r, name)

		s := suite{
			tiers: []string{"real"}, packages: map[string][]string{"real": packages}, progress: true,
			flags: []string{"-count=1", "-timeout=20m", "-run=" + tests},
			env: []string{
				"RABBITMQ_LAB_MATRIX=1", "RABBITMQ_LAB_REUSE=" + l.Name(), "RABBITMQ_LAB_RELEASE=" + r.RabbitMQ, "RABBITMQ_TEST_CLI=" + cli,
			},
		}

		ended, err := s.run(ctx, out)
		if err != nil {
			return nil, err
		}

		for _, c := range ended {
			c.Run, c.RabbitMQ, c.Store, c.CLI = "matrix", version, store, name
			if c.Passed+c.Failed == 0 {
				c.Failed, c.Failures = 1, []string{"no test ran"}
			}

			counts = append(counts, c)
		}
	}

	return counts, nil
}

// storeOf is where a broker keeps its metadata, in its own words.
func storeOf(ctx context.Context, h *lab.Host) (string, error) {
	said, err := h.Rabbitmqctl(ctx, "-q", "eval", `
		try rabbit_khepri:is_enabled()
		catch _:_ -> code:ensure_loaded(rabbit_mnesia), not erlang:function_exported(rabbit_mnesia, status, 0)
		end.`)
	if err != nil {
		return "", err
	}

	if slices.Contains(strings.Fields(said), "true") {
		return "Khepri", nil
	}

	return "Mnesia", nil
}

// describeCLI is the name and version of a command line: "Terraform 1.11.4". Of none it is empty.
func describeCLI(ctx context.Context, path string) string {
	if path == "" {
		return ""
	}

	cmd := exec.CommandContext(ctx, path, "version")
	cmd.Env = []string{"TF_CLI_CONFIG_FILE=/dev/null", "CHECKPOINT_DISABLE=1", "HOME=/nonexistent"}

	said, err := cmd.Output()
	if err != nil {
		return path
	}

	first, _, _ := strings.Cut(string(said), "\n")

	return strings.Replace(first, " v", " ", 1)
}
