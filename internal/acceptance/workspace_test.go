//go:build linux

package acceptance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// workspace is one directory with a configuration and a state, as an operator has it.
type workspace struct {
	t    *testing.T
	dir  string
	cli  string   // another CLI than the suite's
	env  []string // more of the environment, and other values for what is in it
	runs int
}

func newWorkspace(t *testing.T) *workspace {
	return &workspace{t: t, dir: t.TempDir()}
}

// tell runs a part of a test's story as a subtest. When it fails the story ends: what comes after stands on it.
func (w *workspace) tell(part string, do func(t *testing.T)) {
	w.t.Helper()
	whole := w.t
	told := whole.Run(part, func(t *testing.T) {
		w.t = t
		do(t)
	})
	w.t = whole
	if !told {
		whole.FailNow()
	}
}

// hcl is what changes between configurations. Everything is text of HCL.
type hcl struct {
	ssh        string // more attributes of the provider's ssh; user, key and known_hosts are the lab's unless named here
	members    string // the entries of members: see entry and entries
	attributes string // more attributes of the resource
	more       string // more blocks
}

// entry is one member. Attributes stand after its host, as in `type = "ram"`.
func entry(h *lab.Host, attributes ...string) string {
	attributes = append([]string{fmt.Sprintf("host = %q", h.Address())}, attributes...)
	return fmt.Sprintf("    %q = { %s }\n", h.NodeName(), strings.Join(attributes, ", "))
}

// entries are members with nothing but their host.
func entries(hosts ...*lab.Host) string {
	var text string
	for _, h := range hosts {
		text += entry(h)
	}
	return text
}

// write makes this the workspace's configuration.
func (w *workspace) write(c hcl) {
	w.t.Helper()
	for _, d := range []struct{ name, value string }{
		{"user", lab.User},
		{"private_key_file", suite.lab.PrivateKeyFile()},
		{"known_hosts_files", suite.lab.KnownHostsFile()},
	} {
		if regexp.MustCompile(`(?m)^\s*` + d.name + `\s*=`).MatchString(c.ssh) {
			continue
		}
		value := fmt.Sprintf("%q", d.value)
		if d.name == "known_hosts_files" {
			value = "[" + value + "]"
		}
		c.ssh += fmt.Sprintf("\n    %s = %s", d.name, value)
	}
	text := fmt.Sprintf(`terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

provider "rabbitmq" {
  ssh = {
    %s
  }
}

resource "rabbitmq_cluster" "orders" {
  members = {
%s  }
  %s
}
%s`, strings.TrimSpace(c.ssh), c.members, c.attributes, c.more)
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// outcome is how one run of the CLI ended.
type outcome struct {
	t      *testing.T
	args   []string
	code   int
	output string // stdout and stderr as they came, without the box that the CLI draws
	log    string // path of the provider's log
	took   time.Duration
}

// runTimeout bounds one run of the CLI. It is far more than any needs.
const runTimeout = 10 * time.Minute

// command prepares a run of the CLI in a process group of its own, which ends with the test.
func (w *workspace) command(ctx context.Context, args ...string) (cmd *exec.Cmd, log string) {
	w.runs++
	log = filepath.Join(w.dir, fmt.Sprintf("log-%02d", w.runs))
	cmd = exec.CommandContext(ctx, cmp.Or(w.cli, suite.cli), args...)
	cmd.Dir = w.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + suite.home, "TF_CLI_CONFIG_FILE=" + suite.config, "TF_IN_AUTOMATION=1",
		"TF_INPUT=0", "CHECKPOINT_DISABLE=1", "TF_LOG_PROVIDER=DEBUG", "TF_LOG_PATH=" + log,
	}
	cmd.Env = append(cmd.Env, w.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd, log
}

// run runs the CLI to its end.
func (w *workspace) run(args ...string) outcome {
	w.t.Helper()
	return w.watch(nil, args...)
}

// watch runs the CLI and lets see look on while it runs.
func (w *workspace) watch(see func(ctx context.Context, cmd *exec.Cmd, log string), args ...string) outcome {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), runTimeout)
	defer cancel()
	cmd, log := w.command(ctx, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if see != nil {
		seeing, blind := context.WithCancel(ctx)
		seen := make(chan struct{})
		go func() { defer close(seen); see(seeing, cmd, log) }()
		defer func() { blind(); <-seen }()
	}
	// A CLI that was killed leaves its provider behind. It may end its work beside the next run, but not after the test.
	w.t.Cleanup(func() {
		for _, pid := range providersOf(cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, output.String())
	}
	if ctx.Err() != nil {
		w.t.Fatalf("%s did not end within %s:\n%s", strings.Join(args, " "), runTimeout, output.String())
	}
	o := outcome{t: w.t, args: args, code: cmd.ProcessState.ExitCode(), output: unbox(output.String()), log: log, took: time.Since(began)}
	w.t.Logf("%s: exit code %d after %.1f s\n%s", strings.Join(args, " "), o.code, o.took.Seconds(), o.output)
	return o
}

var box = regexp.MustCompile(`(?m)^[╷│╵] ?`)

// overrides is the CLI's warning about dev_overrides, which says nothing about the test.
var overrides = regexp.MustCompile(`(?s)\s*Warning: Provider development overrides are in effect.*?published\s+releases\.\s*`)

// unbox takes away the frame around diagnostics.
func unbox(text string) string {
	return overrides.ReplaceAllString(box.ReplaceAllString(text, ""), "\n")
}

// plan plans into a file that applyPlan takes.
func (w *workspace) plan() outcome {
	w.t.Helper()
	return w.run("plan", "-no-color", "-detailed-exitcode", "-out=plan.bin")
}

// apply plans and applies.
func (w *workspace) apply() outcome {
	w.t.Helper()
	return w.run("apply", "-no-color", "-auto-approve")
}

func (w *workspace) mustApply() outcome {
	w.t.Helper()
	return w.apply().succeeds()
}

// mustApplyPlan applies what the last plan showed.
func (w *workspace) mustApplyPlan() outcome {
	w.t.Helper()
	return w.run("apply", "-no-color", "plan.bin").succeeds()
}

func (w *workspace) mustDestroy() outcome {
	w.t.Helper()
	return w.run("destroy", "-no-color", "-auto-approve").succeeds()
}

// planIsEmpty checks that nothing would be changed.
func (w *workspace) planIsEmpty() {
	w.t.Helper()
	if o := w.plan(); o.code != 0 {
		w.t.Fatalf("the plan is not empty: exit code %d", o.code)
	}
}

// planShows checks that something would be changed, and that each of the texts is in the plan.
func (w *workspace) planShows(texts ...string) outcome {
	w.t.Helper()
	o := w.plan()
	if o.code != 2 {
		w.t.Fatalf("the plan ended with exit code %d, want 2", o.code)
	}
	return o.shows(texts...)
}

// succeeds checks that the run succeeded.
func (o outcome) succeeds() outcome {
	o.t.Helper()
	if o.code != 0 {
		o.t.Fatalf("%s ended with exit code %d, want 0", strings.Join(o.args, " "), o.code)
	}
	return o
}

// fails checks that the run failed, and that each of the texts is in what it said.
func (o outcome) fails(texts ...string) outcome {
	o.t.Helper()
	if o.code != 1 {
		o.t.Fatalf("%s ended with exit code %d, want 1", strings.Join(o.args, " "), o.code)
	}
	return o.shows(texts...)
}

// shows checks that each of the texts is in what the run said, wherever it broke its lines.
func (o outcome) shows(texts ...string) outcome {
	o.t.Helper()
	said := oneLine(o.output)
	for _, text := range texts {
		if !strings.Contains(said, oneLine(text)) {
			o.t.Errorf("%s does not say %q", strings.Join(o.args, " "), text)
		}
	}
	return o
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// What the provider's log says about one command on one host. Its fields come in any order.
var (
	remoteCommand = regexp.MustCompile(`: remote command (starts|ended|gave no exit code):`)
	argsField     = regexp.MustCompile(`[ =]args=\[(.*?)\]`)
	hostField     = regexp.MustCompile(` host=(\S+)`)
)

// changing are the words by which a remote command that changes something is known.
var changing = regexp.MustCompile(`\b(stop_app|start_app|join_cluster|forget_cluster_node|reset|change_cluster_node_type|set_cluster_name|shrink|grow|add_replica|systemctl (start|stop|restart|reset-failed))\b`)

// changes are the commands of a run that change something, in the order in which they began, each with its host:
// "10.77.1.11: rabbitmqctl -n rabbit@rmq1 stop_app".
func (o outcome) changes() []string {
	o.t.Helper()
	text, err := os.ReadFile(o.log)
	if err != nil {
		o.t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if c, ok := parseChange(line); ok && c.starts {
			found = append(found, c.host+": "+c.args)
		}
	}
	return found
}

// reached tells whether a run has talked to any host.
func (o outcome) reached() bool {
	o.t.Helper()
	text, err := os.ReadFile(o.log)
	if err != nil {
		o.t.Fatal(err)
	}
	return remoteCommand.Match(text)
}

type change struct {
	starts     bool
	host, args string
}

func parseChange(line string) (change, bool) {
	kind, args, host := remoteCommand.FindStringSubmatch(line), argsField.FindStringSubmatch(line), hostField.FindStringSubmatch(line)
	if kind == nil || args == nil || host == nil {
		return change{}, false
	}
	// erl_call calls the functions that these commands call.
	text := strings.NewReplacer(`-a, "rabbit stop"`, "stop_app", `-a, "rabbit start"`, "start_app", ", ", " ").Replace(args[1])
	if strings.Contains(text, " eval ") || !changing.MatchString(text) {
		return change{}, false
	}
	return change{starts: kind[1] == "starts", host: host[1], args: text}, true
}

// countOf tells how many of the changes have the word in them.
func countOf(changes []string, word string) int {
	n := 0
	for _, c := range changes {
		if slices.Contains(strings.Fields(c), word) {
			n++
		}
	}
	return n
}

// clusterState is the resource as the state keeps it.
type clusterState struct {
	ID      string                 `json:"id"`
	Name    string                 `json:"name"`
	Members map[string]memberState `json:"members"`
}

type memberState struct {
	Host    string `json:"host"`
	Type    string `json:"type"`
	Running bool   `json:"running"`
}

// state reads the cluster from the state. The second result is false when there is none in it.
func (w *workspace) state() (clusterState, bool) {
	w.t.Helper()
	o := w.run("show", "-json").succeeds()
	var shown struct {
		Values struct {
			Root struct {
				Resources []struct {
					Address string
					Values  clusterState
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(o.output), &shown); err != nil {
		w.t.Fatalf("show -json: %v\n%s", err, o.output)
	}
	for _, r := range shown.Values.Root.Resources {
		if r.Address == "rabbitmq_cluster.orders" {
			return r.Values, true
		}
	}
	return clusterState{}, false
}

// hasNoState checks that the state does not have the cluster.
func (w *workspace) hasNoState() {
	w.t.Helper()
	if s, has := w.state(); has {
		w.t.Errorf("the state has the cluster: %+v", s)
	}
}
