//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// The clock of a host jumps while its node joins, and back while it leaves, and nothing comes of it.
func TestClockJumpsDuringJoinAndLeave(t *testing.T) {
	full(t)
	rmq1, rmq2, _ := blank(t)
	ownClock(t, rmq2)
	s := &storm{w: newWorkspace(t)}
	w := s.w
	w.write(hcl{members: entries(rmq1)})
	w.mustApply()

	w.tell("two hours ahead during the join", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2)})
		m, jump := moment{"join_cluster", second, true}, clockJumped(rmq2, 2*time.Hour)
		s.strikes(m, jump, "apply")
		s.goesOn(m, jump, "apply")
		areOneCluster(t, rmq1, rmq2)
		isAhead(t, rmq2, 2*time.Hour)
		if n := joins(t, rmq2); n != 1 {
			t.Errorf("rmq2 was joined %d times", n)
		}
		w.planIsEmpty()
	})
	w.tell("two days back during the leave", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1)})
		m, jump := moment{"forget_cluster_node", first, true}, clockJumped(rmq2, -48*time.Hour)
		s.strikes(m, jump, "apply")
		s.goesOn(m, jump, "apply")
		areAlone(t, rmq1, rmq2)
		isAhead(t, rmq2, -48*time.Hour)
		w.planIsEmpty()
	})
	s.tells("clocks")
}

// clockFile tells how far the clock of a host's broker is ahead.
const clockFile = "/run/clock"

// ownClock gives a host's broker a clock that can be set, and restarts it. Hosts of a lab share the machine's clock.
func ownClock(t *testing.T, h *lab.Host) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(found) == 0 {
		t.Fatal("the Debian package libfaketime is missing: tools/deps.sh installs it")
	}
	library, err := os.ReadFile(found[0])
	must(t, err)
	must(t, h.WriteFile("/usr/local/lib/clock.so", library, 0o755, "root"))
	on(t, h, "mkdir", "-p", "/etc/systemd/system/rabbitmq-server.service.d")
	must(t, h.WriteFile("/etc/systemd/system/rabbitmq-server.service.d/clock.conf", []byte(`[Service]
Environment=LD_PRELOAD=/usr/local/lib/clock.so FAKETIME_TIMESTAMP_FILE=`+clockFile+` FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
`), 0o644, "root"))
	setClock(t, h, 0)
	on(t, h, "systemctl", "daemon-reload")
	t.Cleanup(func() {
		on(t, h, "sh", "-c", "rm -r /etc/systemd/system/rabbitmq-server.service.d && systemctl daemon-reload")
	})
	restart(t, h)
	isAhead(t, h, 0)
}

func setClock(t *testing.T, h *lab.Host, ahead time.Duration) {
	t.Helper()
	on(t, h, "sh", "-c", fmt.Sprintf("echo %+d > %s", int(ahead.Seconds()), clockFile))
}

// clockJumped sets the clock of a host's broker.
func clockJumped(h *lab.Host, ahead time.Duration) strike {
	return strike{name: "the clock of " + h.Name() + " jumps", unnoticed: true, do: func(w *workspace, _ moment, _ *exec.Cmd) error {
		setClock(w.t, h, ahead)
		return nil
	}}
}

// isAhead checks how far the clock of a host's broker is ahead.
func isAhead(t *testing.T, h *lab.Host, want time.Duration) {
	t.Helper()
	out, _, _ := strings.Cut(ctl(t, h, "-q", "eval", "os:system_time(second)."), "\n")
	seconds, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	must(t, err)
	if got := time.Until(time.Unix(seconds, 0)); (got - want).Abs() > 5*time.Minute {
		t.Errorf("the clock of %s is %s ahead, want %s", h.Name(), got, want)
	}
}
