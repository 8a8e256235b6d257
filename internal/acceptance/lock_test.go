//go:build linux

package acceptance

import (
	"os"
	"strings"
	"testing"
	"time"
)

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
