//go:build linux

package acceptance

import (
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Quorum queues and streams are where replicas = "grow" says, and left alone without it.
func TestQueuesAreGrownOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	write := func(attributes string, hosts ...*lab.Host) {
		w.write(hcl{members: entries(hosts...), attributes: "name = \"orders\"\n  " + attributes})
	}
	queues := replicated()

	w.tell("queues that are there keep their replicas, and new members get none unless told", func(t *testing.T) {
		write("", rmq1, rmq2)
		w.mustApply()
		for _, kind := range queues {
			declare(t, rmq1, kind, kind, 20)
		}
		write("", rmq1, rmq2, rmq3)
		w.mustApply()
		areOn(t, queues, rmq1, rmq2)
		w.planIsEmpty()
	})

	w.tell("grow is planned where replicas are missing, and done once", func(t *testing.T) {
		write(`replicas = "grow"`, rmq1, rmq2, rmq3)
		w.planShows(`replicas = "none" -> "grow"`, "grow the quorum queues and streams onto rabbit@rmq3 (replicas missing there: ")
		w.mustApplyPlan()
		areOn(t, queues, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a replica that was taken away is drift", func(t *testing.T) {
		ctl(t, rmq1, "eval", `rabbit_quorum_queue:delete_member(<<"/">>, <<"quorum">>, 'rabbit@rmq2').`)
		w.planShows(`replicas = "none" -> "grow"`, "grow the quorum queues and streams onto rabbit@rmq2 (replicas missing there: 1)")
		w.mustApplyPlan()
		areOn(t, queues, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})
}
