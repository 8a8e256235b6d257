//go:build linux

package acceptance

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fence matches the code blocks of a guide.
var fence = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// A newcomer with a running cluster gets from nothing to an empty plan with what the guide says and nothing else.
func TestAdoptionByTheGuideAloneOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	cli := filepath.Base(suite.cli)
	var written, commands string
	for _, found := range fence.FindAllStringSubmatch(read(t, repository+"/templates/guides/adopt-a-cluster.md.tmpl"), -1) {
		switch {
		case found[1] == "terraform" && (written == "" || cli == "tofu"):
			written += found[2]
		case found[1] == "shell" && strings.HasPrefix(found[2], cli):
			commands = found[2]
		}
	}
	// OpenTofu does not generate the resource: https://github.com/opentofu/opentofu/issues/3978.
	if lines := strings.Count(strings.TrimSpace(written), "\n") + 1; cli == "terraform" && lines >= 10 {
		t.Errorf("the guide has its reader write %d lines", lines)
	}
	w := newWorkspace(t)
	w.env = append(w.env, "RABBITMQ_SSH_PRIVATE_KEY_FILE="+suite.lab.PrivateKeyFile(), "RABBITMQ_SSH_KNOWN_HOSTS_FILES="+suite.lab.KnownHostsFile())
	w.writeText(onLab(written, rmq1, rmq2, rmq3))
	ran := 0
	for line := range strings.Lines(commands) {
		args := strings.Fields(line)
		if len(args) < 2 || args[0] != cli || args[1] == "init" { // overrides need no init
			continue
		}
		ran++
		o := w.run(append([]string{args[1], "-no-color"}, args[2:]...)...)
		if ran < 3 {
			o.succeeds()
		} else if o.code != 0 {
			t.Errorf("the plan at the guide's end is not empty: exit code %d", o.code)
		}
		if c := o.changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
	}
	if ran != 3 {
		t.Errorf("the guide has %d commands", ran)
	}
	s, has := w.state()
	if !has || len(s.Members) != 3 || s.Members[rmq1.NodeName()].Host != rmq1.Address() {
		t.Errorf("the state has %+v", s)
	}
	areOneCluster(t, rmq1, rmq2, rmq3)
}
