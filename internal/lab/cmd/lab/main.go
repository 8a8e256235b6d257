// Command lab boots Debian hosts with RabbitMQ on this machine and lets a person pull their plugs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

const usage = `usage: lab [-name NAME] COMMAND

  up [-release 3.10] [-hosts 3] [-cookie VALUE] [-hold]
                        boot hosts; they run until "lab down", with -hold until ctrl-C
  down [-all]           end the lab and remove all of it (-all: every lab nobody owns)
  status                labs, hosts, brokers
  image [RELEASE...]    build base images (default: all)

  run HOST ARGV...      run a command as root on a host
  shell HOST            a root shell on a host
  add [-node NAME@HOST] [-ipv6] HOST [RELEASE]
                        boot one more host, its node under another name, or with IPv6 only
  blank [HOST...]       make brokers blank standalone nodes (default: all)
  cookie VALUE          give all hosts this cookie and restart the brokers

  cut HOST...           pull the network cable
  split HOST... / HOST...   drop all traffic between two groups
  heal                  end every cut and split
  freeze HOST...        stop every process where it stands
  thaw HOST...
  plug HOST...          pull the plug: no shutdown
  stop HOST...          power off cleanly
  boot HOST...          boot again with the disk it has
  wipe HOST...          plug out, blank disk, new SSH host key, boot
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := command(ctx, os.Args[1:]); err != nil {
		var failed *lab.CommandError
		fmt.Fprintln(os.Stderr, "lab:", err)
		if errors.As(err, &failed) && failed.ExitCode > 0 {
			os.Exit(failed.ExitCode)
		}
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	name := flags.String("name", "lab", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return errors.New("no command")
	}
	verb, args := flags.Arg(0), flags.Args()[1:]
	switch verb {
	case "up":
		return up(ctx, *name, args)
	case "down":
		return down(*name, args)
	case "status":
		return status(ctx)
	case "image":
		return images(ctx, args)
	}
	l, err := lab.Open(*name)
	if err != nil {
		return err
	}
	return act(ctx, l, verb, args)
}

func up(ctx context.Context, name string, args []string) error {
	flags := flag.NewFlagSet("lab up", flag.ContinueOnError)
	release := flags.String("release", lab.DefaultRelease.RabbitMQ, "RabbitMQ version")
	hosts := flags.Int("hosts", 3, "number of hosts")
	cookie := flags.String("cookie", "", "one Erlang cookie for all hosts")
	hold := flags.Bool("hold", false, "stay in the foreground and end the lab at ctrl-C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := lab.ParseRelease(*release)
	if err != nil {
		return err
	}
	l, err := lab.Up(ctx, lab.Options{
		Name: name, Release: r, Hosts: *hosts, Cookie: *cookie, Detach: !*hold, Progress: os.Stderr,
	})
	if err != nil {
		return err
	}
	for _, h := range l.Hosts() {
		fmt.Printf("%s\t%s\tssh -i %s -o UserKnownHostsFile=%s %s@%s\n",
			h.NodeName(), h.Address(), l.PrivateKeyFile(), l.KnownHostsFile(), lab.User, h.Address())
	}
	if !*hold {
		return nil
	}
	fmt.Fprintln(os.Stderr, "lab: ctrl-C ends it")
	<-ctx.Done()
	return l.Down()
}

func down(name string, args []string) error {
	flags := flag.NewFlagSet("lab down", flag.ContinueOnError)
	all := flags.Bool("all", false, "every lab that nobody owns")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *all {
		return lab.DownAll(os.Stderr)
	}
	l, err := lab.Open(name)
	if err != nil {
		return err
	}
	return l.Down()
}

func status(ctx context.Context) error {
	for _, name := range lab.Names() {
		l, err := lab.Open(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s\t%s\towner: %s\tkey: %s\n", name, l.Release(), l.Owner(), l.PrivateKeyFile())
		for _, h := range l.Hosts() {
			fmt.Printf("  %s\t%s\t%s\n", h.NodeName(), h.Address(), hostStatus(ctx, h))
		}
	}
	return nil
}

func hostStatus(ctx context.Context, h *lab.Host) string {
	if !h.Running() {
		return "off"
	}
	broker, err := h.BrokerState(ctx)
	if err != nil {
		return err.Error()
	}
	cpu, err := h.CPUSeconds()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("broker %s\t%.1f CPU seconds", broker, cpu)
}

func images(ctx context.Context, names []string) error {
	if err := lab.Preflight(); err != nil {
		return err
	}
	releases := lab.Releases
	if len(names) > 0 {
		releases = nil
	}
	for _, name := range names {
		r, err := lab.ParseRelease(name)
		if err != nil {
			return err
		}
		releases = append(releases, r)
	}
	for _, r := range releases {
		path, err := lab.Image(ctx, r, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%s\n", r, path)
	}
	return nil
}

func act(ctx context.Context, l *lab.Lab, verb string, args []string) error {
	if verb == "heal" {
		return l.Heal(ctx)
	}
	if verb == "blank" && len(args) == 0 {
		return l.BlankAll(ctx)
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("%s: what, or which host?", verb)
	}
	switch verb {
	case "cookie":
		return l.ShareCookie(ctx, args[0])
	case "add":
		return add(ctx, l, args)
	case "run", "shell":
		hosts, err := find(l, args[:1])
		if err != nil {
			return err
		}
		if verb == "run" && len(args) == 1 {
			return errors.New("run: what?")
		}
		return hosts[0].Shell(ctx, args[1:]...)
	case "split":
		left, right, _ := strings.Cut(strings.Join(args, " "), "/")
		a, err := find(l, strings.Fields(left))
		if err != nil {
			return err
		}
		b, err := find(l, strings.Fields(right))
		if err != nil {
			return err
		}
		return l.Partition(ctx, a, b)
	}
	do, ok := verbs[verb]
	if !ok {
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("no command %q", verb)
	}
	hosts, err := find(l, args)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if err := do(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func add(ctx context.Context, l *lab.Lab, args []string) error {
	var spec lab.HostSpec
	flags := flag.NewFlagSet("lab add", flag.ContinueOnError)
	flags.StringVar(&spec.Node, "node", "", "Erlang node name")
	flags.BoolVar(&spec.IPv6, "ipv6", false, "IPv6 only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	spec.Name = flags.Arg(0)
	if flags.NArg() > 1 {
		r, err := lab.ParseRelease(flags.Arg(1))
		if err != nil {
			return err
		}
		spec.Release = r
	}
	_, err := l.AddHost(ctx, spec)
	return err
}

// verbs are the commands that do one thing to each host named.
var verbs = map[string]func(context.Context, *lab.Host) error{
	"blank":  func(ctx context.Context, h *lab.Host) error { return h.BlankBroker(ctx) },
	"cut":    func(ctx context.Context, h *lab.Host) error { return h.CutNetwork(ctx) },
	"freeze": func(ctx context.Context, h *lab.Host) error { return h.Freeze(ctx) },
	"thaw":   func(ctx context.Context, h *lab.Host) error { return h.Thaw(ctx) },
	"plug":   func(ctx context.Context, h *lab.Host) error { return h.PullPlug(ctx) },
	"stop":   func(ctx context.Context, h *lab.Host) error { return h.Stop(ctx) },
	"boot":   func(ctx context.Context, h *lab.Host) error { return h.Boot(ctx) },
	"wipe": func(ctx context.Context, h *lab.Host) error {
		if err := h.Wipe(ctx, lab.NewHostKey); err != nil {
			return err
		}
		return h.Boot(ctx)
	},
}

func find(l *lab.Lab, names []string) ([]*lab.Host, error) {
	var hosts []*lab.Host
	for _, name := range names {
		h := l.Host(name)
		if h == nil {
			return nil, fmt.Errorf("lab %s has no host %s", l.Name(), name)
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}
