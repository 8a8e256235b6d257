package rabbitmq

import (
	"bytes"
	"context"
	"errors"
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
	program := n.quick.get()
	if program == "" || n.config.Name == "" {
		return nil, false
	}
	name := "-sname"
	if LongName(n.config.Name) {
		name = "-name"
	}
	result, err := n.host.Run(ctx, remote.Command{
		Args:    []string{program, "-r", name, n.config.Name, "-fetch_stdout", "-no_result_term", "-e"},
		User:    n.account(),
		Stdin:   remote.NewSecret(expression + "\n"),
		Timeout: quickTimeout,
	})
	var sudo *remote.SudoError
	if errors.As(err, &sudo) {
		n.quick.bar()
	}
	if err != nil || result.ExitCode != 0 || !bytes.Contains(result.Stdout, []byte(marker)) {
		return nil, false
	}
	return result.Stdout, true
}
