package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const plan = `
╷
│ Warning: Provider development overrides are in effect
│ 
│ The following provider development overrides are set
╵
rabbitmq_cluster.orders: Refreshing state... [id=x]

Terraform will perform the following actions:

  # rabbitmq_cluster.orders will be updated in-place
  ~ resource "rabbitmq_cluster" "orders" {
      ~ members = {
          ~ "rabbit@rmq2" = {
              ~ running = false -> true
            },
        }

        # (2 unchanged attributes hidden)
    }

  # rabbitmq_erlang_cookie.this["rabbit@rmq1"] will be created
  + resource "rabbitmq_erlang_cookie" "this" {
      + hash = (known after apply)
    }

Plan: 1 to add, 1 to change, 0 to destroy.
╷
│ Warning: start the application of rabbit@rmq2
│ 
│   with rabbitmq_cluster.orders,
╵
╷
│ Warning: start the application of rabbit@rmq2
╵
rabbitmq_cluster.orders: Creation complete after 3s [id=x]
`

func TestDigestKeepsWhatAReaderNeeds(t *testing.T) {
	var told strings.Builder
	d := &digest{all: io.Discard, told: map[string]bool{}, tell: func(format string, args ...any) { fmt.Fprintf(&told, format+"\n", args...) }}
	for _, c := range []byte(plan) { // a pipe may cut anywhere
		if _, err := d.Write([]byte{c}); err != nil {
			t.Fatal(err)
		}
	}
	const want = `  # rabbitmq_cluster.orders will be updated in-place
  ~ resource "rabbitmq_cluster" "orders" {
      ~ members = {
          ~ "rabbit@rmq2" = {
              ~ running = false -> true
            },
        }

        # (2 unchanged attributes hidden)
    }
  # rabbitmq_erlang_cookie.this["rabbit@rmq1"] will be created
Plan: 1 to add, 1 to change, 0 to destroy.
Warning: start the application of rabbit@rmq2
rabbitmq_cluster.orders: Creation complete after 3s
`
	if told.String() != want {
		t.Errorf("told:\n%s\nwant:\n%s", told.String(), want)
	}
}

func TestShortStatusNamesTheMembers(t *testing.T) {
	// As rabbitmqctl 3.10.8 prints it, shortened.
	const text = "\x1b[1mBasics\x1b[0m\n\nCluster name: orders\n\n\x1b[1mDisk Nodes\x1b[0m\n\nrabbit@rmq1\nrabbit@rmq2\n\n" +
		"\x1b[1mRunning Nodes\x1b[0m\n\nrabbit@rmq1\nrabbit@rmq2\n\n\x1b[1mVersions\x1b[0m\n\nrabbit@rmq1: RabbitMQ 3.10.8 on Erlang 25.2.3\n"
	const want = "Cluster name: orders\nDisk Nodes: rabbit@rmq1 rabbit@rmq2\nRunning Nodes: rabbit@rmq1 rabbit@rmq2"
	if got := shortStatus(text); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
