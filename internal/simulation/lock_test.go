package simulation

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

func wishFor(nodes ...string) topology.Wish {
	w := topology.Wish{Members: map[string]topology.Type{}, Only: true, AllowDataLoss: true}
	for _, node := range nodes {
		w.Members[node] = topology.Disc
	}
	return w
}

// Two runs want a node for themselves. Whoever comes first has it whole before the other one looks.
func TestTwoRunsTakeTurns(t *testing.T) {
	for _, version := range V {
		synctest.Test(t, func(t *testing.T) {
			f := New(Options{Hosts: 5, Version: version})
			defer f.Close()
			worlds := []*teller{{fleet: f}, {fleet: f}}
			failures := make([]error, 2)
			var runs sync.WaitGroup
			for i, nodes := range [][]string{{"rabbit@rmq1", "rabbit@rmq2", "rabbit@rmq3"}, {"rabbit@rmq3", "rabbit@rmq4", "rabbit@rmq5"}} {
				runs.Go(func() { _, failures[i] = worlds[i].manager(nodes).Converge(t.Context(), wishFor(nodes...)) })
			}
			runs.Wait()
			for i, err := range failures {
				t.Logf("run %d: %s", i+1, strings.Join(worlds[i].result.Log, "\n"))
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
		defer f.Close()
		world := &teller{fleet: f}
		f.Broker("rabbit@rmq2").lockedBy = "by root@elsewhere, process 7, since noon"
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := world.manager(f.Names()).Converge(ctx, wishFor("rabbit@rmq1", "rabbit@rmq2"))
		var busy *cluster.ChangedByOthersError
		if !errors.As(err, &busy) || busy.Host != "rabbit@rmq2" || !strings.Contains(err.Error(), "by root@elsewhere, process 7, since noon, as process 1 on the host") {
			t.Errorf("it ended with %v", err)
		}
		if c := f.Commands(); len(c) > 0 {
			t.Errorf("it ran %v", c)
		}
		if _, err := world.manager([]string{"rabbit@rmq2"}).Converge(t.Context(), wishFor("rabbit@rmq2")); err != nil {
			t.Errorf("a run with nothing to do: %v", err)
		}
	})
}
