package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// Drain puts this running node into maintenance: it hands its leaders to others, closes its clients' connections and takes
// no new ones.
func (n *Node) Drain(ctx context.Context) error {
	return n.change(ctx, n.tool("rabbitmq-upgrade", "drain")...)
}

// Revive ends the node's maintenance.
func (n *Node) Revive(ctx context.Context) error {
	return n.change(ctx, n.tool("rabbitmq-upgrade", "revive")...)
}

// Critical names what would be left without a majority, or without a synchronised mirror, if the node stopped now. With
// an error it names what was found until then.
func (n *Node) Critical(ctx context.Context) ([]string, error) {
	quorum, err := n.check(ctx, "check_if_node_is_quorum_critical")
	if err != nil {
		return nil, err
	}
	mirrors, err := n.check(ctx, "check_if_node_is_mirror_sync_critical")
	if IsKind(err, NotSupported) { // 4.x has no mirrors
		return quorum, nil
	}
	return append(quorum, mirrors...), err
}

// check runs a health check of rabbitmq-queues. Its exit code is 69 for a check that does not pass and for a failure to
// make it alike; only the answer in JSON, which then stands on stderr, tells them apart (measured).
func (n *Node) check(ctx context.Context, name string) ([]string, error) {
	argv := n.tool("rabbitmq-queues", name, "--formatter", "json")
	result, err := n.host.Run(ctx, remote.Command{Args: argv, User: n.account(), Timeout: readTimeout})
	if err != nil {
		return nil, err
	}
	all := string(result.Stderr) + "\n" + string(result.Stdout)
	for line := range strings.Lines(all) {
		var answer struct {
			Result string `json:"result"`
			Queues []struct {
				Name string `json:"readable_name"`
			} `json:"queues"`
		}
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &answer) != nil {
			continue
		}
		switch {
		case answer.Result == "ok" && result.ExitCode == 0:
			return nil, nil
		case answer.Result == "error" && len(answer.Queues) > 0:
			var names []string
			for _, q := range answer.Queues {
				names = append(names, q.Name)
			}
			return names, nil
		}
	}
	return nil, &CommandError{
		Host: n.host.Address(), Node: n.config.Name, Command: short(argv), Exit: result.ExitCode, Kind: classify(all), Text: cause(result.Stdout, result.Stderr),
	}
}

// Selection says which queues a command is about: patterns are regular expressions, and empty ones match everything.
type Selection struct {
	Type  string // all, classic, quorum or stream
	VHost string
	Queue string
}

// RebalanceLeaders spreads the leaders of the selected queues over the running members, and returns what RabbitMQ said.
func (n *Node) RebalanceLeaders(ctx context.Context, s Selection) (string, error) {
	argv := n.tool("rabbitmq-queues", "rebalance", s.Type)
	if s.VHost != "" {
		argv = append(argv, "--vhost-pattern", s.VHost)
	}
	if s.Queue != "" {
		argv = append(argv, "--queue-pattern", s.Queue)
	}
	out, err := n.run(ctx, 0, argv)
	return excerpt(string(out)), err
}

// ForceBoot makes the next start of this stopped node wait for nobody.
func (n *Node) ForceBoot(ctx context.Context) error {
	return n.change(ctx, n.tool("rabbitmqctl", "force_boot")...)
}

// CLIVersion is the version of the installed RabbitMQ, which can be told while the node is down.
func (n *Node) CLIVersion(ctx context.Context) (string, error) {
	installed := &Node{host: n.host, config: Config{CLI: n.config.CLI}} // it talks to no node
	out, err := installed.run(ctx, readTimeout, installed.tool("rabbitmqctl", "version"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if major, _ := versionOf(strings.TrimSpace(line)); major > 0 {
			return strings.TrimSpace(line), nil
		}
	}
	return "", &ProbeError{Host: n.host.Address(), Node: n.config.Name, Reason: "no version in the answer to `rabbitmqctl version`", Output: string(out)}
}

// Restartable tells whether there is something by which the broker can be restarted: its unit, or commands of its own.
func (n *Node) Restartable(f Facts) bool { return n.config.Commands != nil || f.Unit.Load == "loaded" }

// StopService stops the broker and returns when systemd, or its own command, has done so.
func (n *Node) StopService(ctx context.Context) error {
	if n.config.Commands != nil {
		return n.stopByCommand(ctx)
	}
	result, err := n.host.Run(ctx, remote.Command{Args: []string{"systemctl", "stop", n.config.Service}, User: "root"})
	if err == nil && result.ExitCode != 0 {
		err = &ServiceError{Host: n.host.Address(), Unit: n.config.Service, Text: excerpt(string(result.Stderr))}
	}
	return err
}

// RemembersKhepri tells whether the feature flags that the stopped node keeps on disk have Khepri among them. Where they
// are not in the package's place, that is not known and taken for no.
func (n *Node) RemembersKhepri(ctx context.Context) (bool, error) {
	facts, err := n.Facts(ctx)
	if err != nil || facts.Home == "" || n.config.Name == "" {
		return false, err
	}
	file := path.Join(facts.Home, "mnesia", n.config.Name+"-feature_flags")
	flags, err := n.host.ReadFile(ctx, n.account(), file, 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return strings.Contains(string(flags.Content.Reveal()), "khepri_db"), nil
}
