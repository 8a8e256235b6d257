package rabbitmq

import (
	"strconv"
	"strings"
)

// Capabilities are what differs between versions and stores. The table below is the only place that knows; its test
// holds the cells against what real brokers of that version printed.
type Capabilities struct {
	// RAMNodes: join_cluster --ram and change_cluster_node_type make RAM nodes. Khepri has none: 4.0 to 4.2 say so after
	// they wiped the joiner (rabbit_db_cluster:join/2), and 4.3 no longer has the commands.
	RAMNodes bool
	// StopsForJoin: join_cluster stops a running application by itself, and starts it again. Before, it refuses.
	StopsForJoin bool
	// JoinsAsBlank: whether a join is possible is decided as if the joiner had been reset already. Before, the feature
	// flags that are on at it count as well.
	JoinsAsBlank bool
	// RejoinResets: join_cluster of a node that is a member already does not say so; it resets the node and adds it anew.
	RejoinResets bool
	// FailedJoinWipes: join_cluster through a member whose application is stopped fails after it wiped the joiner.
	FailedJoinWipes bool
	// NeedsMajority: every change of membership needs a majority of the members.
	NeedsMajority bool
	// ForgetLeavesReplicas: forget_cluster_node leaves the replicas of quorum queues behind as ghosts ("Raft State":
	// "noproc", and a later grow does nothing), so they are shrunk first.
	ForgetLeavesReplicas bool
	// ForgetResets: forget_cluster_node has a stopped node that it reaches leave and reset itself. A blank one has nothing to
	// leave: then it reports success, and the name is listed as before (measured on 4.3; rabbit_khepri:remove_member/1).
	ForgetResets bool
	// StoppedKnowsPeers: a node whose application is stopped still lists the members. Khepri's does not: ask a peer.
	StoppedKnowsPeers bool
	// OnlyKhepri: there is no other metadata store, and a join to a cluster on Mnesia would move that one to Khepri.
	OnlyKhepri bool
	// LogsToStdout: the CLI's own log lines come out on standard output, between the lines of the answer; before, on
	// standard error.
	LogsToStdout bool
}

// Line is a row of the table: what holds from a version on, for one store, until the next row of the store.
type Line struct {
	Since  string // the first version
	Store  Store
	Record string // the directory of testdata that proves it
	Capabilities
}

// Lines is the table, oldest first. A version that is newer than its store's last line is taken to behave like that one,
// except in what the node says of itself (Status.Can).
var Lines = []Line{
	{"3.8", Mnesia, "3.8.9", Capabilities{RAMNodes: true, ForgetLeavesReplicas: true, StoppedKnowsPeers: true}},
	{"3.10", Mnesia, "3.10.8", Capabilities{RAMNodes: true, StoppedKnowsPeers: true}},
	{"4.0", Mnesia, "4.0.5", Capabilities{RAMNodes: true, StopsForJoin: true, StoppedKnowsPeers: true, LogsToStdout: true}},
	{"4.0", Khepri, "4.0.5-khepri", Capabilities{StopsForJoin: true, RejoinResets: true, FailedJoinWipes: true, NeedsMajority: true, ForgetResets: true, LogsToStdout: true}},
	{"4.3", Khepri, "4.3.6", Capabilities{StopsForJoin: true, JoinsAsBlank: true, RejoinResets: true, FailedJoinWipes: true, NeedsMajority: true, ForgetResets: true, OnlyKhepri: true, LogsToStdout: true}},
}

// CapabilitiesOf returns what a node can do: by the table, and by its own word where it gave one.
func CapabilitiesOf(s Status) Capabilities {
	var found *Line
	for i, line := range Lines {
		if line.Store == s.Store && (found == nil || !older(s.Version, line.Since)) {
			found = &Lines[i]
		}
	}
	if found == nil {
		return Capabilities{}
	}
	c := found.Capabilities
	for _, own := range []struct {
		said *bool
		into *bool
	}{{s.Can.RAMNodes, &c.RAMNodes}, {s.Can.JoinAsBlank, &c.JoinsAsBlank}} {
		if own.said != nil {
			*own.into = *own.said
		}
	}
	if s.Can.Mnesia != nil {
		c.OnlyKhepri = !*s.Can.Mnesia
	}
	return c
}

// older tells whether a version comes before another, by their first two numbers.
func older(version, than string) bool {
	major, minor := versionOf(version)
	thanMajor, thanMinor := versionOf(than)
	return major < thanMajor || (major == thanMajor && minor < thanMinor)
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
