//go:build linux

package acceptance

import "testing"

// Queues that keep replicas outlive the members that leave, down to the last one, and new ones can be made there.
func TestReplicatedQueuesOutliveLeaversOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3)})
	w.mustApply()
	var queues []string
	for _, kind := range replicated() {
		declare(t, rmq3, kind, kind+"s", 5) // led from there
		queues = append(queues, kind+"s")
	}
	areOn(t, queues, rmq1, rmq2, rmq3)

	w.tell("from three members to two", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2)})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		areOn(t, queues, rmq1, rmq2)
		w.planIsEmpty()
	})
	w.tell("from two to one", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1)})
		w.mustApply()
		areAlone(t, rmq1, rmq2)
		areOn(t, queues, rmq1)
		w.planIsEmpty()
		for _, kind := range replicated() {
			declare(t, rmq1, kind, "late-"+kind, 5)
		}
	})
}
