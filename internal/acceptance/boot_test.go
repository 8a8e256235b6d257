//go:build linux

package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// Who asks a node for feature flags before its boot has built their registry builds it, and the boot and he then wait for
// each other (seen on 3.10: the node never comes up). Here is a node that stays in that moment: RabbitMQ's code and
// nothing that runs.
func TestReadsDoNotTouchANodeBeforeItsBoot(t *testing.T) {
	full(t)
	rmq1, _, _ := blank(t)
	const early = "early@rmq1"
	on(t, rmq1, "sh", "-c", "runuser -u rabbitmq -- env HOME=/var/lib/rabbitmq erl -sname early -detached -pa /usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/*/ebin")
	t.Cleanup(func() {
		ctlOf(t, rmq1, early, "eval", "init:stop().")
		on(t, rmq1, "rm", "-f", "/tmp/early-flags")
	})
	built := func() bool {
		return strings.Contains(ctlOf(t, rmq1, early, "-q", "eval", "rabbit_ff_registry:is_registry_initialized()."), "true")
	}
	eventually(t, "the node is there", func() bool {
		ctx, cancel := bounded(t)
		defer cancel()
		_, err := rmq1.Rabbitmqctl(ctx, "-n", early, "eval", `application:load(rabbit), application:set_env(rabbit, feature_flags_file, "/tmp/early-flags"), code:ensure_loaded(rabbit_ff_registry).`)
		return err == nil
	})
	if built() {
		t.Fatal("the registry is built before anybody asked")
	}
	w := newWorkspace(t)
	w.write(hcl{members: fmt.Sprintf("    %q = { host = %q }\n", early, rmq1.Address())})
	o := w.plan()
	if !strings.Contains(contentOf(t, o.log), early) {
		t.Error("the plan did not ask the node")
	}
	if built() {
		t.Error("the plan had the node build its registry of feature flags")
	}
	ctlOf(t, rmq1, early, "eval", "rabbit_feature_flags:is_enabled(quorum_queue).") // it could have
	if !built() {
		t.Error("nothing builds the registry, so this test shows nothing")
	}
}
