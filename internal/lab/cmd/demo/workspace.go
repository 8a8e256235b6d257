package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// workspace is a directory with a configuration and a state, as an operator has it.
type workspace struct {
	cli    string // terraform or tofu
	dir    string
	cookie string
	told   map[string]bool // the warnings that were told since the last plan
}

// findCLI takes RABBITMQ_TEST_CLI, or what is on PATH.
func findCLI() (string, error) {
	for _, name := range []string{os.Getenv("RABBITMQ_TEST_CLI"), "terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is neither terraform nor tofu on PATH: `make demo` builds one")
}

// name is what the operator types.
func (w *workspace) name() string { return filepath.Base(w.cli) }

// build makes the provider and a CLI configuration that uses it, whichever registry the CLI takes for its own.
func (w *workspace) build(ctx context.Context) error {
	bin := filepath.Join(w.dir, "bin")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "terraform-provider-rabbitmq"), "github.com/rabbitmq-topology/terraform-provider-rabbitmq")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the provider: %w\n%s", err, out)
	}
	config := fmt.Sprintf(`provider_installation {
  dev_overrides {
    "registry.terraform.io/rabbitmq-topology/rabbitmq" = %[1]q
    "registry.opentofu.org/rabbitmq-topology/rabbitmq" = %[1]q
  }
}
`, bin)
	// An empty home directory: the user's own settings and keys stay out.
	return errors.Join(os.Mkdir(w.home(), 0o700), os.WriteFile(w.config(), []byte(config), 0o600))
}

func (w *workspace) home() string   { return filepath.Join(w.dir, "home") }
func (w *workspace) config() string { return filepath.Join(w.dir, "cli.tfrc") }

// write makes the configuration for the hosts of a lab, and a cookie for them.
func (w *workspace) write(l *lab.Lab) (string, error) {
	var nodes strings.Builder
	for _, h := range l.Hosts() {
		fmt.Fprintf(&nodes, "    %q = { host = %q }\n", h.NodeName(), h.Address())
	}
	text := fmt.Sprintf(`terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

provider "rabbitmq" {
  ssh = {
    user              = %q
    private_key_file  = %q
    known_hosts_files = [%q]
  }
}

variable "cookie" {
  type      = string
  ephemeral = true
}

locals {
  nodes = {
%s  }
}

resource "rabbitmq_erlang_cookie" "this" {
  for_each         = local.nodes
  host             = each.value.host
  value_wo         = var.cookie
  value_wo_version = 1
}

resource "rabbitmq_cluster" "orders" {
  name       = "orders"
  members    = local.nodes
  depends_on = [rabbitmq_erlang_cookie.this]
}
`, lab.User, l.PrivateKeyFile(), l.KnownHostsFile(), nodes.String())
	w.cookie = rand.Text()
	return text, os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o600)
}

// runTimeout bounds one run of the CLI. It is far more than any needs.
const runTimeout = 5 * time.Minute

// cliRun runs the CLI, tells what a reader needs of its output, and returns all of it. Any other exit code than the
// wanted one is an error with everything that the CLI said.
func (w *workspace) cliRun(ctx context.Context, n *narrator, want int, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.cli, append([]string{args[0], "-no-color"}, args[1:]...)...)
	cmd.Dir = w.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.home(), "TF_CLI_CONFIG_FILE=" + w.config(), "TF_IN_AUTOMATION=1",
		"TF_INPUT=0", "CHECKPOINT_DISABLE=1", "TF_VAR_cookie=" + w.cookie,
	}
	inOwnGroup(cmd)
	cmd.WaitDelay = 10 * time.Second
	var all bytes.Buffer
	if args[0] != "apply" { // an apply repeats the warnings of its plan
		clear(w.told)
	}
	output := &digest{all: &all, tell: n.say, told: w.told}
	cmd.Stdout, cmd.Stderr = output, output
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || (err != nil && !errors.As(err, &exit)) {
		return "", fmt.Errorf("%s: %w", args[0], errors.Join(err, ctx.Err()))
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		return "", fmt.Errorf("%s ended with exit code %d, not %d:\n%s", args[0], code, want, all.String())
	}
	return all.String(), nil
}

// keepsNoCookie checks that the cookie is neither in the state nor in the saved plan, which is a zip file.
func (w *workspace) keepsNoCookie() error {
	state, err := os.Open(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil {
		return err
	}
	kept := []io.ReadCloser{state}
	plan, err := zip.OpenReader(filepath.Join(w.dir, "plan.bin"))
	if err != nil {
		return err
	}
	defer func() { _ = plan.Close() }()
	for _, f := range plan.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		kept = append(kept, r)
	}
	for _, r := range kept {
		text, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte(w.cookie)) {
			return errors.New("the cookie is in the state or in the plan")
		}
	}
	return nil
}
