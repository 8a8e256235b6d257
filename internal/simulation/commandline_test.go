package simulation

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

var (
	cliRuns = flag.Int("simulation.cli", 12, "how many random scenarios to run through a real command line")
	cliFrom = flag.Uint64("simulation.cli-from", 1, "the first seed of those")
)

// quickEnough tells whether a scenario has no fault that is waited for in full: minutes, where time is real.
func quickEnough(s Scenario) bool {
	return !slices.ContainsFunc(s.Steps, func(step string) bool {
		return strings.HasPrefix(step, "fault hang ") || strings.HasPrefix(step, "fault clock-jump ")
	})
}

// The same random stories through Terraform or OpenTofu, and a provider that is a process of its own.
func TestRandomStoriesThroughTheCommandLine(t *testing.T) {
	labtest.Full(t)
	cli, err := exec.LookPath(os.Getenv("RABBITMQ_TEST_CLI"))
	if err != nil {
		t.Fatalf("RABBITMQ_TEST_CLI names no Terraform or OpenTofu: %v", err)
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "terraform-provider-rabbitmq"), "github.com/rabbitmq-topology/terraform-provider-rabbitmq").CombinedOutput(); err != nil {
		t.Fatalf("building the provider: %v\n%s", err, out)
	}
	config := filepath.Join(bin, "cli.tfrc")
	text := fmt.Sprintf(`provider_installation { dev_overrides {
  "registry.terraform.io/rabbitmq-topology/rabbitmq" = %[1]q
  "registry.opentofu.org/rabbitmq-topology/rabbitmq" = %[1]q
} }`, bin)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	scenarios := make(chan Scenario)
	var all sync.WaitGroup
	var mu sync.Mutex
	var total Result
	points := map[string]bool{}
	began := time.Now()
	for range 4 { // most of it is waiting
		all.Go(func() {
			for s := range scenarios {
				dir := t.TempDir()
				r, err := TellThrough(t.Context(), s, cli, dir, config)
				mu.Lock()
				if err != nil || len(r.Problems) > 0 {
					t.Errorf("seed %d: %v", s.Seed, err)
					report(t, s, r)
				}
				for _, p := range r.Points {
					points[p] = true
				}
				total.Applies, total.Refusals, total.Errors, total.Strikes = total.Applies+r.Applies, total.Refusals+r.Refusals, total.Errors+r.Errors, total.Strikes+r.Strikes
				mu.Unlock()
			}
		})
	}
	told := 0
	for seed := *cliFrom; told < *cliRuns; seed++ {
		if s := Generate(seed); quickEnough(s) {
			scenarios <- s
			told++
		}
	}
	close(scenarios)
	all.Wait()
	t.Logf("%d stories in %s: %d applies succeeded, %d were refused, %d failed; %d faults struck, at %d distinct points",
		told, time.Since(began).Round(time.Second), total.Applies, total.Refusals, total.Errors, total.Strikes, len(points))
	if total.Strikes == 0 || total.Applies == 0 {
		t.Error("nothing was put to the test")
	}
}
