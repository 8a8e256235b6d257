package main

import (
	"cmp"
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

// mainStory is the test that every command line runs on every RabbitMQ, all but one of them in short.
const mainStory = "TestClusterLife" + labtest.OnEveryVersion

// runMatrix runs the real tier on every RabbitMQ with every command line. Each RabbitMQ is booted once. There one command
// line, each time the next one, runs all that has OnEveryVersion in its name, or its share of it, and the others the main
// story: what differs between command lines does not differ between versions of RabbitMQ.
func runMatrix(ctx context.Context, out io.Writer, clis []string) (bool, error) {
	if len(clis) == 0 {
		return false, errors.New("usage: tiers -matrix CLI [CLI]")
	}

	releases, err := releases()
	if err != nil {
		return false, err
	}

	packages, err := listPackages(ctx)
	if err != nil {
		return false, err
	}

	before, err := readRecord(os.Getenv("RABBITMQ_TEST_RECORD"))
	if err != nil {
		return false, err
	}

	stories, err := listStories(ctx, packages["real"])
	if err != nil {
		return false, err
	}

	var (
		counts []count
		passOn []string // stories that are none on the release before
	)

	for i, r := range releases {
		if ctx.Err() != nil {
			break
		}

		turn := i % len(clis)
		first := clis[turn]

		tests := stories
		if os.Getenv("RABBITMQ_TEST_SPREAD") == "1" {
			tests = append(shareOf(stories, r), passOn...)
			if !hadCore(before, r, describeCLI(ctx, first)) {
				tests = append(tests, mainStory)
			}
		}

		ended, err := runRelease(ctx, out, r, slices.Concat(clis[turn:], clis[:turn]), packages["real"], tests)
		if err != nil {
			return false, err
		}

		if err := record(ended); err != nil {
			return false, err
		}

		counts = append(counts, ended...)
		passOn = notTold(tests, ended)
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

// releases are those in RELEASES, or all that the lab knows: the default one, then the others, newest first.
func releases() ([]lab.Release, error) {
	wanted := strings.Fields(os.Getenv("RELEASES"))
	if len(wanted) == 0 {
		all := slices.Clone(lab.Releases)
		slices.Reverse(all)
		// The default one first: what it skips is passed on to one that has it.
		all = slices.DeleteFunc(all, func(r lab.Release) bool { return r == lab.DefaultRelease })

		return append([]lab.Release{lab.DefaultRelease}, all...), nil
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

// listStories names the tests of the matrix, those that match STORIES if that is set.
func listStories(ctx context.Context, packages []string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-list=" + cmp.Or(os.Getenv("STORIES"), labtest.OnEveryVersion)}, packages)...)
	cmd.Stderr = os.Stderr

	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -list: %w\n%s", err, output)
	}

	var names []string

	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Test") && strings.Contains(line, labtest.OnEveryVersion) {
			names = append(names, line)
		}
	}

	if len(names) == 0 {
		return nil, errors.New("the matrix has no story of that name")
	}

	return names, nil
}

// shareOf is what a release gets of the stories when each is told once: the default release gets all. The main story,
// which every release has anyway, is not among them.
func shareOf(stories []string, r lab.Release) []string {
	if r != lab.DefaultRelease {
		return nil
	}

	return slices.DeleteFunc(slices.Clone(stories), func(name string) bool { return name == mainStory })
}

// notTold are the stories that skipped themselves as a whole: a release does not have what they tell of.
func notTold(stories []string, counts []count) []string {
	return slices.DeleteFunc(slices.Clone(stories), func(name string) bool {
		return !slices.ContainsFunc(counts, func(c count) bool {
			return slices.ContainsFunc(c.Skips, func(skip string) bool { return strings.HasPrefix(skip, name+": ") })
		})
	})
}

// hadCore tells whether a recorded run had the core, with the main story, on a release with a command line.
func hadCore(before []count, r lab.Release, cli string) bool {
	return slices.ContainsFunc(before, func(c count) bool {
		return c.Run == "core" && c.Tier == "real" && c.RabbitMQ == r.RabbitMQ && c.CLI == cli && c.Passed > 0
	})
}

// runRelease boots one RabbitMQ and runs the command lines on it, the first one these tests.
func runRelease(ctx context.Context, out io.Writer, r lab.Release, clis, packages, tests []string) (counts []count, err error) {
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

	long := "1"
	if os.Getenv("RABBITMQ_TEST_SPREAD") == "1" {
		long = ""
	}

	for i, cli := range clis {
		if ctx.Err() != nil {
			break
		}

		flags := []string{"-short", "-run=" + exactly([]string{mainStory})}
		if i == 0 && len(tests) > 0 {
			flags = []string{"-run=" + exactly(tests)}
		}

		name := describeCLI(ctx, cli)
		fmt.Fprintf(out, "--- %s with %s\n", r, name)

		s := suite{
			tiers: []string{"real"}, packages: map[string][]string{"real": packages}, progress: true,
			flags: slices.Concat([]string{"-count=1", "-timeout=60m"}, flags),
			env: []string{
				"RABBITMQ_LAB_MATRIX=1", "RABBITMQ_LAB_FULL=" + os.Getenv("RABBITMQ_TEST_SPREAD"), "RABBITMQ_LAB_LONG=" + long, "RABBITMQ_LAB_REUSE=" + l.Name(), "RABBITMQ_LAB_RELEASE=" + r.RabbitMQ, "RABBITMQ_TEST_CLI=" + cli,
			},
		}

		ended, err := s.run(ctx, out)
		if err != nil {
			return nil, err
		}

		for _, c := range ended {
			counts = append(counts, cell(c, version, store, name))
		}
	}

	return counts, nil
}

// cell is a count in its place in the matrix. One in which nothing ran is a failure: it looks like a success otherwise.
func cell(c count, version, store, cli string) count {
	c.Run, c.RabbitMQ, c.Store, c.CLI = "matrix", version, store, cli
	if c.Passed+c.Failed == 0 {
		c.Failed, c.Failures = 1, []string{"no test ran"}
	}

	return c
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
