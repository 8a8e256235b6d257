//go:build linux

package acceptance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// output reads an output into a value.
func (w *workspace) output(name string, into any) {
	w.t.Helper()
	o := w.run("output", "-json", name).succeeds()
	if err := json.Unmarshal([]byte(o.output), into); err != nil {
		w.t.Fatalf("%v\n%s", err, o.output)
	}
}

type clusterData struct {
	ID, Name, Store string
	Majority        bool
	Members         map[string]struct {
		Type        string
		Running     bool
		Version     string
		Erlang      string `json:"erlang_version"`
		Maintenance *bool
		Uptime      *int64
		Listeners   []struct {
			Protocol, Interface string
			Port                int
		}
	}
	Partitions   map[string][]string
	Alarms       []struct{ Node, Resource string }
	FeatureFlags map[string]string `json:"feature_flags"`
}

type nodeData struct {
	Node, State string
	Service     string   `json:"service_state"`
	CookieHash  string   `json:"cookie_hash"`
	Discovered  []string `json:"discovered_peers"`
	Hints       []string `json:"rejoin_hints"`
	Members     []string
	Inventory   *struct {
		VHosts, Users []string
		Queues        []struct {
			Type   string
			Copies []string
			Count  int
		}
	}
}

func TestDataSourcesTellWhatIsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	w := newWorkspace(t)
	w.writeText(labProvider() + fmt.Sprintf(`
data "rabbitmq_cluster" "orders" {
  nodes = {
%s  }
}

data "rabbitmq_node" "last" {
  host = %q
  node = "rabbit@rmq3"
}

output "cluster" { value = data.rabbitmq_cluster.orders }
output "node" { value = data.rabbitmq_node.last }
output "expected_hash" { value = provider::rabbitmq::cookie_hash(%q) }

check "whole" {
  assert {
    condition     = alltrue([for m in data.rabbitmq_cluster.orders.members : m.running])
    error_message = "These do not run: ${join(", ", [for n, m in data.rabbitmq_cluster.orders.members : n if !m.running])}."
  }
}
`, entries(hosts...), rmq3.Address(), sharedCookie))
	read := func() (cluster clusterData, node nodeData) {
		t.Helper()
		w.mustApply()
		w.output("cluster", &cluster)
		w.output("node", &node)
		return cluster, node
	}

	w.tell("of a cluster that is well", func(t *testing.T) {
		addWorker(t, rmq1)
		declareQuorum(t, rmq1, "held", 0)
		ctl(t, rmq1, "set_cluster_name", "orders")
		c, n := read()
		if c.Name != "orders" || !strings.HasPrefix(c.ID, "rabbitmq-cluster-id-") || !c.Majority || len(c.Partitions) != 0 || len(c.Alarms) != 0 || c.FeatureFlags["quorum_queue"] != "enabled" || len(c.Members) != 3 {
			t.Errorf("%+v", c)
		}
		version, _, _ := strings.Cut(strings.TrimSpace(on(t, rmq1, "dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server")), "-")
		for _, h := range hosts {
			m := c.Members[h.NodeName()]
			if m.Type != "disc" || !m.Running || m.Version != version || m.Erlang == "" || m.Maintenance == nil || *m.Maintenance || m.Uptime == nil || *m.Uptime <= 0 {
				t.Errorf("%s: %+v", h.Name(), m)
			}
			if !slices.ContainsFunc(m.Listeners, func(l struct {
				Protocol, Interface string
				Port                int
			}) bool {
				return l.Protocol == "amqp" && l.Port == 5672 && l.Interface == "[::]"
			}) {
				t.Errorf("%s listens on %+v", h.Name(), m.Listeners)
			}
		}
		var hash string
		w.output("expected_hash", &hash)
		if n.State != "running" || n.Service != "active (running)" || n.CookieHash != hash || len(n.Members) != 3 || len(n.Hints) != 0 || n.Inventory == nil || !slices.Contains(n.Inventory.Users, worker) {
			t.Errorf("%+v", n)
		}
		if len(n.Inventory.Queues) != 1 || n.Inventory.Queues[0].Type != "quorum" || n.Inventory.Queues[0].Count != 1 || len(n.Inventory.Queues[0].Copies) != 3 {
			t.Errorf("%+v", n.Inventory)
		}
	})

	w.tell("of a cluster with troubles", func(t *testing.T) {
		ctl(t, rmq1, "set_disk_free_limit", "900000GB")
		on(t, rmq2, "rabbitmq-upgrade", "drain")
		on(t, rmq3, "sh", "-c", "printf 'cluster_formation.classic_config.nodes.1 = rabbit@rmq1\\n# cluster_formation.x = y\\n' > /etc/rabbitmq/rabbitmq.conf")
		t.Cleanup(func() { on(t, rmq3, "rm", "-f", "/etc/rabbitmq/rabbitmq.conf") })
		eventually(t, "the alarm is raised", func() bool { return strings.Contains(ctl(t, rmq2, "-q", "cluster_status"), "disk") })
		c, n := read()
		if len(c.Alarms) != 1 || c.Alarms[0].Node != rmq1.NodeName() || c.Alarms[0].Resource != "disk" {
			t.Errorf("alarms: %+v", c.Alarms)
		}
		if m := c.Members[rmq2.NodeName()].Maintenance; m == nil || !*m {
			t.Errorf("the drained member: %+v", c.Members[rmq2.NodeName()])
		}
		if len(n.Hints) != 1 || !strings.Contains(n.Hints[0], "rabbitmq.conf sets cluster_formation.classic_config.nodes.1") {
			t.Errorf("hints: %q", n.Hints)
		}
		ctl(t, rmq1, "set_disk_free_limit", "50MB")
		on(t, rmq2, "rabbitmq-upgrade", "revive")
	})

	w.tell("of a member that stops, and then is down", func(t *testing.T) {
		ctl(t, rmq3, "stop_app")
		c, n := read()
		if c.Members[rmq3.NodeName()].Running || !c.Members[rmq1.NodeName()].Running || n.State != "stopped" || n.Inventory != nil {
			t.Errorf("stopped: %+v %+v", c, n)
		}
		on(t, rmq3, "systemctl", "stop", "rabbitmq-server")
		w.plan().shows("Check block assertion failed", "These do not run: rabbit@rmq3.")
		c, n = read()
		if c.Members[rmq3.NodeName()].Running || n.State != "down" || n.CookieHash == "" {
			t.Errorf("down: %+v %+v", c, n)
		}
	})

	w.tell("through whoever can be reached, or not at all", func(t *testing.T) {
		w.writeText(strings.ReplaceAll(labProvider()+fmt.Sprintf("\ndata \"rabbitmq_cluster\" \"orders\" {\n  nodes = {\n%s  }\n}\noutput \"cluster\" { value = data.rabbitmq_cluster.orders }\n", entries(hosts...)), "5s", "2s"))
		for _, h := range hosts[:1] {
			ctx, cancel := bounded(t)
			defer cancel()
			if err := h.StopSSHD(ctx); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ctx, cancel := bounded(t)
				defer cancel()
				_ = h.StartSSHD(ctx)
			})
		}
		w.mustApply()
		var c clusterData
		w.output("cluster", &c)
		if len(c.Members) != 3 || !c.Members[rmq1.NodeName()].Running || !c.Members[rmq2.NodeName()].Running {
			t.Errorf("%+v", c)
		}
		ctx, cancel := bounded(t)
		defer cancel()
		if err := rmq2.StopSSHD(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := bounded(t)
			defer cancel()
			_ = rmq2.StartSSHD(ctx)
		})
		w.apply().fails("Unable to read the cluster", "no node that runs could be asked", "rabbit@rmq1", "rabbit@rmq3 is down")
	})
}
