//go:build linux

package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

const repository = "../.."

// labProvider is the blocks by which a configuration reaches the lab.
func labProvider() string {
	return fmt.Sprintf(`terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

provider "rabbitmq" {
  ssh = {
    user              = %q
    private_key_file  = %q
    known_hosts_files = [%q]
    connect_timeout   = "5s"
  }
}
`, lab.User, suite.lab.PrivateKeyFile(), suite.lab.KnownHostsFile())
}

// writeText makes a text the workspace's configuration.
func (w *workspace) writeText(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// onLab puts the lab's addresses in the place of the documentation's.
func onLab(text string, hosts ...*lab.Host) string {
	for i, address := range []string{"10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"} {
		text = strings.ReplaceAll(text, address, hosts[min(i, len(hosts)-1)].Address())
	}
	return text
}

// exampleFiles are the files of examples/ with one of the endings, as paths below the repository.
func exampleFiles(t *testing.T, ending string) []string {
	t.Helper()
	var files []string
	root := filepath.Join(repository, "examples")
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ending) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// example is a workspace with an example as it stands, its addresses the lab's, and with how the lab is reached.
func example(t *testing.T, text string) *workspace {
	t.Helper()
	w := newWorkspace(t)
	w.env = append(w.env, "TF_VAR_cookie="+sharedCookie)
	reach := labProvider()
	terraform, provider, _ := strings.Cut(reach, "\nprovider")
	provider = "provider" + provider
	if !strings.Contains(text, "required_providers") {
		text = terraform + "\n" + text
	}
	if strings.Contains(text, "\nprovider \"rabbitmq\"") {
		// An override file takes the place of what the example says about ssh.
		if err := os.WriteFile(filepath.Join(w.dir, "lab_override.tf"), []byte(provider), 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		text += "\n" + provider
	}
	w.writeText(text)
	return w
}

func (w *workspace) mustPlan() {
	w.t.Helper()
	if o := w.plan(); o.code != 0 && o.code != 2 {
		w.t.Fatalf("the plan ended with exit code %d", o.code)
	}
}

// Every example is planned for a cluster that was formed by hand, or run as a query or up to the plan of an action.
func TestEveryExampleIsPlanned(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	planned := 0
	for _, file := range exampleFiles(t, ".tf") {
		name := strings.TrimPrefix(file, repository+"/examples/")
		if strings.HasPrefix(name, "resources/rabbitmq_hosts_file/import-by-") {
			continue // there is no block to import on these hosts: the tests of the hosts file import one
		}
		t.Run(name, func(t *testing.T) {
			planned++
			text := onLab(read(t, file), rmq1, rmq2, rmq3)
			switch {
			case strings.HasPrefix(name, "actions/"):
				actionIsPlanned(t, text)
			case strings.HasPrefix(filepath.Base(file), "import-by-"):
				importIsPlanned(t, file, text, rmq1, rmq2, rmq3)
			default:
				example(t, text).mustPlan()
			}
		})
	}
	for _, file := range exampleFiles(t, ".tfquery.hcl") {
		t.Run(strings.TrimPrefix(file, repository+"/examples/"), func(t *testing.T) {
			planned++
			queryIsRun(t, onLab(read(t, file), rmq1, rmq2, rmq3))
		})
	}
	if planned < 20 {
		t.Errorf("only %d examples were found", planned)
	}
}

// importIsPlanned plans the import block beside the resource that it imports to.
func importIsPlanned(t *testing.T, file, text string, hosts ...*lab.Host) {
	resource := onLab(read(t, filepath.Join(filepath.Dir(file), "resource.tf")), hosts...)
	w := example(t, resource+"\n"+text)
	if strings.Contains(file, "identity") {
		w.cli = tofu(t)
	}
	w.mustPlan()
}

// block matches an action or list block of an example with its config.
var block = regexp.MustCompile(`(?s)(action|list) "(\w+)" "(\w+)" \{\n(?:  provider = rabbitmq\n\n)?  config \{(.*?)\n  \}\n\}`)

// configs evaluates the config of the blocks in a text with the command line at hand, which does not know such blocks: as
// the value of an output.
func configs(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	var kinds []string
	for _, found := range block.FindAllStringSubmatch(text, -1) {
		kinds = append(kinds, found[2])
	}
	w := example(t, block.ReplaceAllString(text, "output \"${2}--${3}\" {\n  value = {${4}\n  }\n}"))
	w.mustPlan()
	var shown struct {
		Planned struct {
			Outputs map[string]struct{ Value map[string]any }
		} `json:"planned_values"`
	}
	if err := json.Unmarshal([]byte(w.run("show", "-json", "plan.bin").succeeds().output), &shown); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for name, output := range shown.Planned.Outputs {
		all[name] = output.Value
	}
	if len(all) != len(kinds) || len(kinds) == 0 {
		t.Fatalf("%d blocks, %d configurations", len(kinds), len(all))
	}
	return all
}

func actionIsPlanned(t *testing.T, text string) {
	t.Helper()
	s := serve(t)
	for name, config := range configs(t, text) {
		kind, _, _ := strings.Cut(name, "--")
		schema, there := s.schemas.ActionSchemas[kind]
		if !there {
			t.Fatalf("there is no action %s", kind)
		}
		value := s.value(schema.Schema, config)
		valid, err := s.calls.ValidateActionConfig(t.Context(), &tfprotov6.ValidateActionConfigRequest{ActionType: kind, Config: value})
		if err != nil {
			t.Fatal(err)
		}
		s.noErrors("validate", valid.Diagnostics)
		planned, err := s.calls.PlanAction(t.Context(), &tfprotov6.PlanActionRequest{ActionType: kind, Config: value})
		if err != nil {
			t.Fatal(err)
		}
		s.noErrors("plan", planned.Diagnostics)
	}
}

func queryIsRun(t *testing.T, text string) {
	t.Helper()
	s := serve(t)
	for name, config := range configs(t, text) {
		kind, _, _ := strings.Cut(name, "--")
		found, errs := s.list(kind, config, true, 0)
		if len(errs) > 0 || len(found) != 3 {
			t.Errorf("%s: %v (%v)", name, found, errs)
		}
	}
}
