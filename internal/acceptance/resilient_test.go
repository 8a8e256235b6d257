//go:build linux

package acceptance

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// crowd is clients as they should be: they connect again, to the next member, when their connection ends, and publish
// again what was not confirmed.
type crowd struct {
	hosts   []*lab.Host
	stop    context.CancelFunc // of the publishers
	quit    context.CancelFunc // of everybody
	writing sync.WaitGroup
	all     sync.WaitGroup

	mu          sync.Mutex
	confirmed   map[string]bool
	delivered   map[string]bool
	connections int
}

// startCrowd starts a publisher and a consumer for each host, each pair with a quorum queue of its own.
func startCrowd(t *testing.T, hosts []*lab.Host) *crowd {
	t.Helper()
	addWorker(t, hosts[0])
	ctx, quit := context.WithCancel(t.Context())
	publishing, stop := context.WithCancel(ctx)
	c := &crowd{hosts: hosts, stop: stop, quit: quit, confirmed: map[string]bool{}, delivered: map[string]bool{}}
	t.Cleanup(func() { quit(); c.all.Wait() })
	for i, h := range hosts {
		declareQuorum(t, h, crowdQueue(i), 0)
		c.writing.Go(func() { c.publish(publishing, i) })
		c.all.Go(func() { c.consume(ctx, i) })
	}
	return c
}

func crowdQueue(i int) string { return "crowd-" + strconv.Itoa(i+1) }

// addWorker makes the account that clients use.
func addWorker(t *testing.T, h *lab.Host) {
	t.Helper()
	ctl(t, h, "add_user", worker, password)
	ctl(t, h, "set_permissions", worker, ".*", ".*", ".*")
}

func dialWorker(h *lab.Host) (*amqp.Connection, error) {
	return amqp.DialConfig("amqp://"+worker+":"+password+"@"+net.JoinHostPort(h.Address(), "5672"), amqp.Config{Dial: amqp.DefaultDial(5 * time.Second), Heartbeat: 5 * time.Second})
}

// declareQuorum declares a quorum queue; with a size, it has that many replicas, one of them on h.
func declareQuorum(t *testing.T, h *lab.Host, name string, size int) {
	t.Helper()
	conn, err := dialWorker(h)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	args := amqp.Table{"x-queue-type": "quorum"}
	if size > 0 {
		args["x-quorum-initial-group-size"] = size
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
}

// connected does something on a channel to one host after the other, again after each failure, until ctx ends.
func (c *crowd) connected(ctx context.Context, first int, do func(*amqp.Connection, *amqp.Channel) error) {
	for i := first; ctx.Err() == nil; i++ {
		conn, err := dialWorker(c.hosts[i%len(c.hosts)])
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		c.mu.Lock()
		c.connections++
		c.mu.Unlock()
		if ch, err := conn.Channel(); err == nil {
			_ = do(conn, ch)
		}
		_ = conn.CloseDeadline(time.Now().Add(time.Second))
	}
}

var errUnconfirmed = errors.New("not confirmed")

func (c *crowd) publish(ctx context.Context, i int) {
	n := 0
	c.connected(ctx, i, func(conn *amqp.Connection, ch *amqp.Channel) error {
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for ctx.Err() == nil {
			message := crowdQueue(i) + " " + strconv.Itoa(n)
			confirm, err := ch.PublishWithDeferredConfirmWithContext(context.WithoutCancel(ctx), "", crowdQueue(i), true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(message)})
			if err != nil {
				return err
			}
			select {
			case <-confirm.Done():
			case <-closed: //nolint:errcheck // why it was closed: the message is confirmed, or is sent again
			case <-time.After(15 * time.Second):
			}
			select {
			case <-confirm.Done():
			default:
				return errUnconfirmed
			}
			if !confirm.Acked() {
				return errUnconfirmed
			}
			c.mu.Lock()
			c.confirmed[message] = true
			c.mu.Unlock()
			n++
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
}

func (c *crowd) consume(ctx context.Context, i int) {
	c.connected(ctx, i+1, func(_ *amqp.Connection, ch *amqp.Channel) error {
		deliveries, err := ch.Consume(crowdQueue(i), "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case d, open := <-deliveries:
				if !open {
					return errUnconfirmed
				}
				c.mu.Lock()
				c.delivered[string(d.Body)] = true
				c.mu.Unlock()
				if err := d.Ack(false); err != nil {
					return err
				}
			}
		}
	})
}

// goesOn waits until messages have gone through every queue from now on.
func (c *crowd) goesOn(t *testing.T) {
	t.Helper()
	count := func() []int {
		c.mu.Lock()
		defer c.mu.Unlock()
		counts := make([]int, len(c.hosts))
		for message := range c.delivered {
			for i := range counts {
				if len(message) > len(crowdQueue(i)) && message[:len(crowdQueue(i))] == crowdQueue(i) {
					counts[i]++
				}
			}
		}
		return counts
	}
	before := count()
	eventually(t, "messages go through every queue", func() bool {
		for i, n := range count() {
			if n < before[i]+5 {
				return false
			}
		}
		return true
	})
}

// end stops publishing and checks that every confirmed message was delivered.
func (c *crowd) end(t *testing.T) {
	t.Helper()
	c.stop()
	c.writing.Wait()
	lost := func() (lost []string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for message := range c.confirmed {
			if !c.delivered[message] {
				lost = append(lost, message)
			}
		}
		return lost
	}
	eventually(t, "every confirmed message is delivered", func() bool { return len(lost()) == 0 })
	c.quit()
	c.all.Wait()
	t.Logf("confirmed %d, delivered %d, lost %d, connections %d", len(c.confirmed), len(c.delivered), len(lost()), c.connections)
	if len(c.confirmed) == 0 {
		t.Error("nothing was published")
	}
}

// downs watches the ports by which nodes talk to each other, and counts how many were closed at once at the most.
type downs struct {
	stop context.CancelFunc
	done chan struct{}
	most int
	seen map[string]bool
}

func watchDowns(t *testing.T, hosts []*lab.Host) *downs {
	ctx, stop := context.WithCancel(t.Context())
	d := &downs{stop: stop, done: make(chan struct{}), seen: map[string]bool{}}
	go func() {
		defer close(d.done)
		for ctx.Err() == nil {
			down := 0
			for _, h := range hosts {
				conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address(), "25672"), 2*time.Second)
				if err != nil {
					down++
					d.seen[h.Name()] = true
					continue
				}
				_ = conn.Close()
			}
			d.most = max(d.most, down)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-d.done })
	return d
}

// end tells how many nodes were down at once at the most, and how many were at all.
func (d *downs) end() (most, atAll int) {
	d.stop()
	<-d.done
	return d.most, len(d.seen)
}
