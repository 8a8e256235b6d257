//go:build linux

package acceptance

import (
	"strings"
	"testing"
)

// Each thing that only a joiner holds keeps it out, in the plan and in the apply, and is there afterwards.
func TestJoinerKeepsWhateverItHolds(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq3, rmq1)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3)})
	w.planShows("join rabbit@rmq2 to the cluster of rabbit@rmq1")

	for _, c := range []struct {
		what      string
		add       func(t *testing.T)
		says      string
		intact    func(t *testing.T) string
		want      string
		takenAway []string
	}{
		{"a vhost", func(t *testing.T) { ctl(t, rmq2, "add_vhost", "shop") }, "vhost shop",
			func(t *testing.T) string { return ctl(t, rmq2, "-q", "list_vhosts", "--no-table-headers") }, "shop", []string{"delete_vhost", "shop"}},
		{"a user", func(t *testing.T) { ctl(t, rmq2, "add_user", "seller", "secret") }, "user seller",
			func(t *testing.T) string { return ctl(t, rmq2, "-q", "list_users", "--no-table-headers") }, "seller", []string{"delete_user", "seller"}},
		{"a global parameter", func(t *testing.T) { ctl(t, rmq2, "set_global_parameter", "mine", `{"a":1}`) }, "global parameter mine",
			func(t *testing.T) string { return ctl(t, rmq2, "-q", "list_global_parameters") }, "mine", []string{"clear_global_parameter", "mine"}},
		{"a queue with ten messages", func(t *testing.T) { addQueue(t, rmq2, "/", "baskets", 10) }, "1 classic queue with 10 messages (baskets in /: 10)",
			func(t *testing.T) string {
				return ctl(t, rmq2, "-q", "list_queues", "--no-table-headers", "name", "messages")
			}, "baskets\t10", nil},
	} {
		w.tell(c.what, func(t *testing.T) {
			c.add(t)
			w.refuses("data would be lost", "rabbit@rmq2: joining the cluster of rabbit@rmq1 wipes the node, which holds "+c.says, "allow_data_loss = true")
			if got := c.intact(t); !strings.Contains(got, c.want) {
				t.Errorf("afterwards rmq2 has %q", got)
			}
			areAlone(t, rmq2)
			if c.takenAway != nil {
				ctl(t, rmq2, c.takenAway...)
			}
		})
	}

	w.tell("with allow_data_loss it is joined, and the plan and the log say what that costs", func(t *testing.T) {
		ctl(t, rmq2, "add_vhost", "shop")
		w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: "allow_data_loss = true"})
		const words = "join rabbit@rmq2 to the cluster of rabbit@rmq1 as disc node through rabbit@rmq1; its 1 vhost, 1 queue, 10 messages are lost"
		w.planShows("Warning: "+words, "This destroys for good: vhost shop, 1 classic queue with 10 messages")
		if o := w.mustApplyPlan(); !strings.Contains(o.logged(), words) {
			t.Error("the log does not say what the plan said")
		}
		areOneCluster(t, rmq1, rmq2, rmq3)
		isBlank(t, rmq2)
		if o := w.plan(); o.code != 0 || strings.Contains(o.output, "Warning") {
			t.Errorf("the next plan has exit code %d and says %s", o.code, o.output)
		}
	})
}
