//go:build linux

package acceptance

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Two applies of two workspaces at once: one waits for the other, or says for whom it waited in vain.
func TestTwoAppliesTakeTurns(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	everybody := hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`}
	one, other, hasty := newWorkspace(t), newWorkspace(t), newWorkspace(t)
	one.write(everybody)
	other.write(everybody)
	everybody.attributes += "\n  timeouts = { create = \"4s\" }"
	hasty.write(everybody)

	// The first one's join takes until the other one waits, and the hasty one has waited for longer than it may.
	var waiting, inVain outcome
	var others sync.WaitGroup
	join := moment{"join_cluster", second, true}
	held := errors.New("no join came")
	first := one.watch(func(ctx context.Context, _ *exec.Cmd, log string) {
		for line := range follow(ctx, log) {
			if join.comes(line) {
				held = join.freeze(ctx)
				break
			}
		}
		if held != nil {
			return
		}
		waits := make(chan struct{})
		others.Go(func() {
			waiting = other.watch(func(ctx context.Context, _ *exec.Cmd, log string) {
				defer close(waits)
				for line := range follow(ctx, log) {
					if strings.Contains(line, waitsForLock) {
						return
					}
				}
			}, "apply", "-no-color", "-auto-approve")
		})
		inVain = hasty.apply()
		<-waits
		held = join.thaw(ctx)
	}, "apply", "-no-color", "-auto-approve")
	others.Wait()
	if held != nil {
		t.Fatalf("holding the first one %s: %v", join, held)
	}

	first.succeeds()
	waiting.succeeds()
	inVain.fails("Unable to create the cluster", "another run is changing this cluster: host "+rmq1.Address()+" is locked by ", "process ", " on the host", "Nothing was done by this one")
	for name, o := range map[string]outcome{"the one that waited": waiting, "the one that waited in vain": inVain} {
		if c := o.changes(); len(c) > 0 {
			t.Errorf("%s ran %q", name, c)
		}
		if !strings.Contains(o.logged(), waitsForLock) {
			t.Errorf("%s does not say in its log that it waits", name)
		}
	}
	isFormed(t, rmq1, rmq2, rmq3)
	one.planIsEmpty()
	other.planIsEmpty()
	for _, h := range suite.lab.Hosts() {
		if left := on(t, h, "sh", "-c", "ps -eo args= | grep -c 'rabbitmq-topology-hold[s]' || true"); strings.TrimSpace(left) != "0" {
			t.Errorf("on %s a lock is still held: %s", h.Name(), left)
		}
	}
}

// waitsForLock is what a run logs while another one holds the cluster.
const waitsForLock = "waiting for another run that changes this cluster"

// logged is what the provider logged.
func (o outcome) logged() string {
	o.t.Helper()
	text, err := os.ReadFile(o.log)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// A provider that is killed takes its lock with it at once, and one whose connection hangs loses it after a minute.
func TestLockGoesWithItsHolder(t *testing.T) {
	full(t)
	rmq1, rmq2, _ := blank(t)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2)})
	w.applyKilled(moment{"join_cluster", second, false}, w.killProvider)
	began := time.Now()
	o := w.mustApply()
	areOneCluster(t, rmq1, rmq2)
	t.Logf("the next apply took %s", time.Since(began))
	if strings.Contains(o.logged(), "is locked by") && o.took > 30*time.Second {
		t.Errorf("it waited %s for the lock of a run that was killed", o.took)
	}
	w.planIsEmpty()
}
