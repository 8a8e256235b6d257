// Command mutants takes the product's guards out, one at a time, and runs the tests that must notice: those of the rooms,
// and where they stay green the simulated stories. It ends with exit code 1 when nobody notices one of them.
//
// guards.txt lists them: a line "file: what is taken out", where it is known a line with ! and the package and the test
// that notices, then lines of the file with - and what stands in their place with +. Nothing in the checkout is changed:
// the compiler is given the other text.
//
//	go run ./internal/build/mutants [WORD ...]   only those with one of the words in their files or names
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed guards.txt
var list string

// mutant is one guard that is taken out.
type mutant struct {
	file, name string
	old, new   string
	by         []string // package and test; asked first, because all of them take long
}

// parse reads the list.
func parse(text string) []mutant {
	var all []mutant
	for line := range strings.Lines(text) {
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] == '!':
			where, test, _ := strings.Cut(strings.TrimSpace(line[1:]), " ")
			all[len(all)-1].by = []string{where, "-run", test}
		case line[0] == '-':
			all[len(all)-1].old += line[1:]
		case line[0] == '+':
			all[len(all)-1].new += line[1:]
		default:
			file, name, _ := strings.Cut(strings.TrimSpace(line), ": ")
			all = append(all, mutant{file: file, name: name})
		}
	}
	return all
}

// apply writes the mutated file and the overlay that makes the compiler take it.
func (m mutant) apply(dir string) (overlay string, err error) {
	file, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", fmt.Errorf("its lines stand in %s %d times: bring guards.txt up to date", m.file, n)
	}
	mutated, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutated}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(
		os.WriteFile(mutated, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600),
		os.WriteFile(overlay, replace, 0o600))
}

// suites are the tests that must notice, quick ones first.
var suites = [][]string{
	{"./internal/topology/"},
	{"./internal/rabbitmq/"},
	{"./internal/cluster/"},
	{"./internal/provider/"},
	{"./internal/simulation/", "-run", "TestStories|TestTwoRuns|TestLockedHost|TestBadConfigurations", "-failfast"},
}

var failed = regexp.MustCompile(`--- FAIL: (\S+)`)

// noticed gives the test that went red first; empty when none did.
func (m mutant) noticed() (string, error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.apply(dir)
	if err != nil {
		return "", err
	}
	all := suites
	if m.by != nil {
		all = append([][]string{m.by}, all...)
	}
	for _, suite := range all {
		out, err := exec.Command("go", append([]string{"test", "-vet=off", "-timeout", "5m", "-overlay", overlay}, suite...)...).CombinedOutput() //nolint:gosec // G204: go test
		if err == nil {
			continue
		}
		if names := failed.FindAllStringSubmatch(string(out), -1); len(names) > 0 {
			return names[len(names)-1][1], nil
		}
		if panicked := strings.Contains(string(out), "panic: "); panicked {
			return suite[0] + " panics", nil
		}
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return "", nil
}

func main() {
	survivors := 0
	for _, m := range parse(list) {
		if wanted := os.Args[1:]; len(wanted) > 0 && !slices.ContainsFunc(wanted, func(word string) bool { return strings.Contains(m.file+": "+m.name, word) }) {
			continue
		}
		test, err := m.noticed()
		switch {
		case err != nil:
			fmt.Printf("BROKEN    %s: %v\n", m.name, err)
			survivors++
		case test == "":
			fmt.Printf("SURVIVES  %s\n", m.name)
			survivors++
		default:
			fmt.Printf("noticed   %s: %s\n", m.name, test)
		}
	}
	if survivors > 0 {
		fmt.Printf("%d guards can go without a test turning red\n", survivors)
		os.Exit(1)
	}
}
