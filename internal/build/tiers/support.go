package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// supportPage is the documentation's page that says what the matrix ran on. Between its marks stands what it ran.
const supportPage = "templates/guides/supported-versions.md.tmpl"

const (
	supportBegin = "<!-- written by make test-matrix -->\n"
	supportEnd   = "<!-- end -->"
)

// support holds the page to what ran: a row for which nothing ran here, or something failed, says what nobody has seen.
// With RABBITMQ_TEST_SUPPORT=write it writes the page instead, when nothing failed.
func support(out io.Writer, counts []count) bool {
	page, err := os.ReadFile(supportPage)
	if err != nil {
		fmt.Fprintln(out, err)
		return false
	}

	before, rest, ok1 := strings.Cut(string(page), supportBegin)
	claimed, after, ok2 := strings.Cut(rest, supportEnd)

	if !ok1 || !ok2 {
		fmt.Fprintf(out, "FAILED: %s has lost its marks\n", supportPage)
		return false
	}

	if os.Getenv("RABBITMQ_TEST_SUPPORT") == "write" {
		if err := os.WriteFile(supportPage, []byte(before+supportBegin+supportRows(counts)+supportEnd+after), 0o644); err != nil { //nolint:gosec // G306: a page of the documentation
			fmt.Fprintln(out, err)
			return false
		}

		return true
	}

	good := true

	for row := range strings.Lines(claimed) {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| RabbitMQ") || seen(row, counts) {
			continue
		}

		fmt.Fprintf(out, "FAILED: %s claims what did not pass here: %s", supportPage, row)

		good = false
	}

	return good
}

// supportRows is the table of the page.
func supportRows(counts []count) string {
	rows := "| RabbitMQ | metadata store | CLI | tests on three hosts |\n|---|---|---|---|\n"

	for _, c := range counts {
		if c.Failed == 0 && c.Passed > 0 {
			rows += fmt.Sprintf("| %s | %s | %s | %d passed |\n", c.RabbitMQ, c.Store, c.CLI, c.Passed)
		}
	}

	return rows
}

// seen tells whether what a row claims passed, of the same line of releases, by the same kind of command line. A
// Terraform that this machine does not have cannot be held to anything.
func seen(row string, counts []count) bool {
	cells := strings.Split(row, " | ")
	version, store, cli := strings.TrimPrefix(cells[0], "| "), cells[1], cells[2]

	if !slices.ContainsFunc(counts, func(c count) bool { return product(c.CLI) == product(cli) }) {
		return true
	}

	return slices.ContainsFunc(counts, func(c count) bool {
		return series(c.RabbitMQ) == series(version) && c.Store == store && product(c.CLI) == product(cli) && c.Failed == 0 && c.Passed > 0
	})
}

// product is the name of a command line without its version.
func product(cli string) string {
	name, _, _ := strings.Cut(cli, " ")

	return name
}

// series is the first two numbers of a version.
func series(version string) string {
	numbers := strings.SplitN(version, ".", 3)

	return strings.Join(numbers[:min(len(numbers), 2)], ".")
}
