package topology

import (
	"slices"
	"strings"
)

// Nodes of different versions in one cluster, as during a rolling upgrade.

// Flag is a feature flag that a node knows.
type Flag struct {
	Application string // that it belongs to; a node without it need not know the flag
	On          bool
	Stays       bool // it is still on when the node was reset to join
}

// checkVersion holds a joiner against each running member as RabbitMQ does: every feature flag that is on at one of them
// must be known to the other (rabbit_ff_controller:are_compatible/2). The versions themselves do not count, so that an
// older or a newer node can join during a rolling upgrade while the flags of the older version are the ones that are on.
func (p *planner) checkVersion(node string) {
	view := p.seen[node]
	for _, member := range p.base.Voices {
		other := p.seen[member]
		if view.Flags == nil || other.Flags == nil {
			if view.Version != other.Version {
				p.refusal.refuse(RuleVersion, node, "Bring both to the same version.",
					"it runs RabbitMQ %s and %s runs %s, and their feature flags, which would tell whether that fits, could not be read", view.Version, member, other.Version)
				return
			}
			continue
		}
		on := func(f Flag) bool { return f.On }
		if unknown := view.lacks(other, on); len(unknown) > 0 {
			p.refusal.refuse(RuleVersion, node, "Bring it to the version of the members.",
				"it runs RabbitMQ %s, and does not know feature flags that are on at %s, which runs %s: %s", view.Version, member, other.Version, strings.Join(unknown, ", "))
			return
		}
		stays := func(f Flag) bool { return f.Stays }
		if unknown := other.lacks(view, stays); len(unknown) > 0 {
			p.refusal.refuse(RuleVersion, node, "Bring the members to its version first; a node that is to join during an upgrade must not have the new flags on, see RABBITMQ_FEATURE_FLAGS in RabbitMQ's documentation.",
				"it runs RabbitMQ %s, and feature flags are on at it that %s, which runs %s, does not know: %s", view.Version, member, other.Version, strings.Join(unknown, ", "))
			return
		}
	}
	if view.OnlyKhepri && !p.base.Khepri {
		// It resets itself, then has a member enable khepri_db, and is left wiped when that fails, for example because a
		// member is down (rabbit_db_cluster:join/2 since 4.3.0).
		p.refusal.refuse(RuleVersion, node, "Enable it there first (`rabbitmqctl enable_feature_flag --opt-in khepri_db`), or join a node of the members' version.",
			"it runs RabbitMQ %s, which has no other metadata store than Khepri, and joining would move %s from Mnesia to it", view.Version, p.clusterName())
	}
}

// lacks returns the flags of other, of those that count, which the node would have to know and does not.
func (v View) lacks(other View, counts func(Flag) bool) []string {
	var unknown []string
	for _, name := range sortedKeys(other.Flags) {
		flag := other.Flags[name]
		if _, knows := v.Flags[name]; !knows && counts(flag) && slices.Contains(v.Applications, flag.Application) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
