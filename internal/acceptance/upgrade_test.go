//go:build linux

package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// others are, by the lab's release, releases of hosts that stand beside its own during an upgrade.
var others = map[lab.Release]lab.Release{
	lab.V3_8: lab.V3_10, lab.V3_10: lab.V3_8, lab.V4_0: lab.V4_3, lab.V4_0Khepri: lab.V4_3, lab.V4_3: lab.V4_0Khepri,
}

// A host of another version does not join where RabbitMQ would refuse it, and everything else works beside it.
func TestMixedVersionsOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	other := addHostAs(t, lab.HostSpec{Name: "other", Release: others[suite.lab.Release()]})
	w := newWorkspace(t)
	w.write(hcl{members: entries(rmq1, rmq2)})
	w.mustApply()
	ctl(t, other, "add_vhost", "held")

	w.tell("the plan says what is in the way, whatever may be lost", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, other), attributes: "allow_data_loss = true"})
		w.refuses("the versions do not fit together", "rabbit@other: it runs RabbitMQ")
		areOneCluster(t, rmq1, rmq2)
		areAlone(t, other)
		if !slices.Contains(vhosts(t, other), "held") {
			t.Error("other was wiped")
		}
	})

	w.tell("the other way round as well", func(t *testing.T) {
		w := newWorkspace(t)
		w.write(hcl{members: entries(other, rmq3), attributes: "allow_data_loss = true"}) // the one that holds data is built on
		w.refuses("the versions do not fit together", "rabbit@rmq3: it runs RabbitMQ")
		areAlone(t, other, rmq3)
	})

	w.tell("which is what RabbitMQ finds, both ways", func(t *testing.T) {
		for _, c := range []struct{ joiner, seed *lab.Host }{{rmq3, other}, {other, rmq1}} {
			ctl(t, c.joiner, "stop_app")
			ctx, cancel := bounded(t)
			defer cancel()
			out, err := c.joiner.Rabbitmqctl(ctx, "join_cluster", c.seed.NodeName())
			if err == nil {
				t.Errorf("%s joined: %s", c.joiner.Name(), out)
			} else if !strings.Contains(err.Error(), "incompatible_feature_flags") {
				t.Errorf("%s was refused for another reason: %v", c.joiner.Name(), err)
			}
		}
	})
}

// During an upgrade a node of the new version, with only the old version's feature flags on, is a member like any other.
func TestRollingUpgradeOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	rmq1, rmq2, rmq3 := blank(t)
	if suite.lab.Release() != lab.V3_8 {
		t.Skip("of the lab's releases only 3.8 and 3.10 know the same feature flags")
	}
	var flags []string
	for _, flag := range strings.Fields(ctl(t, rmq1, "-q", "list_feature_flags", "name", "state", "--no-table-headers")) {
		if flag != "enabled" && flag != "disabled" {
			flags = append(flags, flag)
		}
	}
	newer := lab.V3_10
	newer.FeatureFlags = strings.Join(flags, ",")
	upgraded := addHostAs(t, lab.HostSpec{Name: "upgraded", Release: newer})
	w := newWorkspace(t)
	named := `name = "orders"`

	w.tell("it joins", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, upgraded), attributes: named})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, upgraded)
		w.planIsEmpty()
	})

	w.tell("through a member of either version everything is read", func(*testing.T) {
		var more string
		for i, h := range []*lab.Host{rmq1, upgraded} {
			more += fmt.Sprintf(`
data "rabbitmq_cluster" "seen%[1]d" {
  nodes = { %[2]q = { host = %[3]q } }
}

output "seen%[1]d" { value = join(" ", [for name, m in data.rabbitmq_cluster.seen%[1]d.members : "${name}=${m.version}"]) }
`, i, h.NodeName(), h.Address())
		}
		w.write(hcl{members: entries(rmq1, rmq2, upgraded), attributes: named, more: more})
		const all = `"rabbit@rmq1=3.8.9 rabbit@rmq2=3.8.9 rabbit@upgraded=3.10.8"`
		w.planShows("seen0 = "+all, "seen1 = "+all)
	})

	w.tell("another of the old version joins", func(t *testing.T) {
		w.write(hcl{members: entries(rmq1, rmq2, rmq3, upgraded), attributes: named})
		w.mustApply()
		areOneCluster(t, rmq1, rmq2, rmq3, upgraded)
		w.planIsEmpty()
	})

	w.tell("a stopped one is started, and the old ones leave", func(t *testing.T) {
		ctl(t, upgraded, "stop_app")
		w.planShows("start the application of rabbit@upgraded")
		w.mustApplyPlan()
		w.write(hcl{members: entries(rmq1, upgraded), attributes: named})
		w.mustApply()
		areOneCluster(t, rmq1, upgraded)
		areAlone(t, rmq2, rmq3)
		w.planIsEmpty()
	})

	w.tell("once the new version's flags are on, an old one is refused", func(t *testing.T) {
		w.write(hcl{members: entries(upgraded), attributes: named})
		w.mustApply()
		ctl(t, upgraded, "enable_feature_flag", "all")
		w.write(hcl{members: entries(upgraded, rmq2), attributes: named})
		w.refuses("the versions do not fit together", "rabbit@rmq2: it runs RabbitMQ 3.8.9, and does not know feature flags that are on at rabbit@upgraded")
		areAlone(t, upgraded, rmq2)
	})
}
