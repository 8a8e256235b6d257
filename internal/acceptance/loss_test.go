//go:build linux

package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Nothing is lost unless the configuration says allow_data_loss = true: it is refused in the plan and in the apply.
func TestClusterKeepsDataUnlessTold(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	const allowed = "allow_data_loss = true"

	w.tell("a member of another cluster is not taken out of it", func(t *testing.T) {
		joinByHand(t, rmq3, rmq2)
		w.write(hcl{members: entries(rmq1, rmq2)})
		w.refuses("the node is a member of another cluster", "rabbit@rmq2: it is in a cluster with rabbit@rmq3")
		areAlone(t, rmq1)
		areOneCluster(t, rmq2, rmq3)
		w.hasNoState()
	})

	w.tell("with allow_data_loss it is", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2), attributes: allowed})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		w.planIsEmpty()
	})

	w.tell("a node with a vhost, a user and a queue is not wiped", func(t *testing.T) {
		ctl(t, rmq3, "add_vhost", "shop")
		ctl(t, rmq3, "add_user", "seller", "secret")
		addQueue(t, rmq3, "shop", "baskets", 3)
		w.write(hcl{members: entries(rmq1, rmq2, rmq3)})
		w.refuses("data would be lost", "rabbit@rmq3: joining the cluster of rabbit@rmq1 wipes the node, which holds",
			"vhost shop", "user seller", "1 classic queue with 3 messages (baskets in shop: 3)", "allow_data_loss = true")
		areAlone(t, rmq3)
		if got := strings.Fields(ctl(t, rmq3, "-q", "list_queues", "-p", "shop", "--no-table-headers", "name", "messages")); !slices.Equal(got, []string{"baskets", "3"}) {
			t.Errorf("the queues of rmq3 are %q", got)
		}
		if users := ctl(t, rmq3, "-q", "list_users"); !strings.Contains(users, "seller") {
			t.Errorf("the users of rmq3 are %s", users)
		}
	})

	w.tell("with allow_data_loss the plan says what goes, and the apply does it", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: allowed})
		w.planShows("This destroys for good: vhost shop, user seller, 1 classic queue with 3 messages")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		isBlank(t, rmq3)
	})

	w.tell("a member with the only copy of a queue is not taken out", func(t *testing.T) {
		addQueue(t, rmq3, "/", "baskets", 2)
		w.write(hcl{members: entries(rmq1, rmq2)})
		w.refuses("data would be lost", "rabbit@rmq3: the only copy of 1 classic queue with 2 messages (baskets in /: 2) would go")
		areOneCluster(t, rmq1, rmq2, rmq3)
	})
}

// refuses checks that plan and apply both end with an error that says all of this, and run nothing.
func (w *workspace) refuses(texts ...string) {
	w.t.Helper()
	for _, o := range []outcome{w.plan(), w.apply()} {
		o.fails(texts...)
		if c := o.changes(); len(c) > 0 {
			w.t.Errorf("%q ran %q", o.args, c)
		}
	}
}

// addQueue declares a durable classic queue on a node and publishes to it. rabbitmqctl has no command for that.
func addQueue(t *testing.T, h *lab.Host, vhost, name string, messages int) {
	t.Helper()
	ctl(t, h, "eval", strings.NewReplacer("VHOST", vhost, "NAME", name, "MESSAGES", fmt.Sprint(messages)).Replace(`
		{new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<"VHOST">>, queue, <<"NAME">>), true, false, [], none, <<"test">>),`+publishing))
}

// publishing is an expression that publishes.
const publishing = `
		Exchange = rabbit_misc:r(<<"VHOST">>, exchange, <<>>),
		Properties = erlang:make_tuple(15, undefined, [{1, 'P_basic'}]),
		code:ensure_loaded(rabbit_basic),
		Publish = case erlang:function_exported(rabbit_basic, publish, 4) of
			true -> % 3.x
				fun() -> rabbit_basic:publish(Exchange, <<"NAME">>, Properties, <<"hello">>) end;
			false ->
				fun() ->
					{ok, Message} = mc_amqpl:message(Exchange, <<"NAME">>, rabbit_basic:build_content(Properties, <<"hello">>)),
					rabbit_queue_type:publish_at_most_once(Exchange, Message)
				end
		end,
		[Publish() || _ <- lists:seq(1, MESSAGES)].`
