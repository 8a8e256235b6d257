//go:build linux

package acceptance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// A run that is killed half way is made up for by the next one, wherever it was killed, also while what it began goes
// on at the host. No node is joined twice.

// moment is a place in a create of three nodes: the begin or the end of a command on a host.
type moment struct {
	command string
	host    func(*lab.Lab) *lab.Host
	starts  bool
}

func (m moment) String() string {
	return fmt.Sprintf("when %s %s on %s", m.command, map[bool]string{true: "starts", false: "ended"}[m.starts], m.host(suite.lab).Name())
}

// ofStreams is the command that takes a leaver out of its streams, by which it is known: its argument is an expression.
const ofStreams = "rabbit_stream_queue:delete_replica"

// comes tells whether a line of the provider's log says that it has come.
func (m moment) comes(line string) bool {
	if m.command == ofStreams {
		kind, host := remoteCommand.FindStringSubmatch(line), hostField.FindStringSubmatch(line)
		return strings.Contains(line, ofStreams) && kind != nil && (kind[1] == "starts") == m.starts && host != nil && host[1] == m.host(suite.lab).Address()
	}
	c, ok := parseChange(line)
	return ok && c.host == m.host(suite.lab).Address() && c.starts == m.starts && strings.Contains(c.args+" ", " "+m.command+" ")
}

func hostNumber(i int) func(*lab.Lab) *lab.Host {
	return func(l *lab.Lab) *lab.Host { return l.Hosts()[i-1] }
}

var (
	first  = hostNumber(1)
	second = hostNumber(2)
	third  = hostNumber(3)
)

func TestKilledCreateGoesOn(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})

	for _, m := range []moment{
		{"join_cluster", second, true},
		{"stop_app", third, false},
	} {
		w.tell(m.String(), func(*testing.T) {
			w.applyKilled(m, w.killProvider)
			w.hasNoState()
		})
	}
	w.tell("terraform itself, when join_cluster starts on rmq3", func(*testing.T) {
		w.applyKilled(moment{"join_cluster", third, true}, killCLI)
	})
	w.tell("when set_cluster_name starts on rmq1", func(*testing.T) {
		w.applyKilled(moment{"set_cluster_name", first, true}, w.killProvider)
	})
	w.tell("the next apply goes on", func(t *testing.T) {
		w.mustApply()
		isFormed(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})
}

// Every moment there is, each in a create of its own. What was killed when it started takes effect during the next apply.
func TestKilledCreateGoesOnFromEveryStep(t *testing.T) {
	full(t)
	for _, host := range []func(*lab.Lab) *lab.Host{second, third} {
		for _, command := range []string{"stop_app", "join_cluster", "start_app"} {
			for _, starts := range []bool{true, false} {
				killedOnce(t, moment{command, host, starts})
			}
		}
	}
	killedOnce(t, moment{"set_cluster_name", first, true})
	killedOnce(t, moment{"set_cluster_name", first, false})
}

func killedOnce(t *testing.T, m moment) {
	rmq1, rmq2, rmq3 := blank(t)
	t.Run(m.String(), func(t *testing.T) {
		w := newWorkspace(t)
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
		if m.starts {
			w.applyKilled(m, w.delayed(m))
			w.mustRunLate(m, "apply", "-no-color", "-auto-approve")
		} else {
			w.applyKilled(m, w.killProvider)
			w.mustApply()
		}
		isFormed(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})
}

// isFormed checks that the three hosts are one cluster called orders, and that its broker joined each of them once.
func isFormed(t *testing.T, rmq1, rmq2, rmq3 *lab.Host) {
	t.Helper()
	areOneCluster(t, rmq1, rmq2, rmq3)
	if name := clusterStatus(t, rmq2).Name; name != "orders" {
		t.Errorf("the cluster is called %q", name)
	}
	if n := joins(t, rmq1); n != 0 {
		t.Errorf("rmq1 was joined %d times", n)
	}
	for _, h := range []*lab.Host{rmq2, rmq3} {
		if n := joins(t, h); n != 1 {
			t.Errorf("%s was joined %d times, want once", h.Name(), n)
		}
	}
}

// joined is what a broker's log says of itself when it joins: up to 4.2 on Mnesia, and on Khepri.
var joined = regexp.MustCompile(`Clustering with .* as .* node|Already member of cluster|Khepri clustering: Attempt to add node`)

// joins tells how often a join took effect on a node, or was tried on a member, since it was blank.
func joins(t *testing.T, h *lab.Host) int {
	t.Helper()
	log, err := h.ReadFile("/var/log/rabbitmq/" + h.NodeName() + ".log")
	if err != nil {
		t.Fatal(err)
	}
	return len(joined.FindAll(log, -1))
}

// applyKilled applies and kills something at a moment, which must come.
func (w *workspace) applyKilled(m moment, kill func(cmd *exec.Cmd) error) {
	w.t.Helper()
	came := errors.New("it did not come")
	o := w.watch(func(ctx context.Context, cmd *exec.Cmd, log string) {
		for line := range follow(ctx, log) {
			if m.comes(line) {
				came = kill(cmd)
				return
			}
		}
	}, "apply", "-no-color", "-auto-approve")
	if came != nil {
		w.t.Fatalf("killing it %s: %v", m, came)
	}
	if o.code == 0 {
		w.t.Fatalf("the apply survived being killed %s", m)
	}
}

// follow yields the lines of a log as they are written.
func follow(ctx context.Context, path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		wait := func() bool {
			select {
			case <-ctx.Done():
				return false
			case <-tick.C:
				return true
			}
		}
		f, err := os.Open(path)
		for err != nil {
			if !wait() {
				return
			}
			f, err = os.Open(path)
		}
		defer func() { _ = f.Close() }()
		lines, part := bufio.NewReader(f), ""
		for {
			text, err := lines.ReadString('\n')
			part += text
			switch {
			case err == nil:
				if !yield(part) {
					return
				}
				part = ""
			case !errors.Is(err, io.EOF) || !wait():
				return
			}
		}
	}
}

// killProvider ends the provider of a run at once.
func (w *workspace) killProvider(cmd *exec.Cmd) error {
	pids := providersOf(cmd.Process.Pid)
	if len(pids) == 0 {
		return errors.New("no provider runs")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// killCLI ends Terraform at once; its provider is an orphan then.
func killCLI(cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGKILL) }

// providersOf are the processes of a run's group that run the provider's binary.
func providersOf(group int) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != suite.provider {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if g, err := syscall.Getpgid(pid); err == nil && g == group {
			pids = append(pids, pid)
		}
	}
	return pids
}
