package rabbitmq

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind is what went wrong with a RabbitMQ command, told apart by what RabbitMQ printed. Exit codes alone do not tell:
// 69 stands for a dead node, a wrong cookie and every refusal alike.
type Kind string

// The kinds. Each is proved by a fixture in testdata.
const (
	AppRunning         Kind = "the rabbit application is running"
	AppStopped         Kind = "the rabbit application is not running"
	NodeDown           Kind = "the Erlang node is not running"
	CookieRejected     Kind = "the Erlang cookie was rejected"
	CookieFile         Kind = "the Erlang cookie file is unusable"
	HostUnknown        Kind = "the host name does not resolve"
	EpmdUnreachable    Kind = "the Erlang port mapper (epmd, port 4369) cannot be reached"
	PortUnreachable    Kind = "the inter-node port (25672) cannot be reached"
	InconsistentMember Kind = "this node and its peer disagree about membership"
	StillRunning       Kind = "the node to forget is still running"
	NotAMember         Kind = "the node is not a member of the cluster"
	SeedAppStopped     Kind = "the rabbit application on the seed is not running"
	SeedUnreachable    Kind = "the seed cannot be reached, or its cookie differs"
	Incompatible       Kind = "the two versions or their feature flags do not fit together"
	Minority           Kind = "the metadata store has no majority"
	Timeout            Kind = "RabbitMQ gave up waiting"
	LastDiscNode       Kind = "it is the last disc node"
	SchemaApart        Kind = "its metadata and that of a member that it remembers do not fit together"
	Self               Kind = "a node cannot join itself"
	NotSupported       Kind = "this version of RabbitMQ does not have it"
	BadArgument        Kind = "RabbitMQ does not accept the argument"
	NotAllowed         Kind = "the account may not run it"
	Other              Kind = "RabbitMQ reported an error"
)

// CommandError is a RabbitMQ command that ran and reported a failure.
type CommandError struct {
	Host    string   // the address of the host it ran on
	Node    string   // the node it was meant for
	Command []string // rabbitmqctl's own arguments
	Exit    int
	Kind    Kind
	Text    string // RabbitMQ's own words, without usage text and log noise
}

// Error implements error.
func (e *CommandError) Error() string {
	return fmt.Sprintf("`%s` for node %s on host %s: %s (exit code %d). RabbitMQ said: %s. %s",
		strings.Join(e.Command, " "), e.Node, e.Host, e.Kind, e.Exit, e.Text, e.Kind.Next(e.Node, e.Host))
}

// Next says what the operator can do about a failure of this kind.
func (k Kind) Next(node, host string) string {
	switch k {
	case NodeDown:
		return fmt.Sprintf("On %s look at `systemctl status rabbitmq-server` and its journal; the node name there must be %s (`epmd -names`).", host, node)
	case CookieRejected:
		return "The cookie file that rabbitmqctl reads differs from the cookie the broker runs with: compare `rabbitmq-diagnostics erlang_cookie_hash` with the file, and give the host the right one with rabbitmq_erlang_cookie (when both are in one configuration: apply that with -target first)."
	case CookieFile:
		return "The file must belong to the broker's account with mode 0400 or 0600 and hold 1 to 255 printable characters."
	case HostUnknown:
		return "Add the host to /etc/hosts or DNS on the host that ran the command."
	case EpmdUnreachable, PortUnreachable:
		return "Open ports 4369 and 25672 between the members."
	case SeedUnreachable:
		return "Check that the seed runs, that both hosts resolve each other, that ports 4369 and 25672 are open between them, and that both run with the same Erlang cookie."
	case Minority:
		return "Start the stopped members first: nothing can be changed until a majority of them runs."
	case InconsistentMember:
		return "The peers list a node that no longer lists them: forget it on a peer, then join."
	case Incompatible:
		return "Bring both nodes to the same RabbitMQ version, or enable the missing feature flags on the older side."
	case NotAllowed:
		return "rabbitmqctl must run as root or as the broker's own account: see `become` and the sudoers lines in the documentation."
	default:
		return fmt.Sprintf("The broker's log on %s has the details.", host)
	}
}

// ProbeError is an answer that is not understood: never taken for an empty one.
type ProbeError struct {
	Host, Node string
	Reason     string
	Output     string
}

// Error implements error.
func (e *ProbeError) Error() string {
	return fmt.Sprintf("reading node %s on host %s: %s. It printed: %s", e.Node, e.Host, e.Reason, excerpt(e.Output))
}

// signs tells the kinds apart, first match wins. The words were collected from 3.8.9, 3.10.8, 4.0.5 and 4.3.6.
var signs = []struct {
	text string
	kind Kind
}{
	{"Cookie file ", CookieFile},
	{"Too short cookie string", CookieFile},
	{"Bad characters in cookie", CookieFile},
	{".erlang.cookie: eacces", CookieFile},
	{"app to be stopped", AppRunning},
	{"app to be running", AppStopped},
	{"Only root or rabbitmq", NotAllowed},
	{"nxdomain", HostUnknown},
	{"TCP connection succeeded but Erlang distribution failed", CookieRejected},
	{"Authentication failed", CookieRejected},
	{"unable to connect to epmd", EpmdUnreachable},
	{"can't establish TCP connection", PortUnreachable},
	{"not running at all", NodeDown},
	{"Failed to connect and authenticate", NodeDown},
	{"unable to perform an operation on node", NodeDown},
	{"must be stopped with", StillRunning},
	{"not_a_cluster_node", NotAMember},
	{"cannot_start_mnesia", SchemaApart},
	{"resetting_only_disc_node", LastDiscNode},
	{"clustering_only_disc_node", LastDiscNode},
	{"Last replica", LastDiscNode},
	{"cannot cluster node with itself", Self},
	{"mnesia_not_running", SeedAppStopped},
	{"tables_not_present", SeedAppStopped},
	{"rabbit_khepri, :add_member", SeedAppStopped},
	{"incompatible_feature_flags", Incompatible},
	{"version mismatch", Incompatible},
	{"protocol negotiation failed", Incompatible},
	{"inconsistent_cluster", InconsistentMember},
	{"aborted_feature_flags_compat_check", SeedUnreachable},
	{"could be in minority", Minority},
	{"timed out", Timeout},
	{"not found.", NotSupported},
	{"Invalid options for this command", NotSupported},
	{"is unsupported", NotSupported},
	{"is deprecated", NotSupported},
	{"Bad argument", BadArgument},
	{"Unsupported node name", BadArgument},
}

// stoppedContainer is what docker, podman and their like say when there is nothing to run rabbitmqctl in.
var stoppedContainer = regexp.MustCompile(`(?i)\bcontainer\b.* is not running|exec sessions on running containers`)

func classify(text string) Kind {
	if stoppedContainer.MatchString(text) {
		return NodeDown
	}
	for _, s := range signs {
		if strings.Contains(text, s.text) {
			return s.kind
		}
	}
	return Other
}

// contacted is the node that a command could not reach.
var contacted = regexp.MustCompile(`attempted to contact: \['?([^\]']*)'?\]`)

// classifyFor is classify for a command that was meant for a node: when it was another one that could not be reached, it
// is the seed of a join.
func classifyFor(node, text string) Kind {
	kind := classify(text)
	other := contacted.FindStringSubmatch(text)
	if node != "" && other != nil && other[1] != node && slices.Contains([]Kind{NodeDown, EpmdUnreachable, PortUnreachable, CookieRejected}, kind) {
		return SeedUnreachable
	}
	return kind
}

var (
	// logLine is a line of the CLI's own logger, which mixes with its output on every version.
	logLine = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} \[\w+\]`)
	// distribution is why the CLI's own Erlang did not get as far as talking to a node.
	distribution = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} \[error\] (.*)$`)
	// ansi are colour codes. 3.8 and 3.10 mis-encode the escape byte as U+B100 in JSON.
	ansi = regexp.MustCompile("(?:\x1b|\uB100)\\[[0-9;]*m")
)

// cause takes RabbitMQ's own words out of what a failed command printed.
func cause(stdout, stderr []byte) string {
	text := ansi.ReplaceAllString(string(stderr)+"\n"+string(stdout), "")
	if strings.Contains(text, "Distribution failed") {
		if m := distribution.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "", line == "Error:", strings.HasPrefix(line, "Feature flags:"):
			continue
		case strings.HasPrefix(line, "Arguments given"), strings.HasPrefix(line, "Usage"), strings.HasPrefix(line, "Available commands"):
			return strings.Join(kept, " ")
		case strings.HasPrefix(line, "* suggestion"), strings.HasPrefix(line, "Most common reasons"), strings.HasPrefix(line, "In addition to"), strings.Contains(line, "Please see diagnostics"):
			continue
		case strings.HasPrefix(line, "* Target node is"), strings.HasPrefix(line, "* CLI tool fails"), strings.HasPrefix(line, "* See the CLI"), strings.HasPrefix(line, "* Consult server"), strings.HasPrefix(line, "* If target node"):
			continue
		case strings.HasPrefix(line, "DIAGNOSTICS"), strings.HasPrefix(line, "====="), strings.HasPrefix(line, "attempted to contact"):
			continue
		case logLine.MatchString(line) && len(kept) > 0:
			continue
		}
		kept = append(kept, line)
	}
	return excerpt(strings.Join(kept, " "))
}

// excerpt shortens s to what fits a diagnostic.
func excerpt(s string) string {
	const limit = 800
	s = strings.TrimSpace(s)
	if s == "" {
		return "nothing"
	}
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + " …"
	}
	return s
}
