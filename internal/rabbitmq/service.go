package rabbitmq

import (
	"context"
	_ "embed" // the facts script
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

//go:embed facts.sh
var factsScript string

// Facts are what a host says about its broker without starting rabbitmqctl.
type Facts struct {
	CLI     string   // path of the program that stands for rabbitmqctl; empty when it is not installed
	ErlCall string   // path of an erl_call that can fetch output; empty when there is none
	Home    string   // home of the broker's account, where the cookie file is
	Boot    string   // the kernel's boot id, which tells machines apart
	Unit    Unit     // the broker's systemd unit
	Running []string // commands of RabbitMQ's CLI tools that run right now and change something
	// Brief tells that the unit was left out, because a broker runs that its node is asked about next.
	Brief bool
	// Rotating tells that a broker of the host is being told another cookie right now.
	Rotating bool
	// Idle tells that the node's name is that of this very host, its unit is at rest and no broker runs on it.
	Idle bool
	// EpmdAsked tells that the host's port mapper was asked, which is done where no unit tells of the broker.
	EpmdAsked  bool
	Registered []string // the nodes that it knows, without their host
}

// Unit is the state of a systemd unit in systemd's words; empty where there is no systemd.
type Unit struct {
	Load, Active, Sub, Result string
}

// Down tells whether the unit is at rest: not running, not starting, not stopping.
func (u Unit) Down() bool { return u.Active == "inactive" || u.Active == "failed" }

// String shows the unit as systemctl does: "failed (Result: exit-code)".
func (u Unit) String() string {
	if u.Active == "" {
		return "unknown"
	}
	if u.Active == "failed" {
		return fmt.Sprintf("failed (Result: %s)", u.Result)
	}
	return fmt.Sprintf("%s (%s)", u.Active, u.Sub)
}

// changing are the CLI commands whose end must be waited for before anything else is decided.
var changing = []string{
	"stop_app", "start_app", "join_cluster", "forget_cluster_node", "reset", "force_reset", "change_cluster_node_type",
	"set_cluster_name", "shrink", "grow", "add_replica", "force_boot", "stop", "shutdown", "drain", "revive", "rebalance",
}

// Facts reads the host's own state.
func (n *Node) Facts(ctx context.Context) (Facts, error) { return n.facts(ctx, "unit") }

// briefly is Facts for somebody who asks the node next: where a broker runs that erl_call can ask, its unit is left out.
func (n *Node) briefly(ctx context.Context) (Facts, error) {
	if !n.packaged() || n.config.Name == "" || n.quick.isBarred() {
		return n.Facts(ctx)
	}
	return n.facts(ctx, "")
}

func (n *Node) facts(ctx context.Context, wanted string) (Facts, error) {
	own := ""
	if n.packaged() {
		own = HostPart(n.config.Name)
	}
	result, err := n.host.Script(ctx, "", factsScript, n.config.CLI[0], n.config.Service, own, wanted)
	if err != nil {
		return Facts{}, err
	}
	facts, err := parseFacts(string(result.Stdout), n.host.Address())
	if err == nil && n.packaged() {
		n.quick.found(facts.ErlCall)
	}
	return facts, err
}

func parseFacts(out, address string) (Facts, error) {
	var f Facts
	var ended bool
	for _, line := range strings.Split(out, "\n") {
		line, ours := strings.CutPrefix(line, "facts:")
		key, value, _ := strings.Cut(line, "=")
		if !ours {
			continue
		}
		switch key {
		case "cli":
			f.CLI = value
		case "erl_call":
			f.ErlCall = value
		case "home":
			f.Home = value
		case "boot":
			f.Boot = value
		case "unit.LoadState":
			f.Unit.Load = value
		case "unit.ActiveState":
			f.Unit.Active = value
		case "unit.SubState":
			f.Unit.Sub = value
		case "unit.Result":
			f.Unit.Result = value
		case "cli_running":
			f.Rotating = f.Rotating || strings.Contains(value, setCookie)
			if isChange(value) {
				if before, _, expression := strings.Cut(value, " eval "); expression {
					value = before + " eval …"
				}
				if !slices.Contains(f.Running, value) { // what sudo started is listed with sudo, too
					f.Running = append(f.Running, value)
				}
			}
		case "brief":
			f.Brief = true
		case "idle":
			f.Idle = true
		case "epmd":
			f.EpmdAsked = true
		case "registered":
			f.Registered = append(f.Registered, value)
		case "end":
			ended = true
		}
	}
	if !ended {
		return Facts{}, fmt.Errorf("reading the state of host %s: the script ended early and printed: %s", address, excerpt(out))
	}
	return f, nil
}

func isChange(command string) bool {
	if strings.HasPrefix(command, "erl_call ") { // facts.sh lists those that change something
		return true
	}
	for _, word := range strings.Fields(command) {
		if word == "eval" { // what follows is an expression, and of ours only streams.erl changes anything
			return strings.Contains(command, "rabbit_stream_queue:delete_replica(")
		}
		if slices.Contains(changing, word) {
			return true
		}
	}
	return false
}

// NotInstalledError tells that a host has no rabbitmqctl.
type NotInstalledError struct{ Host, CLI string }

// Error implements error.
func (e *NotInstalledError) Error() string {
	return fmt.Sprintf("%s is not installed on host %s: install RabbitMQ there, or name the program in `rabbitmqctl`", e.CLI, e.Host)
}

// CookieMissingError tells that the host of a broker has no cookie file.
type CookieMissingError struct{ Host, Path string }

// Error implements error.
func (e *CookieMissingError) Error() string {
	return fmt.Sprintf("the Erlang cookie file %s on host %s is missing. Nothing was run there, because rabbitmqctl would make a random one: write the right one with rabbitmq_erlang_cookie, or restore it", e.Path, e.Host)
}

// WrongHostError tells that a node answered through a host that is not its own.
type WrongHostError struct{ Host, Node string }

// Error implements error.
func (e *WrongHostError) Error() string {
	return fmt.Sprintf("host %s is not the machine that node %s runs on, although the node answers from there over the network: correct the `host` of %s", e.Host, e.Node, e.Node)
}

// CookieFileError tells that Erlang will not take a cookie file as it is.
type CookieFileError struct{ Host, Path, Mode, Owner, Account string }

// Error implements error.
func (e *CookieFileError) Error() string {
	return fmt.Sprintf("the Erlang cookie file %s on host %s has mode %s and belongs to %s; Erlang wants 0400 or 0600 and the account %s, and rabbitmqctl cannot run before that. "+
		"A rabbitmq_erlang_cookie for the host repairs it (when both are in one configuration: apply with -target first), or by hand: `chown %s %s; chmod 0400 %s`",
		e.Path, e.Host, e.Mode, e.Owner, e.Account, e.Account, e.Path, e.Path)
}

// checkCookie looks at the cookie file before the first rabbitmqctl, which makes a new one when there is none
// (measured): a read would then have changed the host. With a file that Erlang does not take, rabbitmqctl tries for
// eight seconds and prints pages.
func (n *Node) checkCookie(ctx context.Context, home string) error {
	if home == "" || !n.packaged() {
		return nil
	}
	file := path.Join(home, cookieName)
	result, err := n.host.Run(ctx, remote.Command{Args: []string{"stat", "-L", "-c", "%04a %U", file}, User: n.account(), Timeout: readTimeout})
	if err != nil {
		return err
	}
	if result.ExitCode != 0 {
		if strings.Contains(string(result.Stderr), "No such file") {
			return &CookieMissingError{Host: n.host.Address(), Path: file}
		}
		return fmt.Errorf("looking at %s on host %s: %s", file, n.host.Address(), excerpt(string(result.Stderr)))
	}
	mode, owner, _ := strings.Cut(strings.TrimSpace(string(result.Stdout)), " ")
	if !ModeUsable(mode) || owner != n.account() {
		return &CookieFileError{Host: n.host.Address(), Path: file, Mode: mode, Owner: owner, Account: n.account()}
	}
	return nil
}

// usableIn tells whether this is the cookie file in the home of the broker's account, and Erlang takes it.
func (c *OwnCookie) usableIn(home string) bool {
	return c != nil && c.Own && c.Path == path.Join(home, cookieName) && ModeUsable(fmt.Sprintf("%04o", c.Mode))
}

// StartService has the broker's unit, or its start command, start it. The boot is AwaitService's to wait for. A unit that
// failed before is cleared first: the newest units refuse a sixth start within ten minutes (measured).
func (n *Node) StartService(ctx context.Context) error {
	if n.config.Commands != nil {
		return n.startByCommand(ctx)
	}
	if _, err := n.host.Run(ctx, remote.Command{Args: []string{"systemctl", "reset-failed", n.config.Service}, User: "root", Timeout: readTimeout}); err != nil {
		return err
	}
	result, err := n.host.Run(ctx, remote.Command{Args: []string{"systemctl", "start", "--no-block", n.config.Service}, User: "root", Timeout: readTimeout})
	if err != nil {
		return err
	}
	if result.ExitCode != 0 {
		return &ServiceError{Host: n.host.Address(), Unit: n.config.Service, Text: excerpt(string(result.Stderr))}
	}
	return nil
}

// AwaitService waits until the broker's unit is active, which is when its boot ended. It gives up when systemd does, or when ctx ends.
func (n *Node) AwaitService(ctx context.Context) error {
	if n.config.Commands != nil {
		return n.awaitStarted(ctx)
	}
	last := "starting"
	waited := func(err error) error {
		return fmt.Errorf("waited for %s on host %s, which is %s: %w", n.config.Service, n.host.Address(), last, err)
	}
	for {
		facts, err := n.Facts(ctx)
		if ctx.Err() != nil { // the question was cut off, which changed nothing
			return waited(context.Cause(ctx))
		}
		if err != nil {
			return err
		}
		last = facts.Unit.String()
		switch {
		case facts.Unit.Active == "active":
			return nil
		case facts.Unit.Active == "failed", facts.Unit.Sub == "auto-restart":
			return &ServiceError{Host: n.host.Address(), Unit: n.config.Service, Text: facts.Unit.String() + ": " + n.journal(ctx)}
		}
		if err := pause(ctx, pollEvery); err != nil {
			return waited(err)
		}
	}
}

// pollEvery is how often a state is read while waiting for it. One read costs the host some milliseconds.
const pollEvery = 250 * time.Millisecond

// journal returns the unit's last lines, or nothing when the account may not read them.
func (n *Node) journal(ctx context.Context) string {
	result, err := n.host.Run(ctx, remote.Command{Args: []string{"journalctl", "-u", n.config.Service, "-n", "12", "--no-pager", "-o", "cat"}, User: "root", Timeout: readTimeout})
	if err != nil || result.ExitCode != 0 {
		return "see the unit's journal"
	}
	return excerpt(string(result.Stdout))
}

// ServiceError is a unit that systemd could not start.
type ServiceError struct{ Host, Unit, Text string }

// Error implements error.
func (e *ServiceError) Error() string {
	return fmt.Sprintf("%s on host %s does not start: %s. Next: `journalctl -u %s` on %s", e.Unit, e.Host, strings.TrimRight(e.Text, "."), e.Unit, e.Host)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
