//go:build linux

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Queues as a client sees them, and where RabbitMQ keeps them.

// dial connects a client to a node. The user is made when it is not there.
func dial(t *testing.T, h *lab.Host) *amqp.Channel {
	t.Helper()
	if !strings.Contains(ctl(t, h, "-q", "list_users"), worker) {
		ctl(t, h, "add_user", worker, password)
		ctl(t, h, "set_permissions", worker, ".*", ".*", ".*")
	}
	conn, err := amqp.Dial("amqp://" + worker + ":" + password + "@" + net.JoinHostPort(h.Address(), "5672"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// declare makes a durable queue of a type and publishes confirmed, persistent messages to it.
func declare(t *testing.T, h *lab.Host, kind, name string, messages int) {
	t.Helper()
	declareWith(t, h, kind, name, messages, nil)
}

// declareWith is declare with more arguments of the queue.
func declareWith(t *testing.T, h *lab.Host, kind, name string, messages int, arguments amqp.Table) {
	t.Helper()
	ch := dial(t, h)
	table := amqp.Table{"x-queue-type": kind}
	maps.Copy(table, arguments)
	if _, err := ch.QueueDeclare(name, true, false, false, false, table); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		ctx, cancel := bounded(t)
		confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", name, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(fmt.Sprint(i))})
		if err == nil {
			var acked bool
			if acked, err = confirm.WaitContext(ctx); err == nil && !acked {
				err = fmt.Errorf("message %d was not confirmed", i)
			}
		}
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// drain takes all messages out of a queue, and returns how many there were.
func drain(t *testing.T, h *lab.Host, name string) int {
	t.Helper()
	ch := dial(t, h)
	n := 0
	for {
		_, ok, err := ch.Get(name, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return n
		}
		n++
	}
}

// replicas are the nodes with a replica of each quorum queue and stream, as a node's metadata has it.
func replicas(t *testing.T, h *lab.Host) map[string][]string {
	t.Helper()
	out := ctl(t, h, "eval", `
		B = fun(N) -> atom_to_binary(N, utf8) end,
		Of = fun(Q) -> case maps:get(nodes, amqqueue:get_type_state(Q)) of L when is_list(L) -> L; M -> maps:keys(M) end end,
		R = maps:from_list([{element(4, amqqueue:get_name(Q)), [B(N) || N <- Of(Q)]} || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =/= rabbit_classic_queue]),
		io:put_chars(["replicas:", rabbit_json:encode(R), 10]).`)
	for line := range strings.Lines(out) {
		if text, ours := strings.CutPrefix(line, "replicas:"); ours {
			all := map[string][]string{}
			if err := json.Unmarshal([]byte(text), &all); err != nil {
				t.Fatal(err)
			}
			for _, nodes := range all {
				slices.Sort(nodes)
			}
			return all
		}
	}
	t.Fatalf("no replicas in:\n%s", out)
	return nil
}

// areOn checks that each of the queues has its replicas on exactly these hosts.
func areOn(t *testing.T, queues []string, hosts ...*lab.Host) {
	t.Helper()
	var want []string
	for _, h := range hosts {
		want = append(want, h.NodeName())
	}
	slices.Sort(want)
	all := replicas(t, hosts[0])
	for _, queue := range queues {
		if !slices.Equal(all[queue], want) {
			t.Errorf("%s has replicas on %v, want %v", queue, all[queue], want)
		}
	}
}

// replicated are the kinds of queues that keep replicas on the lab's version.
func replicated() []string {
	if suite.lab.Release() == lab.V3_8 {
		return []string{"quorum"}
	}
	return []string{"quorum", "stream"}
}

// onKhepri tells whether the lab's brokers keep their metadata in Khepri: no partitions, no forced boot, and a majority
// that is needed.
func onKhepri() bool {
	return slices.Contains([]lab.Release{lab.V4_0Khepri, lab.V4_3}, suite.lab.Release())
}

// off makes hosts lose power, in this order.
func off(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		if err := h.PullPlug(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

// flush has brokers write to their disks what they have told clients is done. Mnesia reports a transaction, such as the
// declaration of a durable queue, up to two seconds before it writes it (disk_log's cache), and Ra starts the replica of a
// quorum queue before the file that names it is written (that of dets): without it the log on the disk is nobody's.
func flush(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	each(hosts, func(h *lab.Host) {
		ctl(t, h, "eval", "catch mnesia:sync_log(), [ok = dets:sync(T) || T <- dets:all()], ok.")
	})
}

// dies makes a host lose power, and has its peers notice it, which takes them a minute by themselves: until then they
// see it run, and so does the product.
func dies(t *testing.T, h *lab.Host, peers ...*lab.Host) {
	t.Helper()
	off(t, h)
	for _, p := range peers {
		ctl(t, p, "eval", fmt.Sprintf("erlang:disconnect_node('%s').", h.NodeName()))
		eventually(t, p.Name()+" does not see "+h.Name(), func() bool { return !sees(t, p, h) })
	}
}

// hasty makes the provider wait for a silent host for a third of the time that it does by itself: a run of the CLI comes
// to each host several times.
func (w *workspace) hasty() *workspace {
	w.env = append(w.env, "RABBITMQ_SSH_TIMEOUT=5s")
	return w
}
