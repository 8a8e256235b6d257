package cluster

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// refusing is the way to a host whose port refuses connections.
type refusing struct{ asked *atomic.Int32 }

func (r refusing) Run(context.Context, string, io.Reader, io.Writer, io.Writer) (int, error) {
	r.asked.Add(1)
	return -1, &ssh.DialError{Addr: "192.0.2.1:22", Kind: ssh.DialRefused, Err: errors.New("connection refused")}
}

// Each host is waited for once. A second round would double a wait that is long already.
func TestReadOfAClusterThatNobodyAnswersForAsksEachHostOnce(t *testing.T) {
	f := &Fleet{Nodes: map[string]*rabbitmq.Node{}, Memory: &Memory{}}
	known := map[string]topology.Type{}
	asked := map[string]*atomic.Int32{}
	for _, name := range []string{"rabbit@rmq1", "rabbit@rmq2", "rabbit@rmq3"} {
		known[name], asked[name] = topology.Disc, &atomic.Int32{}
		f.Nodes[name] = rabbitmq.New(remote.New(refusing{asked[name]}, name, remote.Options{}), rabbitmq.Config{Name: name})
	}
	_, err := f.Read(t.Context(), known, false)
	var unknown *topology.UnknownError
	if !errors.As(err, &unknown) || len(unknown.Causes) != 3 {
		t.Errorf("got %v", err)
	}
	for name, n := range asked {
		if n.Load() != 1 {
			t.Errorf("%s was asked %d times", name, n.Load())
		}
	}
}

// A glance at one member is enough only when it shows nothing wrong: then nobody else is asked.
func TestGlanceIsEnoughOnlyWithoutTrouble(t *testing.T) {
	both := map[string]topology.Type{"rabbit@a": topology.Disc, "rabbit@b": topology.Disc}
	well := topology.View{State: topology.Running, Members: both, Running: []string{"rabbit@a", "rabbit@b"}}
	alone, one, minority, parted := well, well, well, well
	alone.Members, alone.Running = map[string]topology.Type{"rabbit@b": topology.Disc}, []string{"rabbit@b"}
	one.Running = []string{"rabbit@a"}
	minority.NoMajority = true
	parted.Partitioned = []string{"rabbit@b"}
	for name, c := range map[string]struct {
		view          topology.View
		exactly, node bool
	}{
		"all is well":           {well, true, true},
		"it stands alone":       {alone, false, false},
		"one does not run":      {one, false, false},
		"it has no majority":    {minority, false, false},
		"it was in a partition": {parted, false, false},
	} {
		seen := topology.Snapshot{"rabbit@a": c.view}
		if got := showsExactly(both, seen); got != c.exactly {
			t.Errorf("%s: enough for the cluster: %t", name, got)
		}
		if got := shows("rabbit@b", []string{"rabbit@a"}, seen); got != c.node {
			t.Errorf("%s: enough for a member: %t", name, got)
		}
	}
	if showsExactly(both, topology.Snapshot{}) || shows("rabbit@b", nil, topology.Snapshot{}) {
		t.Error("a glance that nobody answered is enough")
	}
	if shows("rabbit@b", []string{"rabbit@a", "rabbit@c"}, topology.Snapshot{"rabbit@a": well}) {
		t.Error("a glance that does not show one of the peers is enough")
	}
}
