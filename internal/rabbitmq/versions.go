package rabbitmq

import (
	"strconv"
	"strings"
)

// Capabilities are what differs between versions and stores, in the only place that knows.
type Capabilities struct {
	// RAMNodes: join_cluster --ram and change_cluster_node_type exist and work.
	// Fixtures: 3.8.9/join-ram, 3.10.8/join-ram, 4.0.5/join-ram (0); 4.3.6/join-ram, 4.3.6/change_type-ram (64).
	RAMNodes bool
	// ForgetLeavesReplicas: forget_cluster_node leaves the replicas of quorum queues behind as ghosts, so they are
	// shrunk first. Measured on 3.8.9: "Raft State":"noproc", and a later grow does nothing.
	ForgetLeavesReplicas bool
}

// capabilities has a row for each version from which something differs, oldest first. A newer version than the last
// row's is taken to behave like it.
var capabilities = []struct {
	major, minor int
	Capabilities
}{
	{3, 0, Capabilities{RAMNodes: true, ForgetLeavesReplicas: true}},
	{3, 10, Capabilities{RAMNodes: true}},
	{4, 3, Capabilities{}},
}

// CapabilitiesOf returns what the version and the store of a node can do.
func CapabilitiesOf(s Status) Capabilities {
	major, minor := versionOf(s.Version)
	found := capabilities[0].Capabilities
	for _, row := range capabilities {
		if major > row.major || (major == row.major && minor >= row.minor) {
			found = row.Capabilities
		}
	}
	// Khepri has no RAM nodes on any version; 4.0 to 4.2 say so only after they wiped the joiner (rabbit_db_cluster:join/2).
	found.RAMNodes = found.RAMNodes && s.Store == Mnesia
	return found
}

func versionOf(version string) (major, minor int) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0
	}
	major, _ = strconv.Atoi(parts[0])
	minor, _ = strconv.Atoi(parts[1])
	return major, minor
}

// OnlyKhepri tells whether a version has no other metadata store. Fixture: 4.3.6/metadata_store_status.
func OnlyKhepri(version string) bool {
	major, minor := versionOf(version)
	return major > 4 || major == 4 && minor >= 3
}
