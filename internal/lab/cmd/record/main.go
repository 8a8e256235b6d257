// Command record writes down what a release of RabbitMQ prints where versions differ: the fixtures that the table in
// internal/rabbitmq/versions.go is held against.
//
//	go run ./internal/lab/cmd/record 4.3
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	for _, name := range os.Args[1:] {
		if err := record(ctx, name); err != nil {
			fmt.Fprintf(os.Stderr, "record %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// recorder runs commands on hosts and keeps what they print. The first thing that goes wrong ends it.
type recorder struct {
	ctx context.Context
	dir string
	err error
}

// keep runs a command as the broker's account and writes what it printed, and its exit code, to files of this name.
func (r *recorder) keep(name string, h *lab.Host, argv ...string) {
	if r.err != nil {
		return
	}
	began := time.Now()
	script := `runuser -u rabbitmq -- "$@" >/root/stdout 2>/root/stderr </dev/null; echo $?`
	code, err := h.Run(r.ctx, append([]string{"sh", "-c", script, "record"}, argv...)...)
	if err != nil {
		r.err = err
		return
	}
	fmt.Fprintf(os.Stderr, "%-28s exit code %s after %.1f s\n", name, strings.TrimSpace(code), time.Since(began).Seconds())
	files := map[string][]byte{".rc": []byte(code)}
	for _, stream := range []string{"stdout", "stderr"} {
		text, err := h.ReadFile("/root/" + stream)
		r.err = errors.Join(r.err, err)
		files["."+stream] = text
	}
	for suffix, text := range files {
		file := filepath.Join(r.dir, name+suffix)
		if len(text) > 0 {
			r.err = errors.Join(r.err, os.WriteFile(file, text, 0o600))
		} else if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			r.err = errors.Join(r.err, err)
		}
	}
}

// do runs rabbitmqctl for its effect.
func (r *recorder) do(h *lab.Host, args ...string) {
	if r.err == nil {
		_, r.err = h.Rabbitmqctl(r.ctx, args...)
	}
}

// lab does something to a host.
func (r *recorder) lab(do func(context.Context) error) {
	if r.err == nil {
		r.err = do(r.ctx)
	}
}

// join makes h a member of the cluster of seed.
func (r *recorder) join(h, seed *lab.Host) {
	r.do(h, "stop_app")
	r.do(h, "join_cluster", seed.NodeName())
	r.do(h, "start_app")
}

// declare declares a durable queue.
func (r *recorder) declare(h *lab.Host, name, kind string) {
	r.do(h, "eval", fmt.Sprintf(`{new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<%q>>), true, false, [{<<"x-queue-type">>, longstr, <<%q>>}], none, <<"record">>).`, name, kind))
}

func record(ctx context.Context, name string) error {
	release, err := lab.ParseRelease(name)
	if err != nil {
		return err
	}
	l, err := lab.Up(ctx, lab.Options{Name: fmt.Sprintf("record-%d", os.Getpid()), Release: release, Cookie: "REC", Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		if err := l.Down(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	rmq1, rmq2, rmq3 := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	version, err := rmq1.Rabbitmqctl(ctx, "-q", "eval", `io:put_chars([element(2, application:get_key(rabbit, vsn)), 10]).`)
	if err != nil {
		return err
	}
	version, _, _ = strings.Cut(version, "\n")
	if release.FeatureFlags != "" {
		version += "-khepri"
	}
	r := &recorder{ctx: ctx, dir: filepath.Join("internal", "rabbitmq", "testdata", version)}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	r.probes(rmq1, rmq2)
	r.joins(rmq1, rmq2, rmq3)
	r.removals(rmq1, rmq2, rmq3)
	r.noise(rmq3)
	return r.err
}

// probes records the probe's answers from a cluster of two with a vhost, a user, a classic and a quorum queue.
func (r *recorder) probes(rmq1, rmq2 *lab.Host) {
	all := rabbitmq.Ask{Inventory: true, Peers: true, Flags: true, Resolve: []string{"rmq1", "nohost"}}.Expression()
	r.join(rmq2, rmq1)
	r.do(rmq1, "add_vhost", "orders")
	r.do(rmq1, "add_user", "shop", "shop")
	r.declare(rmq1, "classic-one", "classic")
	r.declare(rmq1, "quorum-one", "quorum")
	r.keep("probe-running", rmq1, "rabbitmqctl", "-q", "eval", all)
	r.lab(func(context.Context) error {
		return rmq1.WriteFile("/var/tmp/probe", []byte(all+"\n"), 0o644, "root")
	})
	if r.quick(rmq1) {
		r.keep("probe-erl_call", rmq1, "sh", "-c", `erl_call -r -sname "$1" -fetch_stdout -no_result_term -e </var/tmp/probe`, "sh", rmq1.NodeName())
	}
	r.do(rmq2, "stop_app")
	r.keep("probe-stopped", rmq2, "rabbitmqctl", "-q", "eval", all)
	r.keep("rejoin", rmq2, "rabbitmqctl", "join_cluster", rmq1.NodeName())
	r.do(rmq2, "start_app")
}

// quick tells whether the host's erl_call can fetch what the node prints.
func (r *recorder) quick(h *lab.Host) bool {
	return r.number(h, "list_to_integer(erlang:system_info(otp_release))") >= 25
}

func (r *recorder) number(h *lab.Host, expression string) int {
	if r.err != nil {
		return 0
	}
	out, err := h.Rabbitmqctl(r.ctx, "-q", "eval", "io:put_chars([integer_to_list("+expression+"), 10]).")
	if err != nil {
		r.err = err
		return 0
	}
	first, _, _ := strings.Cut(out, "\n")
	n, err := strconv.Atoi(first)
	r.err = err
	return n
}

// joins records what join_cluster does with a third node.
func (r *recorder) joins(rmq1, rmq2, rmq3 *lab.Host) {
	blank := func() { r.lab(rmq3.BlankBroker) }
	forget := func() {
		r.do(rmq3, "stop_app")
		r.do(rmq1, "forget_cluster_node", rmq3.NodeName())
		blank()
	}
	r.keep("join-app_running", rmq3, "rabbitmqctl", "join_cluster", rmq1.NodeName())
	if r.number(rmq3, "length("+members+")") > 1 {
		forget()
	}
	r.do(rmq3, "add_vhost", "held")
	r.do(rmq3, "stop_app")
	r.keep("join-ram", rmq3, "rabbitmqctl", "join_cluster", rmq1.NodeName(), "--ram")
	r.do(rmq3, "start_app")
	r.keep("join-ram-after", rmq3, "rabbitmqctl", "-q", "list_vhosts", "--no-table-headers")
	if r.number(rmq3, "length("+members+")") > 1 {
		forget()
	} else {
		blank()
	}
	r.do(rmq3, "add_vhost", "held")
	r.do(rmq3, "stop_app")
	r.do(rmq2, "stop_app")
	r.keep("join-target-app_stopped", rmq3, "rabbitmqctl", "join_cluster", rmq2.NodeName())
	r.do(rmq2, "start_app")
	r.do(rmq3, "start_app")
	r.keep("join-target-app_stopped-after", rmq3, "rabbitmqctl", "-q", "list_vhosts", "--no-table-headers")
	blank()
}

// members is the expression for the members that a node lists.
const members = `case erlang:function_exported(rabbit_db_cluster, members, 0) of true -> rabbit_db_cluster:members(); false -> rabbit_mnesia:cluster_nodes(all) end`

// removals records what forget_cluster_node leaves, and what it does without a majority.
func (r *recorder) removals(rmq1, rmq2, rmq3 *lab.Host) {
	r.join(rmq3, rmq1)
	r.keep("grow", rmq1, "rabbitmq-queues", "grow", rmq3.NodeName(), "all")
	r.do(rmq3, "stop_app")
	r.keep("forget-stopped", rmq1, "rabbitmqctl", "forget_cluster_node", rmq3.NodeName())
	r.keep("forget-stopped-replicas", rmq1, "rabbitmq-queues", "quorum_status", "quorum-one")
	if r.quick(rmq1) {
		r.keep("start_app-forgotten-erl_call", rmq3, "erl_call", "-r", "-sname", rmq3.NodeName(), "-a", "rabbit start")
	}
	r.keep("start_app-forgotten", rmq3, "rabbitmqctl", "start_app")
	r.lab(rmq3.BlankBroker)
	r.join(rmq3, rmq1)
	r.lab(rmq2.KillBroker)
	r.lab(rmq3.KillBroker)
	r.keep("minority-forget_cluster_node", rmq1, "rabbitmqctl", "forget_cluster_node", rmq3.NodeName())
}

// noise records a command that the CLI's own logger mixes into.
func (r *recorder) noise(h *lab.Host) {
	r.lab(h.BlankBroker)
	r.lab(func(ctx context.Context) error {
		_, err := h.Run(ctx, "chmod", "0644", "/var/lib/rabbitmq/.erlang.cookie")
		return err
	})
	r.keep("cookie-mode-open-ping", h, "rabbitmqctl", "ping")
}
