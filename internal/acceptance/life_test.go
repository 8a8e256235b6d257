//go:build linux

package acceptance

import (
	"slices"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// The main job from its begin to its end: three blank hosts become a cluster, everything that can happen to it behind
// Terraform's back is seen and mended, a member is taken out, and the cluster is dissolved.
func TestClusterLifeOnEveryVersion(t *testing.T) {
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})

	w.tell("a plan says each step and changes nothing", func(t *testing.T) {
		o := w.planShows(
			"join rabbit@rmq2 to orders as disc node through rabbit@rmq1",
			"join rabbit@rmq3 to orders as disc node through rabbit@rmq1",
			`name the cluster "orders"`)
		if c := o.changes(); len(c) > 0 {
			t.Errorf("the plan ran %q", c)
		}
	})

	w.tell("three blank hosts become one cluster", func(t *testing.T) {
		o := w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		if name := clusterStatus(t, rmq3).Name; name != "orders" {
			t.Errorf("rmq3 calls the cluster %q", name)
		}
		c := o.changes()
		for word, want := range map[string]int{"stop_app": 2, "join_cluster": 2, "start_app": 2, "set_cluster_name": 1} {
			if got := countOf(c, word); got != want {
				t.Errorf("%s ran %d times, want %d: %q", word, got, want, c)
			}
		}
		s, _ := w.state()
		if s.ID == "" || s.Name != "orders" || len(s.Members) != 3 {
			t.Errorf("the state has %+v", s)
		}
		for node, m := range s.Members {
			if !m.Running || m.Type != "disc" {
				t.Errorf("the state has %s as %+v", node, m)
			}
		}
		w.planIsEmpty()
	})

	w.tell("an apply after a success changes nothing", func(t *testing.T) {
		if c := w.mustApply().changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
	})

	w.tell("a stopped service is started, and a node that left by itself joins again", func(t *testing.T) {
		oneCLI(t)
		leaveByHand(t, rmq3)
		areAlone(t, rmq3)
		if err := rmq1.StopBroker(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.planShows(
			"running = false -> true", "start the service of rabbit@rmq1",
			`+ "rabbit@rmq3" = {`, "join rabbit@rmq3 to orders as disc node through rabbit@rmq")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a line that is removed takes its node out, blank and alone", func(t *testing.T) {
		ctl(t, rmq1, "add_vhost", "kept")
		w.write(hcl{members: entries(rmq1, rmq2), attributes: `name = "orders"`})
		w.planShows(`- "rabbit@rmq3" = {`, "take rabbit@rmq3 out of orders through rabbit@rmq1 and leave it blank and alone")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		isBlank(t, rmq3)
		w.planIsEmpty()
	})

	w.tell("a node that somebody joined, a stopped application and a changed name are seen and mended", func(t *testing.T) {
		oneCLI(t)
		joinByHand(t, rmq3, rmq1)
		ctl(t, rmq1, "set_cluster_name", "other")
		ctl(t, rmq2, "stop_app")
		w.planShows(
			`- "rabbit@rmq3" = {`, "take rabbit@rmq3 out of", "and leave it blank and alone",
			"running = false -> true", "start the application of rabbit@rmq2",
			`name = "other" -> "orders"`, `name the cluster "orders"`, "0 to add, 1 to change, 0 to destroy")
		// rmq3 is not in the configuration: the host part of its node name is where it is looked for, and that name is
		// unknown on this machine. Its peers reach it.
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		if name := clusterStatus(t, rmq2).Name; name != "orders" {
			t.Errorf("the cluster is called %q", name)
		}
		w.planIsEmpty()
	})

	w.tell("a destroy leaves every node alone, and the last one with its data", func(t *testing.T) {
		w.run("plan", "-no-color", "-destroy").shows(rmq1.NodeName()+" stays, alone and with all that the cluster holds", "take "+rmq2.NodeName()+" out of")
		w.mustDestroy()
		areAlone(t, rmq1, rmq2, rmq3)
		if !slices.Contains(vhosts(t, rmq1), "kept") {
			t.Error("rmq1 has lost its vhost")
		}
		isBlank(t, rmq2)
		w.hasNoState()
	})
}

// Whatever happens to a cluster behind Terraform's back is seen for itself, and mended for itself.
func TestClusterMendsEachDrift(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2, rmq3), attributes: `name = "orders"`})
	w.mustApply()

	w.tell("a stopped application is started", func(t *testing.T) {
		ctl(t, rmq2, "stop_app")
		w.planShows("running = false -> true", "start the application of rabbit@rmq2", "0 to add, 1 to change, 0 to destroy")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a stopped service is started", func(t *testing.T) {
		if err := rmq1.StopBroker(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.planShows("running = false -> true", "start the service of rabbit@rmq1")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("a changed name is set again", func(t *testing.T) {
		ctl(t, rmq2, "set_cluster_name", "other")
		w.planShows(`name = "other" -> "orders"`, `name the cluster "orders"`)
		w.mustApplyPlan()
		if name := clusterStatus(t, rmq3).Name; name != "orders" {
			t.Errorf("the cluster is called %q", name)
		}
		w.planIsEmpty()
	})

	w.tell("a node that left by itself joins again", func(t *testing.T) {
		leaveByHand(t, rmq3)
		areAlone(t, rmq3)
		w.planShows(`+ "rabbit@rmq3" = {`, "join rabbit@rmq3 to orders as disc node through rabbit@rmq1")
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.write(hcl{members: entries(rmq1, rmq2), attributes: `name = "orders"`})
	w.mustApply()

	w.tell("a node that somebody joined is taken out again", func(t *testing.T) {
		joinByHand(t, rmq3, rmq1)
		w.planShows(`- "rabbit@rmq3" = {`, "take rabbit@rmq3 out of orders through rabbit@rmq1 and leave it blank and alone")
		// rmq3 is not in the configuration: the host part of its node name is where it is looked for, and that name is
		// unknown on this machine. Its peers reach it.
		w.mustApplyPlan()
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, rmq3)
		w.planIsEmpty()
	})
}

// A cluster that somebody formed by hand is taken as it is, read through whoever answers, and kept when it is destroyed.
func TestClusterAdoptsReadsAndKeeps(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq2)
	ctl(t, rmq1, "set_cluster_name", "orders")
	ctl(t, rmq1, "add_vhost", "kept")
	w := newWorkspace(t)
	c := hcl{members: entries(rmq1, rmq2, rmq3), attributes: "name = \"orders\"\n  on_destroy = \"keep\""}
	w.write(c)

	w.tell("adopting runs no command that changes anything", func(t *testing.T) {
		if c := w.mustApply().changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("without the SSH of one member the cluster is read through another", func(t *testing.T) {
		stopSSHD(t, rmq1)
		// rmq1 is not waited for: with that much patience the plan would not end in the time that a run has.
		patient := c
		patient.ssh = `timeout = "1h"`
		w.write(patient)
		w.planIsEmpty()
		w.write(c)
	})

	w.tell("without any SSH the error names each host and its cause, and the state stays", func(t *testing.T) {
		stopSSHD(t, rmq2)
		stopSSHD(t, rmq3)
		short := c
		short.ssh = `timeout = "2s"`
		w.write(short)
		o := w.plan().fails("Unable to read the cluster", "no running member answered")
		for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			o.shows(h.NodeName()+": cannot connect to "+h.Address()+":22", "connect: connection refused",
				"Nothing accepts connections on port 22 of "+h.Address())
		}
		if s, has := w.state(); !has || len(s.Members) != 3 {
			t.Errorf("the state has %+v", s)
		}
		for _, h := range []*lab.Host{rmq1, rmq2, rmq3} {
			if err := h.StartSSHD(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.write(c)
	})

	w.tell("a destroy with keep leaves the cluster", func(t *testing.T) {
		if c := w.mustDestroy().changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		areOneCluster(t, rmq1, rmq2, rmq3)
		w.hasNoState()
		if !slices.Contains(vhosts(t, rmq3), "kept") {
			t.Error("the vhost is gone")
		}
	})
}

func stopSSHD(t *testing.T, h *lab.Host) {
	t.Helper()
	if err := h.StopSSHD(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// leaveByHand takes a node out of its cluster as an operator would on its own host.
func leaveByHand(t *testing.T, h *lab.Host) {
	t.Helper()
	ctl(t, h, "stop_app")
	ctl(t, h, "reset")
	ctl(t, h, "start_app")
}
