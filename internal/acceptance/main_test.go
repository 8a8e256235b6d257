//go:build linux

package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// suite is what all tests share.
var suite struct {
	lab      *lab.Lab
	cli      string // terraform or tofu
	provider string // the provider's binary
	config   string // the CLI's configuration file, which names the binary
	home     string // an empty home directory: the user's own settings and keys stay out
	missing  error  // why nothing can run here
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run() // names of tests need no lab
	}
	suite.missing = errors.Join(lab.Preflight(), findCLI())
	if suite.missing != nil && os.Getenv("RABBITMQ_LAB_REQUIRED") != "1" {
		return m.Run() // every test says so and is skipped
	}
	dir, err := os.MkdirTemp("", "acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := errors.Join(suite.missing, build(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	down, err := bringUp()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := down(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return m.Run()
}

// oldestCLI is the first version, of Terraform and of OpenTofu alike, with write-only attributes.
var oldestCLI = [2]int{1, 11}

// findCLI takes RABBITMQ_TEST_CLI, or terraform or tofu on PATH when it is new enough.
func findCLI() error {
	if named := os.Getenv("RABBITMQ_TEST_CLI"); named != "" {
		path, err := exec.LookPath(named)
		suite.cli = path
		return err
	}
	for _, name := range []string{"terraform", "tofu"} {
		path, err := exec.LookPath(name)
		if err == nil && newEnough(path) {
			suite.cli = path
			return nil
		}
	}
	return fmt.Errorf("the tests need terraform or tofu from version %d.%d on PATH, or RABBITMQ_TEST_CLI: tools/cli.sh builds one", oldestCLI[0], oldestCLI[1])
}

func newEnough(cli string) bool {
	cmd := exec.Command(cli, "version", "-json")
	cmd.Env = []string{"TF_CLI_CONFIG_FILE=/dev/null", "CHECKPOINT_DISABLE=1", "HOME=/nonexistent"}
	out, err := cmd.Output()
	var version struct {
		Text string `json:"terraform_version"`
	}
	if err != nil || json.Unmarshal(out, &version) != nil {
		return false
	}
	var have [2]int
	for i, part := range strings.SplitN(version.Text, ".", 3)[:2] {
		have[i], _ = strconv.Atoi(part)
	}
	return slices.Compare(have[:], oldestCLI[:]) >= 0
}

// build makes the provider and a CLI configuration that uses it, whichever registry the CLI takes for its own.
func build(dir string) error {
	suite.home = filepath.Join(dir, "home")
	suite.provider = filepath.Join(dir, "bin", "terraform-provider-rabbitmq")
	suite.config = filepath.Join(dir, "cli.tfrc")
	if err := os.Mkdir(suite.home, 0o700); err != nil {
		return err
	}
	out, err := exec.Command("go", "build", "-o", suite.provider, "github.com/rabbitmq-topology/terraform-provider-rabbitmq").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the provider: %w\n%s", err, out)
	}
	config := fmt.Sprintf(`provider_installation {
  dev_overrides {
    "registry.terraform.io/rabbitmq-topology/rabbitmq" = %[1]q
    "registry.opentofu.org/rabbitmq-topology/rabbitmq" = %[1]q
  }
  direct {}
}
`, filepath.Dir(suite.provider))
	return os.WriteFile(suite.config, []byte(config), 0o600)
}

// bringUp boots the lab and returns what ends it.
func bringUp() (down func() error, err error) {
	if name := os.Getenv("RABBITMQ_LAB_REUSE"); name != "" {
		suite.lab, err = lab.Open(name)
		return func() error { return nil }, err
	}
	release := lab.DefaultRelease
	if wanted := os.Getenv("RABBITMQ_LAB_RELEASE"); wanted != "" {
		if release, err = lab.ParseRelease(wanted); err != nil {
			return nil, err
		}
	}
	// The time is for a machine that has to build the image first.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	suite.lab, err = lab.Up(ctx, lab.Options{Name: fmt.Sprintf("acceptance-%d", os.Getpid()), Release: release, Hosts: 3, Cookie: sharedCookie, Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	dirty = false
	return suite.lab.Down, nil
}

// sharedCookie is the cookie of all hosts.
const sharedCookie = labtest.Cookie

// dirty tells that a test has touched the brokers since they were blank.
var dirty = true

// blank gives the lab's three hosts with blank brokers that stand alone, all cookies equal, sshd up. It skips the test
// where there can be no lab.
func blank(t *testing.T) (rmq1, rmq2, rmq3 *lab.Host) {
	t.Helper()
	if suite.missing != nil {
		t.Skip(suite.missing)
	}
	if dirty {
		if err := suite.lab.BlankAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	dirty = true
	hosts := suite.lab.Hosts()
	return hosts[0], hosts[1], hosts[2]
}

// full leaves a test, or a part of a story, to the full run.
func full(t *testing.T) {
	t.Helper()
	labtest.Full(t)
}

// long leaves a test, or a part of a story, to those who have hours; CI has not.
func long(t *testing.T) {
	t.Helper()
	labtest.Long(t)
}

// everyVersion leaves a test, or a part of a story, to the full run and to the matrix.
func everyVersion(t *testing.T) {
	t.Helper()
	labtest.EveryVersion(t)
}

// oneCLI leaves a part of a story to the command line that runs the whole of it.
func oneCLI(t *testing.T) {
	t.Helper()
	labtest.OneCLI(t)
}

// bounded is the context for one thing done on a host, also while the test cleans up.
func bounded(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
}

// on runs a command as root on a host, not through the product, and returns what it printed.
func on(t *testing.T, h *lab.Host, argv ...string) string {
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	out, err := h.Run(ctx, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ctl runs rabbitmqctl on a host, not through the product, and returns what it printed.
func ctl(t *testing.T, h *lab.Host, args ...string) string {
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	out, err := h.Rabbitmqctl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// joinByHand makes h a member of the cluster of seed, as an operator would.
func joinByHand(t *testing.T, h, seed *lab.Host) {
	t.Helper()
	ctl(t, h, "stop_app")
	ctl(t, h, "join_cluster", seed.NodeName())
	ctl(t, h, "start_app")
}

// status is the cluster as one of its nodes tells of it.
type status struct {
	Name    string   `json:"cluster_name"`
	Disc    []string `json:"disk_nodes"`
	RAM     []string `json:"ram_nodes"`
	Running []string `json:"running_nodes"`
}

// clusterStatus asks a node of a host, not through the product.
func clusterStatus(t *testing.T, h *lab.Host) status {
	t.Helper()
	return parseStatus(t, h, ctl(t, h, "-q", "cluster_status", "--formatter", "json"))
}

// parseStatus finds the status in what cluster_status printed on a host.
func parseStatus(t *testing.T, h *lab.Host, out string) status {
	t.Helper()
	for line := range strings.Lines(out) { // log lines stand before and after it
		var s status
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &s) == nil {
			slices.Sort(s.Disc)
			slices.Sort(s.RAM)
			slices.Sort(s.Running)
			return s
		}
	}
	t.Fatalf("%s: no cluster_status in:\n%s", h.Name(), out)
	return status{}
}

// members is whom the node of a host lists as a member and sees running; it fails when these are not the same.
func members(t *testing.T, h *lab.Host) []string {
	t.Helper()
	s := clusterStatus(t, h)
	if !slices.Equal(s.Disc, s.Running) {
		t.Errorf("%s lists %v and sees %v running", h.Name(), s.Disc, s.Running)
	}
	return s.Disc
}

// areOneCluster checks that each of the hosts lists exactly them all, running.
func areOneCluster(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	var want []string
	for _, h := range hosts {
		want = append(want, h.NodeName())
	}
	slices.Sort(want)
	each(hosts, func(h *lab.Host) {
		if got := members(t, h); !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", h.Name(), got, want)
		}
	})
}

// areAlone checks that each of the hosts runs and is a member of nothing.
func areAlone(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	each(hosts, func(h *lab.Host) {
		if got := members(t, h); !slices.Equal(got, []string{h.NodeName()}) {
			t.Errorf("%s lists %v, want itself alone", h.Name(), got)
		}
	})
}

// each does something on all hosts at once. A t.Fatal in it ends only its own goroutine.
func each(hosts []*lab.Host, do func(*lab.Host)) {
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() { do(h) })
	}
	all.Wait()
}

// eventually polls until a thing is true, and fails the test when it does not become so: the time is for a machine that
// has far too much to do.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// vhosts lists the virtual hosts that a node knows.
func vhosts(t *testing.T, h *lab.Host) []string {
	t.Helper()
	return strings.Fields(ctl(t, h, "-q", "list_vhosts", "--no-table-headers"))
}

// isBlank checks that a node has nothing but what every new one has.
func isBlank(t *testing.T, h *lab.Host) {
	t.Helper()
	if v := vhosts(t, h); !slices.Equal(v, []string{"/"}) {
		t.Errorf("%s has the vhosts %q", h.Name(), v)
	}
}
