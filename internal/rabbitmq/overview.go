package rabbitmq

import (
	"fmt"
	"strings"
)

// Overview is what one member can tell of the whole cluster.
type Overview struct {
	Members      []Peer            `json:"members"` // those that run
	Alarms       []Alarm           `json:"alarms"`
	FeatureFlags map[string]string `json:"feature_flags"`
}

// Peer is a running member as another one sees it. What it did not answer is empty, nil or negative: a member whose
// cookie differs answers nothing.
type Peer struct {
	Node        string     `json:"node"`
	Version     string     `json:"version"`
	Erlang      string     `json:"erlang"`
	Maintenance string     `json:"maintenance"` // regular, undefined or draining; unknown when it did not answer
	Uptime      int64      `json:"uptime"`      // of its Erlang virtual machine, in seconds
	Listeners   []Listener `json:"listeners"`
}

// Draining tells whether a maintenance status means that the node takes no clients.
func Draining(maintenance string) bool { return maintenance == "draining" }

// Hints are what would make a node join others when it starts blank.
type Hints struct {
	Backend  string    `json:"backend"` // of its peer discovery; empty while the application is stopped
	Settings []Setting `json:"settings"`
}

// Setting is the name of a setting in a configuration file of the node.
type Setting struct {
	File    string `json:"file"`
	Setting string `json:"setting"`
}

// Rejoins says in words what would undo a removal of the node, from its own peer discovery and its configuration files.
func (s Status) Rejoins() []string {
	var all []string
	var others []string
	for _, peer := range s.Peers {
		if peer != s.Node {
			others = append(others, peer)
		}
	}
	if len(others) > 0 {
		all = append(all, "its peer discovery names "+strings.Join(others, ", "))
	}
	if s.Hints != nil {
		for _, setting := range s.Hints.Settings {
			all = append(all, fmt.Sprintf("%s sets %s", setting.File, setting.Setting))
		}
	}
	return all
}

// Replica is one replica of a quorum queue or stream on the node that was asked. -1 is an empty log, and less means that
// there was no answer.
type Replica struct {
	VHost  string `json:"vhost"`
	Name   string `json:"name"`
	Has    int64  `json:"has"`    // how far its log reaches
	Leader int64  `json:"leader"` // how far its leader has committed
}

// Queue names the replica's queue.
func (r Replica) Queue() string { return r.Name + " in " + r.VHost }

// Led tells whether there is a leader that answers.
func (r Replica) Led() bool { return r.Leader >= -1 }

// Reaches tells whether the replica has everything up to goal.
func (r Replica) Reaches(goal int64) bool { return r.Led() && r.Has >= -1 && r.Has >= goal }
