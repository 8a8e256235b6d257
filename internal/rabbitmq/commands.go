package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// Commands start and stop a broker that no systemd unit of its own runs: one of several nodes on a host, or one in a
// container. They run as the account that rabbitmqctl runs as.
type Commands struct {
	Start       []string          // must return once the broker is on its way, as `rabbitmq-server -detached` does
	Stop        []string          // default: rabbitmqctl stop
	Environment map[string]string // of both; seen in the host's process list, so that none of it may be a secret
}

const (
	// commandTimeout bounds a start command. It has to return; the boot is waited for by the node's state.
	commandTimeout = 2 * time.Minute
	// appears is how long a node may take until it is registered, after its start command returned.
	appears = time.Minute
	// pollCLI is how often a node's state is asked for where that takes a start of the CLI.
	pollCLI = time.Second
)

// CheckCommands says in a sentence what is wrong with the commands of a node, or returns nil.
func CheckCommands(node string, c Commands) error {
	for name := range c.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00 ") || strings.HasPrefix(name, "-") {
			return fmt.Errorf("%q is no name of an environment variable", name)
		}
	}
	own, _, _ := strings.Cut(node, "@")
	named, given := c.Environment[nodeNameVariable]
	name, host, long := strings.Cut(named, "@")
	if given && node != "" && (name != own || long && host != HostPart(node)) {
		return fmt.Errorf("%s is %q in the environment of its commands, and the node is %s: another node would be started", nodeNameVariable, named, node)
	}
	return nil
}

const (
	nodeNameVariable = "RABBITMQ_NODENAME"
	longNameVariable = "RABBITMQ_USE_LONGNAME"
)

// command gives the argv of a command with its environment. sudo drops the environment, so that env sets it behind sudo.
func (n *Node) command(args []string) []string {
	environment := maps.Clone(n.config.Commands.Environment)
	if environment == nil {
		environment = map[string]string{}
	}
	if _, given := environment[nodeNameVariable]; !given && n.config.Name != "" && n.packaged() {
		environment[nodeNameVariable] = n.config.Name
	}
	if _, given := environment[longNameVariable]; !given && n.packaged() && strings.Contains(HostPart(n.config.Name), ".") {
		environment[longNameVariable] = "true" // a name with a dot is none to a node that goes by short ones
	}
	if len(environment) == 0 {
		return args
	}
	argv := []string{"env"}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		argv = append(argv, name+"="+environment[name])
	}
	return append(argv, args...)
}

// startByCommand runs the start command. Whether the broker starts is for awaitStarted to see.
func (n *Node) startByCommand(ctx context.Context) error {
	argv := n.command(n.config.Commands.Start)
	result, err := n.host.Run(ctx, remote.Command{Args: argv, User: n.account(), Timeout: commandTimeout})
	var late *remote.TimeoutError
	switch {
	case errors.As(err, &late) && late.Timeout > 0:
		return &StartError{Host: n.host.Address(), Node: n.config.Name, Command: argv, Text: fmt.Sprintf("the command has not returned within %s. It must return once the broker is on its way, as `rabbitmq-server -detached` does; the broker may be starting all the same", commandTimeout)}
	case err != nil:
		return err
	case result.ExitCode != 0:
		return &StartError{Host: n.host.Address(), Node: n.config.Name, Command: argv, Text: fmt.Sprintf("exit code %d: %s", result.ExitCode, cause(result.Stdout, result.Stderr))}
	}
	return nil
}

// StartError is a start command that did not bring its node up.
type StartError struct {
	Host, Node string
	Command    []string
	Text       string
}

// Error implements error.
func (e *StartError) Error() string {
	return fmt.Sprintf("`%s` on host %s does not start node %s: %s. Next: run it there by hand as the account %s, and look at the node's log", strings.Join(e.Command, " "), e.Host, e.Node, strings.TrimRight(e.Text, "."), Account)
}

// awaitStarted waits until the node runs. No exit code tells that: the start command returns long before, and a boot
// that fails ends in a node that is gone. As long as the node is there it is waited for, because on Mnesia it waits for
// its peers for minutes.
func (n *Node) awaitStarted(ctx context.Context) error {
	deadline := time.Now().Add(appears)
	seen := false
	for every := pollEvery; ; {
		there, known, err := n.registered(ctx)
		if err != nil {
			return err
		}
		if there || !known {
			status, err := n.Status(ctx, Ask{})
			switch {
			case err == nil && status.Running:
				return nil
			case err == nil:
				there = true
			case !IsKind(err, NodeDown, EpmdUnreachable):
				return err
			}
			every = pollCLI
		}
		switch {
		case there:
			seen = true
		case seen:
			return &StartError{Host: n.host.Address(), Node: n.config.Name, Command: n.config.Commands.Start, Text: "the node came up and ended during its boot: " + n.log(ctx)}
		case time.Now().After(deadline):
			return &StartError{Host: n.host.Address(), Node: n.config.Name, Command: n.config.Commands.Start, Text: fmt.Sprintf("it returned, and after %s there is no such node. What a node says that early is in no log: started without -detached it says it, most often that one of its ports is another node's", appears)}
		}
		if err := pause(ctx, every); err != nil {
			return fmt.Errorf("waiting for the boot of %s on host %s: %w", n.config.Name, n.host.Address(), err)
		}
	}
}

// registered asks the host's port mapper for the node, which costs nothing. It is not known where the host has no epmd
// to ask, or the broker sees another host than SSH does.
func (n *Node) registered(ctx context.Context) (there, known bool, err error) {
	if !n.packaged() {
		return false, false, nil
	}
	facts, err := n.Facts(ctx)
	if err != nil || !facts.EpmdAsked {
		return false, false, err
	}
	return facts.registers(n.config.Name), true, nil
}

// registers tells whether the host's port mapper knows a node.
func (f Facts) registers(node string) bool {
	name, _, _ := strings.Cut(node, "@")
	return slices.Contains(f.Registered, name)
}

// atRest tells whether the host itself says that the node does not run, without the node's word.
func (n *Node) atRest(f Facts) bool {
	if n.config.Commands == nil {
		return f.Unit.Down()
	}
	return n.packaged() && f.EpmdAsked && !f.registers(n.config.Name)
}

// withoutEpmd tells whether an epmd that does not answer means that the node does not run: it ends with the last node in
// some packages, and a container has one of its own.
func (n *Node) withoutEpmd(f Facts) bool {
	return n.atRest(f) || n.config.Commands != nil && !n.packaged()
}

// log is the end of the node's log, where it is in its usual place.
func (n *Node) log(ctx context.Context) string {
	dir := n.config.Commands.Environment["RABBITMQ_LOG_BASE"]
	if dir == "" {
		dir = "/var/log/rabbitmq"
	}
	result, err := n.host.Run(ctx, remote.Command{Args: []string{"tail", "-n", "12", "--", dir + "/" + n.config.Name + ".log"}, User: n.account(), Timeout: readTimeout})
	if err != nil || result.ExitCode != 0 {
		return "its log is not in " + dir
	}
	return "its log ends with: " + excerpt(string(result.Stdout))
}

// stopByCommand stops the broker and returns when its node is gone.
func (n *Node) stopByCommand(ctx context.Context) error {
	if stop := n.config.Commands.Stop; len(stop) > 0 {
		return n.stopBy(ctx, n.command(stop))
	}
	return n.stopBy(ctx, n.tool("rabbitmqctl", "stop"))
}

// StopNode stops the broker with its Erlang node, and returns when that is gone. Where a unit runs it this takes no more
// rights than any other rabbitmqctl, and the unit does not start it again, because it ended well.
func (n *Node) StopNode(ctx context.Context) error {
	if n.config.Commands != nil {
		return n.stopByCommand(ctx)
	}
	return n.stopBy(ctx, n.tool("rabbitmqctl", "stop"))
}

func (n *Node) stopBy(ctx context.Context, argv []string) error {
	if _, err := n.run(ctx, 0, argv); err != nil && !IsKind(err, NodeDown) {
		return err
	}
	for {
		_, err := n.Status(ctx, Ask{})
		if IsKind(err, NodeDown, EpmdUnreachable) {
			return nil
		}
		if err := pause(ctx, pollEvery); err != nil {
			return fmt.Errorf("waiting for the end of %s on host %s: %w", n.config.Name, n.host.Address(), err)
		}
	}
}

// restartByCommand stops the broker, starts it, and returns when it runs.
func (n *Node) restartByCommand(ctx context.Context) error {
	if err := n.stopByCommand(ctx); err != nil {
		return err
	}
	if err := n.startByCommand(ctx); err != nil {
		return err
	}
	return n.awaitStarted(ctx)
}
