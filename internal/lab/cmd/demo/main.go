// Command demo shows the main job on three real hosts: Terraform or OpenTofu makes them one RabbitMQ cluster, sees what
// somebody broke, mends it, and dissolves the cluster. `make demo` runs it. Everything that it says is checked on the
// brokers or by exit codes, and it fails when anything is otherwise. Whatever way it ends, nothing of it is left.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// name is the lab's name, which keeps it apart from those of the tests.
const name = "demo"

func main() {
	ctx, interrupted := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Whoever asks twice does not wait for the clean-up: the lab's reaper does it.
	context.AfterFunc(ctx, interrupted)
	// A reader that went away, as in `make demo | head`, ends the demo in order instead of at once.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	out := &narrator{out: os.Stdout, began: time.Now(), gone: interrupted}
	d, err := prepare(out)
	if err != nil {
		fail(1, err)
	}
	err = d.run(ctx)
	left := d.cleanUp()
	switch {
	case ctx.Err() != nil && left == nil:
		fail(130, errors.New("interrupted; nothing is left running"))
	case ctx.Err() != nil:
		fail(130, fmt.Errorf("interrupted, and the clean-up failed: %w", left))
	case err != nil || left != nil:
		fail(1, errors.Join(err, left))
	}
	out.step("Done: all that was said was checked, and nothing is left running.")
}

func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, "demo:", err)
	os.Exit(code)
}

// prepare finds out whether the demo can run here, and leaves nothing that the demo's clean-up does not remove.
func prepare(out *narrator) (*demo, error) {
	if err := lab.Preflight(); err != nil {
		return nil, err
	}
	release := lab.DefaultRelease
	if wanted := os.Getenv("RABBITMQ_LAB_RELEASE"); wanted != "" {
		var err error
		if release, err = lab.ParseRelease(wanted); err != nil {
			return nil, err
		}
	}
	cli, err := findCLI()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rabbitmq-demo-")
	if err != nil {
		return nil, err
	}
	return &demo{narrator: out, release: release, workspace: workspace{cli: cli, dir: dir, told: map[string]bool{}}}, nil
}

// run tells the story.
func (d *demo) run(ctx context.Context) error {
	for _, part := range d.story() {
		d.step(part.title)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s\n%w", part.title, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// demo is what the parts of the story share.
type demo struct {
	*narrator
	workspace
	release lab.Release
	lab     *lab.Lab
}

// part is one thing that is announced and then done.
type part struct {
	title string
	do    func(context.Context) error
}

func (d *demo) story() []part {
	cli := d.name()
	return []part{
		{"Build the provider of this checkout.", d.build},
		{fmt.Sprintf("Boot three Debian hosts, each with a running %s, an SSH server and an Erlang cookie of its own.", d.release), d.boot},
		{"Write the configuration: one cookie for all hosts, then one cluster of them.", d.configure},
		{cli + " plan: says what would happen, and touches nothing.", d.firstPlan},
		{cli + " apply: does it, one step at a time, each checked on the node and on a peer before the next.", d.firstApply},
		{"rabbitmqctl cluster_status, on rmq2.", d.status},
		{cli + " plan: nothing is left to do.", d.emptyPlan},
		{"Break it by hand: rmq2's application is stopped, and rmq3 leaves the cluster by itself.", d.breakIt},
		{cli + " plan: shows both, and how they will be mended.", d.drift},
		{cli + " apply: mends both.", d.repair},
		{cli + " plan: nothing is left to do.", d.emptyPlan},
		{cli + " destroy: every member but one leaves and is blank again.", d.destroy},
	}
}

func (d *demo) build(ctx context.Context) error { return d.workspace.build(ctx) }

func (d *demo) boot(ctx context.Context) (err error) {
	d.lab, err = lab.Up(ctx, lab.Options{Name: name, Release: d.release, Hosts: 3, Progress: d.progress()})
	if err != nil {
		return err
	}
	if err := d.areAlone(ctx); err != nil {
		return err
	}
	cookies := map[string]bool{}
	for _, h := range d.lab.Hosts() {
		cookie, err := h.Cookie()
		if err != nil {
			return err
		}
		cookies[cookie] = true
	}
	if len(cookies) != 3 {
		return fmt.Errorf("the three hosts have %d different cookies", len(cookies))
	}
	d.checked("each broker stands alone, and no two cookies are equal")
	return nil
}

func (d *demo) configure(context.Context) error {
	text, err := d.write(d.lab)
	if err != nil {
		return err
	}
	d.quote(text)
	d.say("The cookie comes from the environment, TF_VAR_cookie, and is kept nowhere but on the hosts.")
	return nil
}

func (d *demo) firstPlan(ctx context.Context) error {
	if _, err := d.cliRun(ctx, d.narrator, 2, "plan", "-detailed-exitcode", "-out=plan.bin"); err != nil {
		return err
	}
	if err := d.areAlone(ctx); err != nil {
		return err
	}
	d.checked("exit code 2, and each broker still stands alone")
	return nil
}

func (d *demo) firstApply(ctx context.Context) error {
	if _, err := d.cliRun(ctx, d.narrator, 0, "apply", "plan.bin"); err != nil {
		return err
	}
	if err := d.areOneCluster(ctx); err != nil {
		return err
	}
	for _, h := range d.lab.Hosts() {
		cookie, err := h.Cookie()
		if err != nil {
			return err
		}
		if cookie != d.cookie {
			return fmt.Errorf("%s has another cookie than the configured one", h.Name())
		}
	}
	if err := d.keepsNoCookie(); err != nil {
		return err
	}
	d.checked("all three hosts list all three as running and have the cookie; neither state nor plan has it")
	return nil
}

func (d *demo) status(ctx context.Context) error {
	text, err := d.lab.Host("rmq2").Rabbitmqctl(ctx, "-q", "cluster_status")
	if err != nil {
		return err
	}
	d.quote(shortStatus(text))
	return nil
}

func (d *demo) emptyPlan(ctx context.Context) error {
	if _, err := d.cliRun(ctx, d.narrator, 0, "plan", "-detailed-exitcode"); err != nil {
		return err
	}
	d.checked("exit code 0")
	return nil
}

func (d *demo) breakIt(ctx context.Context) error {
	for _, do := range []struct {
		host     string
		commands []string
	}{{"rmq3", []string{"stop_app", "reset", "start_app"}}, {"rmq2", []string{"stop_app"}}} {
		d.say("%s# rabbitmqctl %s", do.host, strings.Join(do.commands, "; rabbitmqctl "))
		for _, command := range do.commands {
			if _, err := d.lab.Host(do.host).Rabbitmqctl(ctx, "-q", command); err != nil {
				return err
			}
		}
	}
	if err := d.lists(ctx, "rmq3", "rabbit@rmq3"); err != nil {
		return err
	}
	return d.lists(ctx, "rmq1", "rabbit@rmq1", "rabbit@rmq2 (down)")
}

func (d *demo) drift(ctx context.Context) error {
	text, err := d.cliRun(ctx, d.narrator, 2, "plan", "-detailed-exitcode", "-out=plan.bin")
	if err != nil {
		return err
	}
	for _, want := range []string{
		"running = false -> true", `+ "rabbit@rmq3" = {`,
		"Warning: start the application of rabbit@rmq2", "Warning: join rabbit@rmq3 to orders as disc node through rabbit@rmq1",
	} {
		if !strings.Contains(text, want) {
			return fmt.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	d.checked("exit code 2")
	return nil
}

func (d *demo) repair(ctx context.Context) error {
	if _, err := d.cliRun(ctx, d.narrator, 0, "apply", "plan.bin"); err != nil {
		return err
	}
	if err := d.areOneCluster(ctx); err != nil {
		return err
	}
	d.checked("all three hosts list all three as running")
	return nil
}

func (d *demo) destroy(ctx context.Context) error {
	if _, err := d.cliRun(ctx, d.narrator, 0, "destroy", "-auto-approve"); err != nil {
		return err
	}
	if err := d.areAlone(ctx); err != nil {
		return err
	}
	d.checked("each broker stands alone again")
	return nil
}

// cleanUp ends the hosts, removes all files, and looks whether the lab is gone. It also does so after an interruption.
func (d *demo) cleanUp() error {
	var err error
	if d.lab != nil {
		d.step("End the hosts and remove all that the demo made.")
		err = d.lab.Down()
	}
	if slices.Contains(lab.Names(), name) {
		err = errors.Join(err, fmt.Errorf("the lab %[1]s is still there: `go run ./internal/lab/cmd/lab -name %[1]s down` removes it", name))
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}
