package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// machine answers what a host answers while a node boots on it: each look at its port mapper shows the next scene.
type machine struct {
	t      *testing.T
	scenes []string // gone, booting, running
	start  int      // exit code of the start command
	ran    []string
}

func (m *machine) Run(_ context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	if strings.Contains(line, "id -un; id -u") {
		nonce := line[strings.LastIndex(line, " ")+1:]
		_, _ = io.WriteString(stdout, nonce+"\ndeploy\n1000\nyes\n"+nonce+"\n")
		return 0, nil
	}
	m.ran = append(m.ran, line)
	switch {
	case strings.Contains(line, "rabbitmq-server -detached"):
		_, _ = io.WriteString(stderr, "why it failed\n")
		return m.start, nil
	case strings.Contains(line, "/bin/sh -s"):
		script, _ := io.ReadAll(stdin)
		if !strings.Contains(string(script), "facts:") || !strings.Contains(line, "rabbitmqctl ''") {
			m.t.Errorf("a script with a unit, or another one: %s", line)
		}
		_, _ = io.WriteString(stdout, "facts:cli=/usr/sbin/rabbitmqctl\nfacts:epmd=1\nfacts:registered=rabbit\n")
		if m.scene() != "gone" {
			_, _ = io.WriteString(stdout, "facts:registered=hare\n")
		}
		_, _ = io.WriteString(stdout, "facts:end=1\n")
		return 0, nil
	case strings.Contains(line, "eval"):
		scene := m.scene()
		if len(m.scenes) > 1 {
			m.scenes = m.scenes[1:]
		}
		if scene == "gone" {
			_, _ = io.WriteString(stderr, "* hare@rmq1:\n  * epmd reports: node 'hare' not running at all\n")
			return 69, nil
		}
		_, _ = fmt.Fprintf(stdout, "%s{\"node\":\"hare@rmq1\",\"running\":%t,\"booting\":%t,\"store\":\"mnesia\",\"disc\":[\"hare@rmq1\"]}\n", marker, scene == "running", scene == "booting")
		return 0, nil
	case strings.Contains(line, "tail -n 12"):
		_, _ = io.WriteString(stdout, "Failed to start Ranch listener\n")
		return 0, nil
	}
	m.t.Errorf("not expected: %s", line)
	return 1, nil
}

func (m *machine) scene() string { return m.scenes[0] }

func (m *machine) node(c Commands) *Node {
	return New(remote.New(m, "rmq1", remote.Options{Become: true}), Config{Name: "hare@rmq1", Commands: &c})
}

func TestStartCommandNamesItsNodeAndRunsAsTheBroker(t *testing.T) {
	m := &machine{t: t, scenes: []string{"running"}}
	n := m.node(Commands{Start: []string{"rabbitmq-server", "-detached"}, Environment: map[string]string{"RABBITMQ_NODE_PORT": "5673", "A": "b c"}})
	if err := n.StartService(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "sudo -n -H -u rabbitmq -- env 'A=b c' 'RABBITMQ_NODENAME=hare@rmq1' 'RABBITMQ_NODE_PORT=5673' rabbitmq-server -detached"; !strings.HasSuffix(m.ran[len(m.ran)-1], want) {
		t.Errorf("it ran %s", m.ran[len(m.ran)-1])
	}
	long := New(nil, Config{Name: "hare@rmq1.example.com", Commands: &Commands{}})
	if got := strings.Join(long.command([]string{"x"}), " "); got != "env RABBITMQ_NODENAME=hare@rmq1.example.com RABBITMQ_USE_LONGNAME=true x" {
		t.Errorf("a long name: %s", got)
	}
	m.start = 3
	var failed *StartError
	if err := n.StartService(t.Context()); !errors.As(err, &failed) || !strings.Contains(err.Error(), "exit code 3: why it failed") {
		t.Errorf("%v", err)
	}
}

func TestBootIsSeenByTheNodeAndNotByTheCommand(t *testing.T) {
	for name, c := range map[string]struct {
		scenes []string
		fails  string
	}{
		"it runs in the end":   {scenes: []string{"booting", "booting", "running"}},
		"it ends in its boot":  {scenes: []string{"booting", "gone"}, fails: "ended during its boot: its log ends with: Failed to start Ranch listener"},
		"it runs at the first": {scenes: []string{"running"}},
	} {
		m := &machine{t: t, scenes: c.scenes}
		err := m.node(Commands{Start: []string{"rabbitmq-server", "-detached"}}).AwaitService(t.Context())
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEpmdTellsThatANodeIsDown(t *testing.T) {
	n := (&machine{t: t, scenes: []string{"gone"}}).node(Commands{Start: []string{"x"}})
	for _, c := range []struct {
		facts Facts
		rests bool
	}{
		{Facts{EpmdAsked: true, Registered: []string{"rabbit"}}, true},
		{Facts{EpmdAsked: true}, true},
		{Facts{EpmdAsked: true, Registered: []string{"hare"}}, false},
		{Facts{}, false}, // not asked is not known
	} {
		if got := n.atRest(c.facts); got != c.rests {
			t.Errorf("%+v: %t", c.facts, got)
		}
	}
	unit := New(nil, Config{Name: "rabbit@rmq1"})
	if !unit.atRest(Facts{Unit: Unit{Active: "inactive"}}) || unit.atRest(Facts{EpmdAsked: true}) {
		t.Error("a unit tells by its state")
	}
}

func TestCheckCommands(t *testing.T) {
	for _, good := range []map[string]string{nil, {"RABBITMQ_NODENAME": "hare"}, {"RABBITMQ_NODENAME": "hare@rmq1", "X": ""}} {
		if err := CheckCommands("hare@rmq1", Commands{Environment: good}); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []map[string]string{{"RABBITMQ_NODENAME": "rabbit"}, {"RABBITMQ_NODENAME": "hare@rmq2"}, {"": "x"}, {"A=B": "x"}, {"A B": "x"}, {"-i": "x"}} {
		if CheckCommands("hare@rmq1", Commands{Environment: bad}) == nil {
			t.Errorf("%v is let in", bad)
		}
	}
	if err := CheckCommands("", Commands{Environment: map[string]string{"RABBITMQ_NODENAME": "any"}}); err != nil {
		t.Errorf("a node whose name is not known here: %v", err)
	}
}

func TestStoppedContainerIsANodeThatIsDown(t *testing.T) {
	for _, text := range []string{
		"Error response from daemon: Container 3f2a is not running",
		"Error response from daemon: container rmq1 is not running",
		"Error: can only create exec sessions on running containers: container state improper",
	} {
		if got := classify(text); got != NodeDown {
			t.Errorf("%s: %s", text, got)
		}
	}
	if got := classify("Error response from daemon: No such container: rmq9"); got == NodeDown {
		t.Error("a container that is not there is taken for one that is down")
	}
}
