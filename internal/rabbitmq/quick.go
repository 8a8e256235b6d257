package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// quickCarrier is what is known about erl_call on a host.
type quickCarrier struct {
	mu      sync.Mutex
	program string
	barred  bool // sudo does not let it run
}

func (q *quickCarrier) found(program string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.program = program
}

func (q *quickCarrier) bar() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.barred = true
}

func (q *quickCarrier) isBarred() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.barred
}

func (q *quickCarrier) get() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.barred {
		return ""
	}
	return q.program
}

// quickTimeout bounds a question by erl_call. A node that takes longer is asked by rabbitmqctl, which also tells why.
const quickTimeout = 20 * time.Second

// evalQuickly evaluates an expression that changes nothing with erl_call, and gives what it printed. It gives false
// when there is no answer for whatever reason: rabbitmqctl then either answers or says what is wrong. The cookie stays
// in its file: erl_call runs as the broker's account and reads it there.
func (n *Node) evalQuickly(ctx context.Context, expression string) ([]byte, bool) {
	argv, ok := n.erlCall("-fetch_stdout", "-no_result_term", "-e")
	if !ok {
		return nil, false
	}
	result, err := n.runQuickly(ctx, remote.Command{Args: argv, Stdin: remote.NewSecret(expression + "\n"), Timeout: quickTimeout})
	if err != nil || result.ExitCode != 0 || !bytes.Contains(result.Stdout, []byte(marker)) {
		return nil, false
	}
	return result.Stdout, true
}

// callQuickly calls a function of the node that changes something, "rabbit stop" or "rabbit start", which are all that
// `rabbitmqctl stop_app` and start_app call (rabbitmq_cli, 3.8 to 4.3), and spares the host the half second of CPU that
// starting rabbitmqctl takes. It gives false when nothing was called, because erl_call cannot be run or does not reach the
// node: rabbitmqctl may be tried then. It has no bound of its own, and goes on at the node when ctx ends (measured).
func (n *Node) callQuickly(ctx context.Context, function string) (called bool, err error) {
	argv, ok := n.erlCall("-a", function)
	if !ok {
		return false, nil
	}
	result, err := n.runQuickly(ctx, remote.Command{Args: argv})
	var sudo *remote.SudoError
	switch {
	case errors.As(err, &sudo):
		return false, nil
	case err != nil:
		return true, err
	case result.ExitCode != 0 && notReached.Match(result.Stderr):
		return false, nil
	case result.ExitCode == 0 && string(bytes.TrimSpace(result.Stdout)) == "ok":
		return true, nil
	}
	argv[len(argv)-1] = strconv.Quote(function) // as one would type it
	return true, n.failed(argv, result)
}

// notReached is what erl_call says when it did not get as far as asking the node for anything.
var notReached = regexp.MustCompile(`erl_call: (failed to connect to node|can't ei_gethostbyname|can't create C node)`)

// erlCall is the argv for an erl_call of this node's, if its host has one.
func (n *Node) erlCall(args ...string) ([]string, bool) {
	program := n.quick.get()
	if program == "" || n.config.Name == "" {
		return nil, false
	}
	name := "-sname"
	if LongName(n.config.Name) {
		name = "-name"
	}
	return append([]string{program, "-r", name, n.config.Name}, args...), true
}

// runQuickly runs erl_call, and remembers when sudo does not let it.
func (n *Node) runQuickly(ctx context.Context, command remote.Command) (remote.Result, error) {
	command.User = n.account()
	result, err := n.host.Run(ctx, command)
	var sudo *remote.SudoError
	if errors.As(err, &sudo) {
		n.quick.bar()
	}
	return result, err
}
