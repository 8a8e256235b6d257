package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// record adds counts to the file that RABBITMQ_TEST_RECORD names, if it names one: a line of JSON each.
func record(counts []count) error {
	name := os.Getenv("RABBITMQ_TEST_RECORD")
	if name == "" {
		return nil
	}

	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}

	lines := json.NewEncoder(f)
	for _, c := range counts {
		err = errors.Join(err, lines.Encode(c))
	}

	return errors.Join(err, f.Close())
}

// readRecord reads it. Where no run came to its end there is none.
func readRecord(name string) ([]count, error) {
	if name == "" {
		return nil, nil
	}

	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}

	defer func() { _ = f.Close() }()

	var counts []count

	for lines := json.NewDecoder(f); ; {
		var c count

		err := lines.Decode(&c)
		if errors.Is(err, io.EOF) {
			return counts, nil
		}

		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}

		counts = append(counts, c)
	}
}

// runSummary says what all recorded runs came to. What one has left and another has carried out is not left. It fails
// when something of the core was left and is neither carried out nor long.
func runSummary(out io.Writer, args []string) (bool, error) {
	if len(args) != 1 {
		return false, errors.New("usage: tiers -summary FILE")
	}

	counts, err := readRecord(args[0])
	if err != nil {
		return false, err
	}

	for _, c := range counts {
		for _, skip := range c.Skips {
			fmt.Fprintf(out, "skipped in the %s tier%s: %s\n", c.Tier, c.where(), skip)
		}
	}

	left, long := neverDone(counts)
	if len(long) > 0 {
		fmt.Fprintf(out, "%s (RABBITMQ_LAB_LONG=1): %s\n", labtest.LeftToLongRun, names(long))
	}

	if len(left) > 0 {
		fmt.Fprintf(out, "left by the core, and done by no other run: %s\n", names(left))
	}

	for _, c := range counts {
		for _, failure := range c.Failures {
			fmt.Fprintf(out, "FAILED in the %s tier%s: %s\n", c.Tier, c.where(), failure)
		}
	}

	fmt.Fprintln(out)
	table(out, counts)

	good := total(out, counts, required())

	return good && len(left) == 0, nil
}

// neverDone is what the core has left and no run has carried out, and what of that is long: some run came to it, and had
// not the hours.
func neverDone(counts []count) (left, long []testID) {
	var done, tooLong []testID

	for _, c := range counts {
		done, tooLong = append(done, c.Done...), append(tooLong, c.Long...)
	}

	for _, c := range counts {
		if c.Run != "core" {
			continue
		}

		for _, id := range slices.Concat(c.Left, c.Long) {
			switch {
			case slices.ContainsFunc(done, id.has):
			case slices.ContainsFunc(tooLong, id.has):
				long = append(long, id)
			default:
				left = append(left, id)
			}
		}
	}

	return left, long
}

// has tells whether another test is this one or a part of it.
func (id testID) has(other testID) bool {
	return other.Package == id.Package && (other.Name == id.Name || strings.HasPrefix(other.Name, id.Name+"/"))
}

// where tells the runs of the real tier apart.
func (c count) where() string {
	if c.RabbitMQ == "" {
		return ""
	}

	return fmt.Sprintf(", RabbitMQ %s with %s", c.RabbitMQ, c.CLI)
}

// table prints a line for each run of a tier.
func table(out io.Writer, counts []count) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)

	fmt.Fprintln(w, "run\ttier\tRabbitMQ\tstore\tCLI\tpassed\tfailed\tskipped\ttime")

	for _, c := range counts {
		row := []string{c.Run, c.Tier, c.RabbitMQ, c.Store, c.CLI, fmt.Sprint(c.Passed), fmt.Sprint(c.Failed), fmt.Sprint(c.Skipped), c.Took.Round(time.Second).String()}
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}

		fmt.Fprintln(w, strings.Join(row, "\t"))
	}

	_ = w.Flush()
}
