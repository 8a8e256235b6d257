package simulation

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// Two runs want a node for themselves. Whoever comes first has it whole before the other one looks.
func TestTwoRunsTakeTurns(t *testing.T) {
	for _, version := range V {
		synctest.Test(t, func(t *testing.T) {
			f := New(Options{Hosts: 5, Version: version})
			n := f.Network()
			defer n.Close()
			defer f.Close()
			f.Consent(true)
			failures := make([]error, 2)
			var runs sync.WaitGroup
			for i, words := range []string{"apply loss rabbit@rmq1 rabbit@rmq2 rabbit@rmq3", "apply loss rabbit@rmq3 rabbit@rmq4 rabbit@rmq5"} {
				tf := &Terraform{Network: n, Provider: providerArguments}
				wanted := parseWish(strings.Fields(words)).resources(f.Names())
				runs.Go(func() { _, failures[i] = tf.Apply(t.Context(), wanted) })
			}
			runs.Wait()
			for i, err := range failures {
				if err != nil {
					t.Errorf("%s: run %d: %v", version, i+1, err)
				}
			}
			// The first one's joins all come before the second one's, which takes rmq3 away from it.
			var joins []string
			for _, c := range f.Commands() {
				if strings.Contains(c.Line, " join_cluster ") {
					joins = append(joins, c.Host)
				}
			}
			first := map[string]bool{"rabbit@rmq1": true, "rabbit@rmq2": true}
			changes := 0
			for i := 1; i < len(joins); i++ {
				if first[joins[i]] != first[joins[i-1]] && joins[i] != "rabbit@rmq3" && joins[i-1] != "rabbit@rmq3" {
					changes++
				}
			}
			if len(joins) != 4 || changes > 1 {
				t.Errorf("%s: the runs joined in the order %v", version, joins)
			}
		})
	}
}

// A run that waits in vain says for whom, and has done nothing. One with nothing to do asks for no lock.
func TestLockedHostIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Hosts: 3, Version: V[0]})
		n := f.Network()
		defer n.Close()
		defer f.Close()
		f.Broker("rabbit@rmq2").lockedBy = "by root@elsewhere, process 7, since noon"
		tf := &Terraform{Network: n, Provider: providerArguments}
		wanted := parseWish(strings.Fields("apply rabbit@rmq1 rabbit@rmq2")).resources(nil)
		wanted[clusterAddress]["timeouts"] = map[string]any{"create": "1m"}
		_, err := tf.Apply(t.Context(), wanted)
		var failed Failed
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "another run is changing this cluster: host rmq2 is locked by root@elsewhere, process 7, since noon, as process 1 on the host") {
			t.Errorf("it ended with %v", err)
		}
		if c := f.Commands(); len(c) > 0 {
			t.Errorf("it ran %v", c)
		}
		if _, err := tf.Apply(t.Context(), parseWish(strings.Fields("apply rabbit@rmq2")).resources(nil)); err != nil {
			t.Errorf("a run with nothing to do: %v", err)
		}
	})
}

// Of several hosts that another run has, the first by name is told, whichever answers first.
func TestOneOfSeveralLocksIsNamed(t *testing.T) {
	for range 8 {
		synctest.Test(t, func(t *testing.T) {
			f := New(Options{Hosts: 4, Version: V[0]})
			n := f.Network()
			defer n.Close()
			defer f.Close()
			for _, name := range f.Names() {
				f.Broker(name).lockedBy = "by root@elsewhere, process 7, since noon"
			}
			wanted := parseWish(append([]string{"apply"}, f.Names()...)).resources(nil)
			wanted[clusterAddress]["timeouts"] = map[string]any{"create": "3s"}
			_, err := (&Terraform{Network: n, Provider: providerArguments}).Apply(t.Context(), wanted)
			if err == nil || !strings.Contains(err.Error(), "another run is changing this cluster: host rmq1 is locked by") {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}
