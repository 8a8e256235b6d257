package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// view turns what a node said, or why it said nothing, into what topology decides on.
func view(o rabbitmq.Observation, err error) topology.View {
	if err != nil {
		state := topology.Failed
		if unreachable(err) {
			state = topology.Unreachable
		}
		return topology.View{State: state, Why: err.Error()}
	}
	s := o.Status
	can := rabbitmq.CapabilitiesOf(s)
	v := topology.View{
		State:      states[o.Condition],
		Running:    s.RunningNodes,
		Name:       s.ClusterName,
		ID:         s.ClusterID,
		Version:    s.Version,
		CookieHash: s.CookieHash,
		Khepri:     s.Store == rabbitmq.Khepri,
		RAMAllowed: can.RAMNodes,
		OnlyKhepri: can.OnlyKhepri,
		NoMajority: !s.MetadataMajority(),
		Holds:      holdings(s.Inventory),
		Discovers:  s.Peers,
		Machine:    s.Boot,
		Addresses:  s.Addresses,
	}
	if s.Lacking != nil {
		v.Lacks = map[string]int{}
		for _, l := range s.Lacking {
			v.Lacks[l.Node] = l.Quorum + len(l.Streams)
		}
	}
	if v.State == topology.Down {
		v.Why = "its service is " + o.Facts.Unit.String()
		if o.Facts.Unit.Active == "" {
			v.Why = "no Erlang node of that name runs on its host"
		}
	}
	if members := s.Members(); len(members) > 0 {
		v.Members = map[string]topology.Type{}
		for _, node := range members {
			v.Members[node] = topology.Disc
		}
		for _, node := range s.RAM {
			v.Members[node] = topology.RAM
		}
	}
	for _, p := range s.Partitions {
		if p.Node == s.Node {
			v.Partitioned = append(v.Partitioned, p.From...)
		}
	}
	if s.Flags != nil {
		v.Flags, v.Applications = map[string]topology.Flag{}, s.Flags.Applications
		for _, f := range s.Flags.Known {
			stays := f.On && (!can.JoinsAsBlank || f.Kind == "deprecated") || f.Kind == "required"
			v.Flags[f.Name] = topology.Flag{Application: f.Application, On: f.On, Stays: stays}
		}
	}
	for _, r := range s.Resolves {
		if v.Resolves == nil {
			v.Resolves = map[string][]string{}
		}
		v.Resolves[r.Host] = r.Addresses
	}
	return v
}

var states = map[rabbitmq.Condition]topology.State{
	rabbitmq.Down:    topology.Down,
	rabbitmq.Stopped: topology.Stopped,
	rabbitmq.Paused:  topology.Paused,
	rabbitmq.Booting: topology.Booting,
	rabbitmq.Running: topology.Running,
}

// unreachable tells whether err means that the host did not answer, as opposed to a host that answered with a failure.
func unreachable(err error) bool {
	var dial *ssh.DialError
	var lost *ssh.ConnectionLostError
	return errors.As(err, &dial) || errors.As(err, &lost) || errors.Is(err, context.DeadlineExceeded)
}

// holdings puts an inventory into words, leaving out what every blank node has.
func holdings(i *rabbitmq.Inventory) *topology.Holdings {
	if i == nil {
		return nil
	}
	h := &topology.Holdings{}
	count := func(n int, what string) {
		if n > 0 {
			h.Counts = append(h.Counts, topology.Count{N: n, What: what})
		}
	}
	named, all := 0, 0
	name := func(n int, what string, names []string) {
		count(n, what)
		all += n
		for _, one := range names {
			if named < maxNamed {
				h.Objects = append(h.Objects, what+" "+one)
				named++
			}
		}
	}
	name(i.VHosts.Count, "vhost", i.VHosts.Names)
	name(i.Users.Count, "user", i.Users.Names)
	name(i.Exchanges.Count, "exchange", i.Exchanges.Names)
	name(i.GlobalParameters.Count, "global parameter", i.GlobalParameters.Names)
	if all > named {
		h.Objects = append(h.Objects, fmt.Sprintf("%d more vhosts, users, exchanges and global parameters", all-named))
	}
	for _, c := range []struct {
		n    int
		what string
	}{{i.Bindings, "binding"}, {i.Policies, "policy"}, {i.Parameters, "parameter"}} {
		count(c.n, c.what)
		if c.n > 0 {
			h.Objects = append(h.Objects, topology.Count{N: c.n, What: c.what}.String())
		}
	}
	for _, q := range i.Queues {
		group := topology.QueueGroup{
			Type:      strings.TrimSuffix(strings.TrimPrefix(q.Type, "rabbit_"), "_queue"),
			Copies:    q.Copies,
			Lame:      q.Lame,
			Exclusive: q.Exclusive,
			Count:     q.Count,
			Messages:  q.Messages,
			Uncounted: q.Uncounted,
		}
		for _, one := range q.Largest {
			messages := fmt.Sprint(one.Messages)
			if one.Messages < 0 {
				messages = "?"
			}
			group.Largest = append(group.Largest, fmt.Sprintf("%s in %s: %s", one.Name, one.VHost, messages))
		}
		h.Queues = append(h.Queues, group)
	}
	return h
}

// maxNamed is how many objects a refusal names before it only counts.
const maxNamed = 12
