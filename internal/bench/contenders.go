package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// stage is three real hosts, and everything that the contenders need to work on them.
type stage struct {
	lab *lab.Lab
	cli *cli
	dir string

	none, cluster, members workspace
}

// contender is one way to do a job.
type contender struct {
	name    string
	prepare func(context.Context) error // before the clock starts
	do      func(context.Context) error
}

// measured is what one contender took.
type measured struct {
	Name string
	Wall []time.Duration
	CPU  []float64 // seconds that the three hosts burned
}

// prepare writes the files of all contenders.
func (s *stage) prepare(ctx context.Context) (err error) {
	members, peers := map[string]any{}, map[string]any{}
	for _, h := range s.lab.Hosts() {
		members[h.NodeName()] = map[string]any{"host": h.Address()}
		peers[h.NodeName()] = map[string]any{"host": h.Address()}
	}
	provider := map[string]any{"rabbitmq": map[string]any{"ssh": map[string]any{
		"user": lab.User, "private_key_file": s.lab.PrivateKeyFile(), "known_hosts_files": []string{s.lab.KnownHostsFile()},
	}}}
	config := func(resource map[string]any) map[string]any {
		return map[string]any{"terraform": required, "provider": provider, "resource": resource}
	}
	if s.none, err = s.cli.workspace("none", map[string]any{"locals": map[string]any{}}); err != nil {
		return err
	}
	if s.cluster, err = s.cli.workspace("cluster", config(map[string]any{"rabbitmq_cluster": map[string]any{"this": map[string]any{"members": members}}})); err != nil {
		return err
	}
	if s.members, err = s.cli.workspace("members", config(map[string]any{"rabbitmq_cluster_member": map[string]any{"this": map[string]any{
		"for_each": members, "node": "${each.key}", "host": "${each.value.host}", "peers": peers,
	}}})); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(s.dir, 0o700), s.writeAnsible(), s.lendPython(ctx))
}

// lendPython puts this machine's Python on the hosts: Ansible needs one there, and they reach no package archive.
func (s *stage) lendPython(ctx context.Context) error {
	const files = `{ dpkg -L python3 python3-minimal python3.11 python3.11-minimal libpython3-stdlib libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libsqlite3-0 libffi8 libreadline8 libbz2-1.0 liblzma5 libuuid1 2>/dev/null || :; } |` +
		` sort -u | while read -r f; do test -d "$f" && ! test -L "$f" || echo "$f"; done`
	archive, err := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail; "+files+" | tar -c --ignore-failed-read -f - -T - 2>/dev/null").Output()
	if err != nil {
		return fmt.Errorf("packing this machine's Python: %w", err)
	}
	for _, h := range s.lab.Hosts() {
		if _, err := h.RunInput(ctx, bytes.NewReader(archive), "tar", "-x", "--keep-old-files", "--warning=none", "-C", "/"); err != nil {
			var failed *lab.CommandError
			if !errors.As(err, &failed) { // what is there already is kept, and told of by the exit code
				return err
			}
		}
		if _, err := h.Run(ctx, "python3", "-c", "import json, subprocess, ssl, hashlib, tempfile, zipfile"); err != nil {
			return fmt.Errorf("the hosts have no Python that runs: %w", err)
		}
	}
	return nil
}

var required = map[string]any{"required_providers": map[string]any{"rabbitmq": map[string]any{"source": "rabbitmq-topology/rabbitmq"}}}

// writeAnsible writes an inventory and the playbooks, as short as they can be: no facts, one command a task. Some form the
// cluster without a look, and fail when they are run again; one joins whoever is outside, and sees that they are in.
func (s *stage) writeAnsible() error {
	var inventory strings.Builder
	fmt.Fprintln(&inventory, "[nodes]")
	for _, h := range s.lab.Hosts() {
		fmt.Fprintf(&inventory, "%s ansible_host=%s\n", h.Name(), h.Address())
	}
	fmt.Fprintf(&inventory, "[nodes:vars]\nansible_user=%s\nansible_ssh_private_key_file=%s\nansible_ssh_common_args='-o UserKnownHostsFile=%s -o GlobalKnownHostsFile=/dev/null'\nansible_python_interpreter=/usr/bin/python3\n",
		lab.User, s.lab.PrivateKeyFile(), s.lab.KnownHostsFile())
	seed := s.lab.Hosts()[0].NodeName()
	form := func(become string) string {
		return `- hosts: nodes[1:]
  gather_facts: false
  serial: 1
  ` + become + `
  tasks:
    - command: rabbitmqctl stop_app
    - command: rabbitmqctl join_cluster ` + seed + `
    - command: rabbitmqctl start_app
`
	}
	files := map[string]string{
		"inventory":   inventory.String(),
		"ansible.cfg": "[ssh_connection]\ncontrol_path_dir = " + filepath.Join(s.dir, "cp") + "\n",
		"check.yml": `- hosts: nodes
  gather_facts: false
  become: true
  become_user: rabbitmq
  tasks:
    - command: rabbitmqctl -q cluster_status --formatter json
      changed_when: false
`,
		"form.yml": form("become: true"),
		// As an account that is neither root nor the login's, which takes pipelining, and skips Debian's wrapper for root.
		"form-piped.yml": form("become: true\n  become_user: rabbitmq"),
		"form-again.yml": `- hosts: nodes
  gather_facts: false
  become: true
  become_user: rabbitmq
  tasks:
    - command: rabbitmqctl -q cluster_status --formatter json
      register: before
      changed_when: false
- hosts: nodes[1:]
  gather_facts: false
  serial: 1
  become: true
  become_user: rabbitmq
  tasks:
    - when: "'` + seed + `' not in (before.stdout | from_json).running_nodes"
      block:
        - command: rabbitmqctl stop_app
        - command: rabbitmqctl join_cluster ` + seed + `
        - command: rabbitmqctl start_app
    - command: rabbitmqctl -q cluster_status --formatter json
      register: after
      changed_when: false
      failed_when: "'` + seed + `' not in (after.stdout | from_json).running_nodes"
`,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// checking are the ways to see that three nodes are still the cluster that they were.
func (s *stage) checking() []contender {
	adopt := func(w workspace) func(context.Context) error {
		return func(ctx context.Context) error {
			if _, err := os.Stat(filepath.Join(w.dir, "terraform.tfstate")); err == nil {
				return s.setErlCall(ctx, true)
			}
			return errors.Join(s.setErlCall(ctx, true), w.apply(ctx))
		}
	}
	without := func(ctx context.Context) error { return s.setErlCall(ctx, false) }
	return []contender{
		{name: emptyPlan, do: s.none.emptyPlan},
		{name: clusterPlan, prepare: adopt(s.cluster), do: s.cluster.emptyPlan},
		{name: membersPlan, prepare: adopt(s.members), do: s.members.emptyPlan},
		{name: clusterPlanCLI, prepare: without, do: s.cluster.emptyPlan},
		{name: membersPlanCLI, prepare: without, do: s.members.emptyPlan},
		{name: floor, do: func(ctx context.Context) error {
			return s.ssh(ctx, s.lab.Hosts()[0], "sudo -n -u rabbitmq rabbitmqctl -q cluster_status --formatter json")
		}},
		{name: ansiblePiped, prepare: s.hangUp, do: func(ctx context.Context) error { return s.playbook(ctx, true, "check.yml") }},
	}
}

// forming are the ways to make three blank nodes one cluster.
func (s *stage) forming() []contender {
	blank := func(ctx context.Context) error { return errors.Join(s.lab.BlankAll(ctx), s.hangUp(ctx)) }
	seed := s.lab.Hosts()[0].NodeName()
	return []contender{
		{name: ansible, prepare: blank, do: func(ctx context.Context) error { return s.playbook(ctx, false, "form.yml") }},
		{name: ansiblePiped, prepare: blank, do: func(ctx context.Context) error { return s.playbook(ctx, true, "form-piped.yml") }},
		{name: ansibleAgain, prepare: blank, do: func(ctx context.Context) error { return s.playbook(ctx, true, "form-again.yml") }},
		{name: shell, prepare: blank, do: func(ctx context.Context) error {
			for _, h := range s.lab.Hosts()[1:] {
				ctl := "sudo -n -u rabbitmq rabbitmqctl "
				if err := s.ssh(ctx, h, ctl+"stop_app && "+ctl+"join_cluster "+seed+" && "+ctl+"start_app"); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: clusterPlan, prepare: func(ctx context.Context) error {
			return errors.Join(blank(ctx), s.cluster.forget(), s.members.forget())
		}, do: s.cluster.apply},
	}
}

// The contenders' names.
const (
	emptyPlan      = "the CLI alone, a plan without resources"
	clusterPlan    = "this provider, rabbitmq_cluster"
	membersPlan    = "this provider, three rabbitmq_cluster_member"
	clusterPlanCLI = "this provider, rabbitmq_cluster, without erl_call"
	membersPlanCLI = "this provider, three rabbitmq_cluster_member, without erl_call"
	floor          = "one SSH login and one cluster_status"
	ansible        = "Ansible, as it is installed"
	ansiblePiped   = "Ansible, pipelined"
	ansibleAgain   = "Ansible, pipelined, may be run again"
	shell          = "a shell loop over ssh"
)

// hangUp ends the connections that Ansible leaves open for a minute: a playbook that is run every five minutes, or once,
// finds none, and neither does anybody else here.
func (s *stage) hangUp(ctx context.Context) error {
	masters, err := filepath.Glob(filepath.Join(s.dir, "cp", "*"))
	for _, master := range masters {
		failed := command(ctx, s.dir, "ssh", "-F", "/dev/null", "-o", "ControlPath="+master, "-O", "exit", "any")
		if _, there := os.Stat(master); failed != nil && there == nil { // else its minute is over
			err = errors.Join(err, failed)
		}
	}
	return err
}

// measure lets the contenders take turns, so that whatever else the machine does falls on all of them alike.
func (s *stage) measure(ctx context.Context, rounds int, contenders []contender) ([]measured, error) {
	all := make([]measured, len(contenders))
	for round := range rounds {
		for i, c := range contenders {
			all[i].Name = c.name
			if c.prepare != nil {
				if err := c.prepare(ctx); err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
			}
			before, err := s.cpu()
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if err := c.do(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			wall := time.Since(began)
			after, err := s.cpu()
			if err != nil {
				return nil, err
			}
			all[i].Wall, all[i].CPU = append(all[i].Wall, wall), append(all[i].CPU, after-before)
			fmt.Fprintf(os.Stderr, "round %d: %-60s %6.2f s\n", round+1, c.name, wall.Seconds())
		}
	}
	return all, s.setErlCall(ctx, true)
}

// cpu is what the hosts have burned so far, in seconds.
func (s *stage) cpu() (float64, error) {
	sum := 0.0
	for _, h := range s.lab.Hosts() {
		seconds, err := h.CPUSeconds()
		if err != nil {
			return 0, err
		}
		sum += seconds
	}
	return sum, nil
}

// setErlCall lets the hosts have erl_call, or not.
func (s *stage) setErlCall(ctx context.Context, there bool) error {
	mode := "a-x"
	if there {
		mode = "a+x"
	}
	for _, h := range s.lab.Hosts() {
		if _, err := h.Run(ctx, "sh", "-c", "chmod "+mode+` "$(readlink -f /usr/bin/erl_call)"`); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) ssh(ctx context.Context, h *lab.Host, line string) error {
	return command(ctx, s.dir, "ssh", "-F", "/dev/null", "-i", s.lab.PrivateKeyFile(), "-o", "UserKnownHostsFile="+s.lab.KnownHostsFile(),
		"-o", "BatchMode=yes", lab.User+"@"+h.Address(), line)
}

// playbook runs one with Ansible's own settings, or with pipelining, its fast way, which it leaves off by itself.
func (s *stage) playbook(ctx context.Context, piped bool, name string) error {
	var argv []string
	if piped {
		argv = []string{"env", "ANSIBLE_PIPELINING=true"}
	}
	return command(ctx, s.dir, append(argv, "ansible-playbook", "-i", "inventory", name)...)
}

func command(ctx context.Context, dir string, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, all.String())
	}
	return nil
}

// countBoots counts the commands of a plan and of a create.
func (s *stage) countBoots(ctx context.Context, r *results) error {
	plan := []string{"plan", "-lock=false"}
	for _, c := range []struct {
		name    string
		w       workspace
		erlCall bool
		args    []string
	}{
		{"plan, rabbitmq_cluster", s.cluster, true, plan},
		{"plan, three rabbitmq_cluster_member", s.members, true, plan},
		{"plan, rabbitmq_cluster, without erl_call", s.cluster, false, plan},
		{"plan, three rabbitmq_cluster_member, without erl_call", s.members, false, plan},
		{"create of three, two joins", s.cluster, true, []string{"apply", "-auto-approve"}},
	} {
		if c.args[0] == "apply" {
			if err := errors.Join(s.lab.BlankAll(ctx), c.w.forget()); err != nil {
				return err
			}
		}
		if err := s.setErlCall(ctx, c.erlCall); err != nil {
			return err
		}
		before, err := s.cpu()
		if err != nil {
			return err
		}
		all, boots, err := c.w.commands(ctx, c.args...)
		if err != nil {
			return err
		}
		after, err := s.cpu()
		if err != nil {
			return err
		}
		r.Boots = append(r.Boots, counted{Name: c.name, Commands: all, Boots: boots, CPU: after - before})
	}
	return nil
}
