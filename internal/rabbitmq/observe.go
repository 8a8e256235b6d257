package rabbitmq

import (
	"context"
	"errors"
	"strings"
)

// Condition is what a host that answered says about its broker.
type Condition int

// The conditions. A host that did not answer, and a command that failed, are errors instead.
const (
	Down    Condition = iota // no Erlang node of that name runs
	Stopped                  // the Erlang node runs, the rabbit application does not
	Paused                   // the same, and RabbitMQ stopped it itself and waits to start it again
	Booting                  // the application starts, or waits for its peers
	Running                  // the application runs
)

// Observation is one node as seen from its own host.
type Observation struct {
	Condition Condition
	Facts     Facts
	Status    Status // zero when Down
}

// Observe reads everything about a node: the host's facts first, then the node's own word. Its error means that nothing
// is known: never that the node is gone.
func (n *Node) Observe(ctx context.Context, ask Ask) (Observation, error) {
	facts, err := n.briefly(ctx)
	if err != nil {
		return Observation{}, err
	}
	if facts.CLI == "" {
		return Observation{Facts: facts}, &NotInstalledError{Host: n.host.Address(), CLI: n.config.CLI[0]}
	}
	out, quick := n.evalQuickly(ctx, ask.Expression())
	if !quick && facts.Brief { // who does not answer is looked at as a whole, before it is asked again
		if facts, err = n.Facts(ctx); err != nil {
			return Observation{}, err
		}
	}
	o := Observation{Facts: facts}
	var status Status
	if quick {
		if status, err = n.understand(out, ask); err != nil {
			return o, err
		}
	}
	// erl_call makes no cookie file, and who runs tells of its own whether the CLI can use it.
	if !quick || !status.CookieFile.usableIn(facts.Home) {
		if err := n.checkCookie(ctx, facts.Home); err != nil {
			var missing *CookieMissingError
			if errors.As(err, &missing) && n.atRest(facts) {
				return o, nil // the broker makes its cookie when it first starts
			}
			return o, err
		}
	}
	if !quick && facts.Idle {
		return o, nil
	}
	if !quick {
		status, err = n.statusByCLI(ctx, ask)
	}
	if IsKind(err, NodeDown) || IsKind(err, EpmdUnreachable) && n.withoutEpmd(facts) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	// A container may have a boot id of its own (systemd-nspawn gives it one, measured); its prefix says where it is.
	if n.packaged() && strings.TrimSpace(status.Boot) != facts.Boot && status.Boot != "" && facts.Boot != "" {
		return o, &WrongHostError{Host: n.host.Address(), Node: n.config.Name}
	}
	o.Status = status
	switch {
	case status.Running:
		o.Condition = Running
	case status.Booting:
		o.Condition = Booting
	case status.Paused:
		o.Condition = Paused
	default:
		o.Condition = Stopped
	}
	return o, nil
}

// Doing gives the changes that go on: commands of the CLI on the node's host, and what the node itself carries out for
// others. A node that is down carries out nothing.
func (n *Node) Doing(ctx context.Context) ([]string, error) {
	facts, err := n.briefly(ctx)
	if err != nil || len(facts.Running) > 0 || facts.Idle {
		return facts.Running, err
	}
	status, err := n.Status(ctx, Ask{Work: true})
	if IsKind(err, NodeDown) {
		return nil, nil
	}
	return status.UnderWay, err
}
