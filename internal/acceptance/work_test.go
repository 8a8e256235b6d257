//go:build linux

package acceptance

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// work is what clients do with a cluster: on every member one that publishes and waits for each confirm, into a queue
// that a client of the next member consumes.
type work struct {
	hosts []*lab.Host
	stop  context.CancelFunc
	ended sync.WaitGroup
	// publishing ends once every message has its confirm, so it ends before the connections are closed.
	publishing sync.WaitGroup
	conns      []*amqp.Connection

	mu        sync.Mutex
	confirmed []map[string]bool // by queue
	delivered []map[string]bool // by queue
	troubles  []error
}

const (
	worker   = "worker"
	password = "worker"
)

// startWork starts it. It ends with the test at the latest.
func startWork(t *testing.T, hosts []*lab.Host) *work {
	t.Helper()
	ctl(t, hosts[0], "add_user", worker, password)
	ctl(t, hosts[0], "set_permissions", worker, ".*", ".*", ".*")
	ctx, stop := context.WithCancel(t.Context())
	w := &work{hosts: hosts, stop: stop}
	t.Cleanup(func() {
		stop()
		for _, c := range w.conns {
			_ = c.CloseDeadline(time.Now().Add(time.Second))
		}
		w.ended.Wait()
	})
	for i, h := range hosts {
		conn, err := amqp.Dial("amqp://" + worker + ":" + password + "@" + net.JoinHostPort(h.Address(), "5672"))
		if err != nil {
			t.Fatal(err)
		}
		w.conns = append(w.conns, conn)
		w.confirmed, w.delivered = append(w.confirmed, map[string]bool{}), append(w.delivered, map[string]bool{})
		w.guard("connection to "+h.Name(), conn.NotifyClose(make(chan *amqp.Error, 1)))
		ch := w.channel(t, i)
		if _, err := ch.QueueDeclare(queue(i), true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
			t.Fatal(err)
		}
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		w.publishing.Go(func() { w.publish(ctx, ch, i) })
	}
	for i := range hosts {
		q := (i + 1) % len(hosts)
		deliveries, err := w.channel(t, i).Consume(queue(q), "", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.ended.Go(func() { w.consume(deliveries, q) })
	}
	return w
}

func queue(i int) string { return "work-" + strconv.Itoa(i+1) }

func (w *work) channel(t *testing.T, i int) *amqp.Channel {
	t.Helper()
	ch, err := w.conns[i].Channel()
	if err != nil {
		t.Fatal(err)
	}
	w.guard("channel on "+w.hosts[i].Name(), ch.NotifyClose(make(chan *amqp.Error, 1)))
	return ch
}

// guard notes that something was closed, unless we did it.
func (w *work) guard(what string, closed chan *amqp.Error) {
	w.ended.Go(func() {
		if err := <-closed; err != nil {
			w.trouble(fmt.Errorf("%s: %w", what, err))
		}
	})
}

func (w *work) trouble(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles = append(w.troubles, err)
}

// publish publishes one message after the other until ctx ends.
func (w *work) publish(ctx context.Context, ch *amqp.Channel, q int) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		message := strconv.Itoa(i)
		confirm, err := ch.PublishWithDeferredConfirmWithContext(context.WithoutCancel(ctx), "", queue(q), true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(message)})
		if err != nil {
			w.trouble(fmt.Errorf("publishing to %s: %w", queue(q), err))
			return
		}
		select {
		case <-confirm.Done():
		case <-time.After(time.Minute):
		}
		if !confirm.Acked() {
			w.trouble(fmt.Errorf("%s did not confirm message %s", queue(q), message))
			return
		}
		w.mu.Lock()
		w.confirmed[q][message] = true
		w.mu.Unlock()
	}
}

func (w *work) consume(deliveries <-chan amqp.Delivery, q int) {
	for d := range deliveries {
		if err := d.Ack(false); err != nil {
			w.trouble(fmt.Errorf("acknowledging from %s: %w", queue(q), err))
			return
		}
		w.mu.Lock()
		w.delivered[q][string(d.Body)] = true
		w.mu.Unlock()
	}
}

// counts is how many messages of each queue were confirmed and delivered.
func (w *work) counts() (confirmed, delivered []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q := range w.confirmed {
		confirmed, delivered = append(confirmed, len(w.confirmed[q])), append(delivered, len(w.delivered[q]))
	}
	return confirmed, delivered
}

// goesOn waits until messages have gone through every queue from now on, and checks that nothing went wrong so far.
func (w *work) goesOn(t *testing.T) {
	t.Helper()
	_, before := w.counts()
	eventually(t, "messages go through every queue", func() bool {
		_, now := w.counts()
		for q := range now {
			if now[q] < before[q]+5 && w.calm() {
				return false
			}
		}
		return true
	})
	w.isCalm(t)
}

func (w *work) calm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.troubles) == 0
}

func (w *work) isCalm(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, err := range w.troubles {
		t.Error(err)
	}
}

// end stops publishing, waits until every confirmed message was delivered, and checks that nothing went wrong.
func (w *work) end(t *testing.T) {
	t.Helper()
	w.stop()
	w.publishing.Wait() // for the confirm that each still waits for
	eventually(t, "every confirmed message is delivered", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for q := range w.confirmed {
			for message := range w.confirmed[q] {
				if !w.delivered[q][message] {
					return false
				}
			}
		}
		return true
	})
	for _, c := range w.conns {
		if err := c.CloseDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
	}
	w.ended.Wait()
	w.isCalm(t)
	confirmed, delivered := w.counts()
	t.Logf("confirmed %v, delivered %v", confirmed, delivered)
}
