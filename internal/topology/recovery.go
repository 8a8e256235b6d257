package topology

import (
	"fmt"
	"strings"
)

// Bringing a cluster back from which too many members are missing. A member that was not the last to stop waits for
// others when it starts, and nothing here forces it: what that costs is for a person to decide.

// Recovery says how members come back that wait for others in vain, and what it costs when those are gone for good. It
// is empty when nothing is waited for in vain: a cluster runs, with its majority.
func Recovery(w Wish, s Snapshot) string {
	if base, ok := s.Base(w); ok && !s[base.Voices[0]].NoMajority {
		return ""
	}
	var missing, there []string
	stores := map[bool]bool{}
	for _, node := range w.names() {
		view := s[node]
		switch view.State {
		case Unreachable, Failed, Down:
			missing = append(missing, node)
		default:
			there = append(there, node)
			stores[view.Khepri] = true
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "A member that did not stop last waits for the others when it starts: on Mnesia for the last one that ran, five minutes long; on Khepri until more than half of the members are up.\n")
	if len(missing) > 0 {
		fmt.Fprintf(&b, "Not there: %s. The safe way is to bring them back, then to apply again, which starts all of them at once and loses nothing.\n", strings.Join(missing, ", "))
	} else {
		b.WriteString("All members are there; look at the brokers' logs for why they do not find each other, then apply again.\n")
	}
	b.WriteString("Only if they are gone for good, on one member, best the one that stopped last:\n")
	both := len(there) == 0
	if both || stores[false] {
		b.WriteString("- Mnesia: `systemctl stop rabbitmq-server`, `rabbitmqctl force_boot`, `systemctl start rabbitmq-server`. What the others changed after this one stopped is lost, and so are classic queues whose only copy is on them. " +
			"(Or, with all members stopped, `rabbitmqctl forget_cluster_node --offline NODE` for each one that is gone.)\n")
	}
	if both || stores[true] {
		b.WriteString("- Khepri: `systemctl restart --no-block rabbitmq-server`, and while it boots `rabbitmqctl force_standalone_khepri_boot`. The member becomes a cluster of one: what only the others had confirmed is lost, and quorum queues with most replicas on them stay unavailable.\n")
	}
	b.WriteString("Then take those that are gone out of the configuration and apply.")
	return b.String()
}
