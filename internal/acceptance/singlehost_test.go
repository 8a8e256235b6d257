//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// The classic guide's "A Cluster on a Single Machine", as the example in examples/single-host has it, from the start to
// the end: started, clustered, stopped, started again, left, forgotten, dissolved.
func TestGuideSingleMachine(t *testing.T) {
	full(t)
	h, _, _ := blank(t)
	const rabbit, hare, tortoise = "rabbit@rmq1", "hare@rmq1", "tortoise@rmq1"
	endExtraNodes(t, h, "hare", "tortoise")
	w := newWorkspace(t)
	w.example("single-host")
	w.env = []string{
		"TF_VAR_host=" + h.Name(), "TF_VAR_address=" + h.Address(), "TF_VAR_ssh_user=" + lab.User,
		"RABBITMQ_SSH_PRIVATE_KEY_FILE=" + suite.lab.PrivateKeyFile(), "RABBITMQ_SSH_KNOWN_HOSTS_FILES=" + suite.lab.KnownHostsFile(),
	}
	all := []string{hare, rabbit, tortoise}

	w.tell("nodes that do not run yet are started, each as a node of its own, and joined", func(t *testing.T) {
		w.planShows("start the service of "+hare, "start the service of "+tortoise)
		w.mustApplyPlan()
		isOneClusterOnOneHost(t, h, all...)
		for node, port := range map[string]string{rabbit: "5672", hare: "5673", tortoise: "5674"} {
			if out := on(t, h, "ss", "-ltnH", "sport", "=", ":"+port); out == "" {
				t.Errorf("nobody listens on port %s of %s", port, node)
			}
		}
		dirs := on(t, h, "sh", "-c", "ls -d /var/lib/rabbitmq/mnesia/*@rmq1")
		for _, node := range all {
			if !strings.Contains(dirs, "/"+node+"\n") {
				t.Errorf("%s has no data directory of its own in %q", node, dirs)
			}
		}
		if owner := strings.TrimSpace(on(t, h, "stat", "-c", "%U", "/var/lib/rabbitmq/mnesia/"+hare)); owner != "rabbitmq" {
			t.Errorf("%s runs as %s", hare, owner)
		}
		w.planIsEmpty()
	})

	w.tell("they outlive the connection that started them", func(t *testing.T) {
		on(t, h, "sh", "-c", "systemctl stop ssh; pkill -x sshd-session; pkill -x sshd; systemctl start ssh")
		isOneClusterOnOneHost(t, h, all...)
		w.planIsEmpty()
	})

	w.tell("the cookie file that they share is rotated in all of them while they run", func(t *testing.T) {
		for _, cookie := range []string{"ROTATEDONCE", sharedCookie} {
			more := fmt.Sprintf("resource \"rabbitmq_erlang_cookie\" \"this\" {\n  host  = var.address\n  nodes = keys(rabbitmq_cluster.this.members)\n  value = %q\n}\n", cookie)
			if err := os.WriteFile(filepath.Join(w.dir, "cookie.tf"), []byte(more), 0o600); err != nil {
				t.Fatal(err)
			}
			w.mustApply()
			if got, err := h.Cookie(); err != nil || got != cookie {
				t.Errorf("the file has %q, %v", got, err)
			}
			isOneClusterOnOneHost(t, h, all...) // each of them takes what is in the file
			w.planIsEmpty()
		}
		if err := os.Remove(filepath.Join(w.dir, "cookie.tf")); err != nil {
			t.Fatal(err)
		}
		w.mustApply()
	})

	w.tell("a node that was stopped is drift, and is started", func(t *testing.T) {
		ctlOf(t, h, hare, "stop")
		w.planShows("running = false -> true", "start the service of "+hare, "0 to add, 1 to change, 0 to destroy")
		w.mustApplyPlan()
		isOneClusterOnOneHost(t, h, all...)
		w.planIsEmpty()
	})

	w.tell("so is everything after a reboot, when epmd knows nobody", func(t *testing.T) {
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.Boot(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustApply()
		isOneClusterOnOneHost(t, h, all...)
		w.planIsEmpty()
	})

	w.tell("a node that does not come up is an error that says so", func(t *testing.T) {
		ctlOf(t, h, hare, "stop")
		w.env = append(w.env, `TF_VAR_extra_nodes={"hare":5674,"tortoise":5674}`) // tortoise's port
		w.apply().fails("start the service of "+hare, "does not start node "+hare, "one of its ports is another node's")
		w.env = w.env[:len(w.env)-1]
		w.mustApply()
		isOneClusterOnOneHost(t, h, all...)
	})

	w.tell("a node whose line is removed leaves, and goes on alone", func(t *testing.T) {
		w.env = append(w.env, `TF_VAR_extra_nodes={"hare":5673}`)
		w.planShows("take "+tortoise+" out of burrow", "leave it blank and alone")
		w.mustApplyPlan()
		isOneClusterOnOneHost(t, h, hare, rabbit)
		isOneClusterOnOneHost(t, h, tortoise)
		w.planIsEmpty()
	})

	w.tell("a dead one is forgotten", func(t *testing.T) {
		ctlOf(t, h, hare, "stop")
		w.env = append(w.env, `TF_VAR_extra_nodes={}`)
		if suite.lab.Release() == lab.V4_3 { // one of two is no majority, and nothing may be forgotten
			w.apply().fails("the metadata store has no majority, or would lose it")
			w.env = w.env[:len(w.env)-1]
			w.mustApply()
			w.env = append(w.env, `TF_VAR_extra_nodes={}`)
		}
		w.mustApply()
		isOneClusterOnOneHost(t, h, rabbit)
		w.planIsEmpty()
	})

	w.tell("a destroy ends the cluster and leaves the node that systemd runs", func(t *testing.T) {
		w.mustDestroy()
		areAlone(t, h)
	})
}

// example makes a folder of examples the workspace's configuration, as it is.
func (w *workspace) example(name string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", name, "*.tf"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no example %s: %v", name, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, filepath.Base(file)), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// endExtraNodes ends nodes that a test starts on a host beside its own, when the test ends.
func endExtraNodes(t *testing.T, h *lab.Host, names ...string) {
	t.Cleanup(func() {
		ctx, cancel := bounded(t)
		defer cancel()
		for _, name := range names {
			_, _ = h.Rabbitmqctl(ctx, "-n", name, "stop")
			_, _ = h.Run(ctx, "sh", "-c", "rm -rf /var/lib/rabbitmq/mnesia/"+name+"@*")
		}
	})
}

// ctlOf runs rabbitmqctl for one of several nodes on a host, not through the product.
func ctlOf(t *testing.T, h *lab.Host, node string, args ...string) string {
	t.Helper()
	return ctl(t, h, append([]string{"-n", node}, args...)...)
}

// isOneClusterOnOneHost checks that each of the nodes on a host lists exactly them all, running.
func isOneClusterOnOneHost(t *testing.T, h *lab.Host, nodes ...string) {
	t.Helper()
	slices.Sort(nodes)
	for _, node := range nodes {
		s := parseStatus(t, h, ctlOf(t, h, node, "-q", "cluster_status", "--formatter", "json"))
		if !slices.Equal(s.Disc, nodes) || !slices.Equal(s.Running, nodes) {
			t.Errorf("%s lists %v and sees %v running, want %v", node, s.Disc, s.Running, nodes)
		}
	}
}
