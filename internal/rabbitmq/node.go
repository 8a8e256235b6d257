// Package rabbitmq is one node as RabbitMQ itself sees it: the commands of rabbitmqctl, what they print, what they
// fail with, and the service that runs the broker.
//
// The facts about RabbitMQ in this package were measured on 3.8.9, 3.10.8, 4.0.5 and 4.3.6; testdata holds what the
// brokers printed.
package rabbitmq

import (
	"context"
	_ "embed" // streams.erl
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// Account is the account that RabbitMQ's packages run the broker as.
const Account = "rabbitmq"

// Config says how a node is driven. The zero value of each field is the package's default.
type Config struct {
	Name    string   // the Erlang node name; empty for the host's default node
	CLI     []string // argv prefix that stands for rabbitmqctl; default: rabbitmqctl as the broker's account
	Service string   // the systemd unit; default rabbitmq-server
	// Commands take the unit's place where there is none.
	Commands *Commands
}

// Node is one RabbitMQ node, driven through a host: its own, or a peer's when its own cannot be reached.
type Node struct {
	host   *remote.Host
	config Config
	quick  *quickCarrier
}

// New returns the node that config describes, driven on its own host.
func New(host *remote.Host, config Config) *Node {
	if len(config.CLI) == 0 {
		config.CLI = []string{"rabbitmqctl"}
	}
	if config.Service == "" && config.Commands == nil {
		config.Service = "rabbitmq-server"
	}
	return &Node{host: host, config: config, quick: &quickCarrier{}}
}

// Through returns the node of another name, driven with `rabbitmqctl -n` from this node's host.
func (n *Node) Through(name string) *Node {
	config := n.config
	config.Name = name
	return &Node{host: n.host, config: config, quick: n.quick}
}

// Name returns the Erlang node name.
func (n *Node) Name() string { return n.config.Name }

// Address returns the address of the host that the node is driven through.
func (n *Node) Address() string { return n.host.Address() }

// LockHost takes the lock of the host that the node is driven through, as remote.Host.Lock.
func (n *Node) LockHost(ctx context.Context, holder string) (*remote.Lock, error) {
	return n.host.Lock(ctx, holder)
}

// reads are bounded: a rabbitmqctl against an unresolvable name took 50 s (measured), a broker that does not answer
// takes longer.
const readTimeout = 60 * time.Second

// packaged tells whether rabbitmqctl is the distribution's, and not a container's or the user's own wrapper.
func (n *Node) packaged() bool {
	return len(n.config.CLI) == 1 && path.Base(n.config.CLI[0]) == "rabbitmqctl"
}

// account is who runs the CLI. Debian's wrapper re-evaluates the arguments in a second shell when root calls it: a
// cluster name with $(…) in it was executed (measured on all versions). The broker's own account skips that shell.
func (n *Node) account() string {
	if n.packaged() {
		return Account
	}
	return "root"
}

// tool returns the argv for a sibling of rabbitmqctl, such as rabbitmq-queues.
func (n *Node) tool(name string, args ...string) []string {
	argv := append([]string{}, n.config.CLI...)
	last := len(argv) - 1
	argv[last] = strings.TrimSuffix(argv[last], "rabbitmqctl") + name
	if n.config.Name != "" {
		argv = append(argv, "-n", n.config.Name)
	}
	if LongName(n.config.Name) { // else the CLI gives itself a short name, and the two kinds do not connect
		argv = append(argv, "--longnames")
	}
	return append(argv, args...)
}

// run runs a command and returns what it printed. A failure that RabbitMQ reported is a *CommandError; any other error
// leaves open whether the command took effect.
func (n *Node) run(ctx context.Context, timeout time.Duration, argv []string) ([]byte, error) {
	result, err := n.host.Run(ctx, remote.Command{Args: argv, User: n.account(), Timeout: timeout})
	if err != nil {
		return nil, err
	}
	if result.ExitCode == 0 {
		return result.Stdout, nil
	}
	return nil, n.failed(argv, result)
}

// failed is what a command that ran says of its failure.
func (n *Node) failed(argv []string, result remote.Result) error {
	all := string(result.Stderr) + "\n" + string(result.Stdout)
	return &CommandError{
		Host:    n.host.Address(),
		Node:    n.config.Name,
		Command: short(argv),
		Exit:    result.ExitCode,
		Kind:    classifyFor(n.config.Name, all),
		Text:    cause(result.Stdout, result.Stderr),
	}
}

// short leaves an Erlang expression out of what is shown.
func short(argv []string) []string {
	shown := append([]string{}, argv...)
	for i := range shown {
		if i > 0 && shown[i-1] == "eval" {
			shown[i] = "…"
		}
	}
	return shown
}

// Status asks the node for its own word: membership, state and whatever ask names. Where the host has an erl_call that
// may be run it answers in milliseconds; otherwise, and to find out why it did not answer, rabbitmqctl is started once.
func (n *Node) Status(ctx context.Context, ask Ask) (Status, error) {
	if out, ok := n.evalQuickly(ctx, ask.Expression()); ok {
		return n.understand(out, ask)
	}
	return n.statusByCLI(ctx, ask)
}

func (n *Node) statusByCLI(ctx context.Context, ask Ask) (Status, error) {
	out, err := n.run(ctx, readTimeout, n.tool("rabbitmqctl", "-q", "eval", ask.Expression()))
	if err != nil {
		return Status{}, err
	}
	return n.understand(out, ask)
}

// understand reads what the probe printed.
func (n *Node) understand(out []byte, ask Ask) (Status, error) {
	status, err := parseProbe(out)
	if err != nil {
		return Status{}, &ProbeError{Host: n.host.Address(), Node: n.config.Name, Reason: err.Error(), Output: string(out)}
	}
	if status.Running && (ask.Overview && status.Overview == nil || ask.Lag && status.Lag == nil) || ask.Hints && status.Hints == nil {
		return Status{}, &ProbeError{Host: n.host.Address(), Node: n.config.Name, Reason: "it left out what it was asked for", Output: string(out)}
	}
	if n.config.Name != "" && status.Node != n.config.Name {
		return Status{}, &ProbeError{Host: n.host.Address(), Node: n.config.Name, Reason: fmt.Sprintf("the node that answered is %s", status.Node), Output: string(out)}
	}
	return status, nil
}

// change runs a command that changes something. It has no bound of its own: only ctx ends the wait, and the command
// goes on at the host even then (measured), which is why its outcome is read from the state and never from here.
func (n *Node) change(ctx context.Context, argv ...string) error {
	_, err := n.run(ctx, 0, argv)
	return err
}

// StopApp stops the rabbit application and leaves the Erlang node up. It is no error when it is stopped already.
func (n *Node) StopApp(ctx context.Context) error {
	if called, err := n.callQuickly(ctx, "rabbit stop"); called {
		return err
	}
	return n.change(ctx, n.tool("rabbitmqctl", "stop_app")...)
}

// StartApp starts the rabbit application and returns when its boot ended. It is no error when it runs already.
func (n *Node) StartApp(ctx context.Context) error {
	if called, err := n.callQuickly(ctx, "rabbit start"); called {
		return err
	}
	return n.change(ctx, n.tool("rabbitmqctl", "start_app")...)
}

// JoinCluster makes this node, whose application is stopped, a member of seed's cluster. RabbitMQ resets the node
// first, on every version and without a word about what it held.
func (n *Node) JoinCluster(ctx context.Context, seed string, ram bool) error {
	argv := n.tool("rabbitmqctl", "join_cluster", seed)
	if ram {
		argv = append(argv, "--ram")
	}
	return n.change(ctx, argv...)
}

// ForgetClusterNode makes this running member drop another one, which must be stopped.
func (n *Node) ForgetClusterNode(ctx context.Context, other string) error {
	return n.change(ctx, n.tool("rabbitmqctl", "forget_cluster_node", other)...)
}

// Reset wipes the node, whose application is stopped, and takes it out of its cluster.
func (n *Node) Reset(ctx context.Context) error {
	return n.change(ctx, n.tool("rabbitmqctl", "reset")...)
}

// ForceReset wipes the node, whose application is stopped, without a word to the members that it remembers. On Mnesia alone.
func (n *Node) ForceReset(ctx context.Context) error {
	return n.change(ctx, n.tool("rabbitmqctl", "force_reset")...)
}

// ChangeType makes this member, whose application is stopped, a disc or a RAM node. It rejoins to do so.
func (n *Node) ChangeType(ctx context.Context, ram bool) error {
	kind := "disc"
	if ram {
		kind = "ram"
	}
	return n.change(ctx, n.tool("rabbitmqctl", "change_cluster_node_type", kind)...)
}

// SetClusterName names the cluster that this running node is a member of.
func (n *Node) SetClusterName(ctx context.Context, name string) error {
	return n.change(ctx, n.tool("rabbitmqctl", "set_cluster_name", name)...)
}

// ShrinkQueues takes the replicas of all quorum queues off another node. 3.8 needs it: its forget leaves ghosts.
func (n *Node) ShrinkQueues(ctx context.Context, other string) error {
	return n.change(ctx, n.tool("rabbitmq-queues", "shrink", other)...)
}

//go:embed streams.erl
var streamsSource string

// ShrinkStreams takes another member, which runs, out of whatever streams have on it, and does nothing when it is not in
// it. No command of RabbitMQ does so for all of them, nor for the Raft group that coordinates them.
func (n *Node) ShrinkStreams(ctx context.Context, other string) error {
	return n.change(ctx, n.tool("rabbitmqctl", "-q", "eval", strings.Replace(oneLine(streamsSource), "NODE", other, 1))...)
}

// GrowQueues gives all quorum queues a replica on another member that runs, as far as they have none there, and returns
// what RabbitMQ said of each queue.
func (n *Node) GrowQueues(ctx context.Context, other string) (string, error) {
	out, err := n.run(ctx, 0, n.tool("rabbitmq-queues", "grow", other, "all"))
	return excerpt(string(out)), err
}

// AddStreamReplica gives a stream a replica on another member that runs. 3.8 has no streams, so that it is never asked.
// Debian leaves the program rabbitmq-streams out up to 4.0 (seen on 3.10.8); rabbitmqctl is the same program, told which of
// its names it has.
func (n *Node) AddStreamReplica(ctx context.Context, s Stream, other string) error {
	return n.change(ctx, n.tool("rabbitmqctl", "--script-name", "rabbitmq-streams", "add_replica", "--vhost", s.VHost, s.Name, other)...)
}

// IsKind tells whether err is a RabbitMQ command's failure of one of these kinds.
func IsKind(err error, kinds ...Kind) bool {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return false
	}
	for _, k := range kinds {
		if failed.Kind == k {
			return true
		}
	}
	return false
}
