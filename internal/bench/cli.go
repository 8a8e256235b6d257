package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cli is Terraform or OpenTofu with the provider of this checkout.
type cli struct {
	path string
	dir  string
	env  []string
}

// newCLI builds the provider, stripped as a release is, and a CLI configuration that names it.
func newCLI(ctx context.Context, dir string) (*cli, error) {
	path := ""
	for _, name := range []string{os.Getenv("RABBITMQ_TEST_CLI"), "terraform", "tofu"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, errors.New("there is neither terraform nor tofu on PATH: `make bench` builds one")
	}
	c := &cli{path: path, dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", c.provider(), "github.com/rabbitmq-topology/terraform-provider-rabbitmq")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the provider: %w\n%s", err, out)
	}
	config := fmt.Sprintf(`provider_installation {
  dev_overrides {
    "registry.terraform.io/rabbitmq-topology/rabbitmq" = %[1]q
    "registry.opentofu.org/rabbitmq-topology/rabbitmq" = %[1]q
  }
}
`, filepath.Dir(c.provider()))
	home := filepath.Join(dir, "home")
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "cli.tfrc"),
		"TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
	}
	return c, errors.Join(os.Mkdir(home, 0o700), os.WriteFile(filepath.Join(dir, "cli.tfrc"), []byte(config), 0o600))
}

func (c *cli) provider() string { return filepath.Join(c.dir, "bin", "terraform-provider-rabbitmq") }

// version is what the CLI says of itself: "Terraform v1.11.4".
func (c *cli) version(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, c.path, "version")
	cmd.Env = c.env
	out, _ := cmd.Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// workspace is a directory with one configuration, in the JSON form of the language.
type workspace struct {
	cli *cli
	dir string
}

func (c *cli) workspace(name string, config map[string]any) (workspace, error) {
	w := workspace{cli: c, dir: filepath.Join(c.dir, name)}
	text, err := json.Marshal(config)
	if err != nil {
		return w, err
	}
	return w, errors.Join(os.MkdirAll(w.dir, 0o700), os.WriteFile(filepath.Join(w.dir, "main.tf.json"), text, 0o600))
}

// run runs a command of the CLI; another exit code than the wanted one is an error with all that it printed.
func (w workspace) run(ctx context.Context, want int, args ...string) error {
	return w.runWith(ctx, want, nil, args...)
}

func (w workspace) runWith(ctx context.Context, want int, env []string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.cli.path, append([]string{args[0], "-no-color"}, args[1:]...)...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = w.dir, append(append([]string{}, w.cli.env...), env...), 10*time.Second
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		return fmt.Errorf("%s in %s ended with exit code %d, not %d:\n%s", args[0], w.dir, code, want, all.String())
	}
	return nil
}

// emptyPlan plans, and wants nothing to be planned.
func (w workspace) emptyPlan(ctx context.Context) error {
	return w.run(ctx, 0, "plan", "-detailed-exitcode", "-lock=false")
}

// apply applies without a question.
func (w workspace) apply(ctx context.Context) error { return w.run(ctx, 0, "apply", "-auto-approve") }

// forget drops the state, so that the next apply creates.
func (w workspace) forget() error {
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// commands counts what one run of the CLI starts on hosts, as the provider's own log has it: all commands, and those
// that start one of RabbitMQ's CLI tools.
func (w workspace) commands(ctx context.Context, args ...string) (all, boots int, err error) {
	log := filepath.Join(w.dir, "log")
	if err := w.runWith(ctx, 0, []string{"TF_LOG_PROVIDER=DEBUG", "TF_LOG_PATH=" + log}, args...); err != nil {
		return 0, 0, err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "remote command starts") {
			continue
		}
		all++
		for _, tool := range []string{"rabbitmqctl", "rabbitmq-queues", "rabbitmq-diagnostics", "rabbitmq-streams"} {
			if strings.Contains(line, "["+tool) || strings.Contains(line, `["`+tool) {
				boots++
				break
			}
		}
	}
	return all, boots, os.Remove(log)
}

// peak runs do and returns the most memory, in bytes, that any process of the provider held meanwhile.
func (c *cli) peak(do func() error) (int, error) {
	done := make(chan struct{})
	most := 0
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most = max(most, c.resident())
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	err := do()
	close(done)
	watching.Wait()
	return most, err
}

// resident is the high-water mark of the provider's processes that run now. The kernel keeps it, so that looking now
// and then is enough.
func (c *cli) resident() int {
	most := 0
	found, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range found {
		if target, err := os.Readlink(exe); err != nil || target != c.provider() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, _ := strconv.Atoi(strings.Fields(rest)[0])
				most = max(most, kib<<10)
			}
		}
	}
	return most
}
