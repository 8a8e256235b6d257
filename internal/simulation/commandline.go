package simulation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// CommandLine is Terraform's or OpenTofu's own program, with the provider's own program, where [Terraform] is neither.
// It reaches the hosts of a [Network] through a proxy, so that all that can go wrong there can go wrong here. It needs
// real time: a fleet whose seconds are short.
type CommandLine struct {
	path        string // of the program
	dir         string
	env         []string
	parallelism int
	network     *Network
	proxy       *http.Server
	provider    map[string]any // its configuration
	serving     sync.WaitGroup

	mu      sync.Mutex
	running *exec.Cmd
}

// NewCommandLine makes a workspace in dir for a program at path, which finds the provider by the CLI configuration file.
func NewCommandLine(path, dir, config string, parallelism int, n *Network) (*CommandLine, error) {
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &CommandLine{path: path, dir: dir, parallelism: parallelism, network: n, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TF_CLI_CONFIG_FILE=" + config, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
	}}
	login := maps.Clone(providerArguments["ssh"].(map[string]any)) //nolint:forcetypeassert // as it is written
	login["timeout"], login["proxy_url"] = "2s", "http://"+listener.Addr().String()
	c.provider = map[string]any{"ssh": login}
	c.proxy = &http.Server{Handler: http.HandlerFunc(c.connect), ReadHeaderTimeout: time.Minute}
	c.serving.Go(func() { _ = c.proxy.Serve(listener) })
	return c, nil
}

// Close ends the proxy. The network's connections end with the network.
func (c *CommandLine) Close() {
	_ = c.proxy.Close()
	c.serving.Wait()
}

// connect is the proxy: CONNECT to a host of the network, for the run of the program that goes on.
func (c *CommandLine) connect(w http.ResponseWriter, r *http.Request) {
	c.network.mu.Lock()
	wires := c.network.current
	c.network.mu.Unlock()
	host, err := wires.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = host.Close() }()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	client, buffered, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(host, buffered); _ = host.Close() })
	both.Go(func() { _, _ = io.Copy(client, host); _ = client.Close() })
	both.Wait()
}

// Kill ends the provider's processes of the run that goes on with SIGKILL.
func (c *CommandLine) Kill() {
	c.network.Kill()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		return
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.running.Process.Pid))
	for _, thread := range threads(c.running.Process.Pid) {
		more, _ := os.ReadFile(thread + "/children")
		children = append(append(children, ' '), more...)
	}
	for _, pid := range strings.Fields(string(children)) {
		var number int
		if _, err := fmt.Sscan(pid, &number); err != nil {
			continue
		}
		if process, err := os.FindProcess(number); err == nil {
			_ = process.Kill()
		}
	}
}

// threads are the directories of a process's threads: each of them lists the children that it started.
func threads(pid int) []string {
	found, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	return found
}

// Apply writes the configuration and applies it, and tells how many changes the plan had.
func (c *CommandLine) Apply(ctx context.Context, wanted Resources) (int, error) {
	config := map[string]any{
		"terraform": map[string]any{"required_providers": map[string]any{"rabbitmq": map[string]any{"source": "rabbitmq-topology/rabbitmq"}}},
		"provider":  map[string]any{"rabbitmq": c.provider},
	}
	if blocks := wanted.blocks(); len(blocks) > 0 {
		config["resource"] = blocks
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "main.tf.json"), text, 0o600); err != nil {
		return 0, err
	}
	return c.run(ctx, "apply", "-json", "-auto-approve", "-input=false", fmt.Sprintf("-parallelism=%d", c.parallelism))
}

// Destroy destroys everything in state.
func (c *CommandLine) Destroy(ctx context.Context) error {
	_, err := c.Apply(ctx, Resources{})
	return err
}

// run runs the program and reads what it tells.
func (c *CommandLine) run(ctx context.Context, args ...string) (changes int, err error) {
	wires := c.network.open()
	defer wires.cut(false)
	cmd := exec.CommandContext(ctx, c.path, args...) //nolint:gosec // G204: the program under test
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.dir, c.env, 10*time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	c.running = cmd
	c.mu.Unlock()
	ended := cmd.Wait()
	c.mu.Lock()
	c.running = nil
	c.mu.Unlock()
	var exit *exec.ExitError
	if ended != nil && !errors.As(ended, &exit) {
		return 0, ended
	}
	changes, failed := told(&stdout)
	if i := slices.IndexFunc(failed, func(d Diagnostic) bool { return strings.HasPrefix(d.Summary, "Provider ") }); i >= 0 {
		return changes, &BrokenRule{failed[i].Address, failed[i].Summary + ": " + failed[i].Detail}
	}
	switch {
	case len(failed) > 0:
		return changes, failed
	case ended != nil:
		return changes, fmt.Errorf("%s %s: %w without a word of why: %s", c.path, args[0], ended, stderr.String())
	}
	return changes, nil
}

// told reads the program's messages: how many changes it planned, and its errors.
func told(messages io.Reader) (changes int, failed Failed) {
	lines := bufio.NewScanner(messages)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var m struct {
			Type    string `json:"type"`
			Changes struct {
				Add, Change, Remove int
				Operation           string
			} `json:"changes"`
			Diagnostic struct{ Severity, Summary, Detail, Address string } `json:"diagnostic"`
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		if m.Type == "change_summary" && m.Changes.Operation == "plan" {
			changes = m.Changes.Add + m.Changes.Change + m.Changes.Remove
		}
		if d := m.Diagnostic; d.Severity == "error" {
			failed = append(failed, Diagnostic{d.Address, d.Summary, d.Detail})
		}
	}
	return changes, failed
}

// blocks is the JSON form of a configuration. What depends on cookies says so.
func (r Resources) blocks() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, address := range slices.Sorted(maps.Keys(r)) {
		kind, rest, _ := strings.Cut(address, ".")
		name, index, indexed := strings.Cut(rest, "[")
		if all[kind] == nil {
			all[kind] = map[string]any{}
		}
		if !indexed {
			block := maps.Clone(r[address])
			all[kind][name] = block
			continue
		}
		block, there := all[kind][name].(map[string]any)
		if !there {
			block = map[string]any{"for_each": map[string]any{}}
			for argument := range r[address] {
				block[argument] = "${each.value." + argument + "}"
			}
			all[kind][name] = block
		}
		block["for_each"].(map[string]any)[strings.Trim(index, `"]`)] = r[address] //nolint:forcetypeassert // made above
	}
	if cookies := all["rabbitmq_erlang_cookie"]; cookies != nil {
		for kind, blocks := range all {
			if kind == "rabbitmq_erlang_cookie" {
				continue
			}
			for _, block := range blocks {
				block.(map[string]any)["depends_on"] = []string{"rabbitmq_erlang_cookie.this"} //nolint:forcetypeassert // made above
			}
		}
	}
	return all
}

// kept is what of the program's state file is read here.
type kept struct {
	Attributes map[string]any `json:"attributes"`
	Status     string         `json:"status"`
}

// state reads the program's state, by address.
func (c *CommandLine) state() map[string]kept {
	var file struct {
		Resources []struct {
			Type, Name string
			Instances  []struct {
				kept
				Index any `json:"index_key"`
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(c.dir, "terraform.tfstate"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		panic(fmt.Sprintf("reading the state: %v", err))
	}
	all := map[string]kept{}
	for _, r := range file.Resources {
		for _, one := range r.Instances {
			address := r.Type + "." + r.Name
			if key, ok := one.Index.(string); ok {
				address += fmt.Sprintf("[%q]", key)
			}
			all[address] = one.kept
		}
	}
	return all
}

// Addresses are the addresses in state.
func (c *CommandLine) Addresses() []string { return slices.Sorted(maps.Keys(c.state())) }

// Tainted are the addresses that the next apply would replace because their create failed.
func (c *CommandLine) Tainted() []string {
	all := c.state()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(address string) bool { return all[address].Status != "tainted" })
}

// State is the attributes of a resource in state.
func (c *CommandLine) State(address string) map[string]any { return c.state()[address].Attributes }
