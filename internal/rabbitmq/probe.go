package rabbitmq

import (
	"bytes"
	_ "embed" // the probe's expression
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:embed probe.erl
var probeSource string

// marker starts the one line of the probe's answer. CLI output is noise around a payload: log lines come before and
// after it, on either stream, with braces in them.
const marker = "rabbitmq-topology-probe:"

// section is a piece of the probe, and what has to be asked for to need it; nil where it is always needed.
type section struct {
	asked []string
	text  string
}

var probe = sections(strings.ReplaceAll(probeSource, "MARKER", marker))

// sections takes the probe apart at its lines "%% for: NAMES".
func sections(source string) []section {
	all := []section{{}}
	for line := range strings.Lines(source) {
		names, starts := strings.CutPrefix(line, "%% for: ")
		if !starts {
			all[len(all)-1].text += line
			continue
		}
		asked := strings.Fields(names)
		if len(asked) == 1 && asked[0] == "all" {
			asked = nil
		}
		all = append(all, section{asked: asked})
	}
	for i := range all {
		all[i].text = oneLine(all[i].text)
	}
	return all
}

// oneLine is Erlang source without comments, as one line.
func oneLine(source string) string {
	var lines []string
	for _, line := range strings.Split(source, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "%") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// Ask says what a probe looks at beyond the node's own state.
type Ask struct {
	Inventory bool     // what the node, or the cluster it is in, holds
	Of        []string // who may be asked for it: of these, only the first that runs in a cluster answers with it
	Peers     bool     // whom its own peer discovery would make it join
	Replicas  bool     // what the running members lack replicas of
	Work      bool     // what commands of others it carries out right now
	Flags     bool     // its feature flags, by which a join is judged
	Resolve   []string // host names the node is asked to resolve
	Overview  bool     // what the node can tell of all members that run, and of the cluster
	Hints     bool     // which settings would make the node join somebody when it starts blank
	Lag       bool     // how far the node's replicas are behind their leaders
}

// Expression renders the probe. Host names come from checked node names and hold nothing that Erlang could misread.
func (a Ask) Expression() string {
	var want []string
	if a.Inventory {
		want = append(want, "inventory")
	}
	if a.Peers {
		want = append(want, "peers")
	}
	if a.Replicas {
		want = append(want, "replicas")
	}
	if a.Overview {
		want = append(want, "overview")
	}
	if a.Hints {
		want = append(want, "hints")
	}
	if a.Lag {
		want = append(want, "lag")
	}
	if a.Work {
		want = append(want, "work")
	}
	if a.Flags {
		want = append(want, "flags")
	}
	if len(a.Resolve) > 0 {
		want = append(want, "resolve")
	}
	hosts := make([]string, len(a.Resolve))
	for i, h := range a.Resolve {
		hosts[i] = `"` + h + `"`
	}
	of := make([]string, len(a.Of))
	for i, node := range a.Of {
		of[i] = `<<"` + node + `">>`
	}
	var parts []string
	for _, s := range probe {
		if s.asked == nil || slices.ContainsFunc(s.asked, func(name string) bool { return slices.Contains(want, name) }) {
			parts = append(parts, s.text)
		}
	}
	parts[0] = strings.NewReplacer(
		"Of = OF", "Of = ["+strings.Join(of, ",")+"]",
		"Want = WANT", "Want = ["+strings.Join(want, ",")+"]",
		"Hosts = HOSTS", "Hosts = ["+strings.Join(hosts, ",")+"]",
	).Replace(parts[0])
	return strings.Join(parts, " ")
}

// Store is the metadata store of a node.
type Store string

// The metadata stores.
const (
	Mnesia Store = "mnesia"
	Khepri Store = "khepri"
)

// Status is one node's own word about itself and its cluster.
type Status struct {
	Node         string      `json:"node"`
	Running      bool        `json:"running"` // the rabbit application runs
	Booting      bool        `json:"booting"`
	Paused       bool        `json:"paused"` // RabbitMQ stopped the application itself, and waits to start it again
	Store        Store       `json:"store"`
	RaftState    string      `json:"raft_state"` // of the metadata store; empty on Mnesia and when stopped
	Version      string      `json:"version"`
	OTP          string      `json:"otp"`
	Disc         []string    `json:"disc"`
	RAM          []string    `json:"ram"`
	LastKnown    []string    `json:"last_known"` // Mnesia's member file: right also while the node boots
	RunningNodes []string    `json:"running_nodes"`
	Connected    []string    `json:"connected"` // the Erlang nodes that it has a link with, whatever runs there
	ClusterName  string      `json:"cluster_name"`
	ClusterID    string      `json:"cluster_id"`
	Partitions   []Partition `json:"partitions"`
	CookieHash   string      `json:"cookie_hash"` // base64 of the MD5 of the live cookie, as erlang_cookie_hash prints it
	CookieFile   *OwnCookie  `json:"cookie_file"` // nil when the node cannot look at it
	Maintenance  string      `json:"maintenance"`
	DataDir      string      `json:"data_dir"`
	Boot         string      `json:"boot"` // the boot id of the kernel the node runs on; empty where there is none
	Resolves     []Resolved  `json:"resolves"`
	Addresses    []string    `json:"addresses"` // of the machine's own interfaces, where Resolve was asked
	// UnderWay are changes that others have this node make right now: "join_cluster for rabbitmqcli-1@rmq1".
	UnderWay []string `json:"under_way"`
	// Can is what the node said of itself; see CapabilitiesOf.
	Can struct {
		Mnesia      *bool `json:"mnesia"`
		RAMNodes    *bool `json:"ram_nodes"`
		JoinAsBlank *bool `json:"join_as_blank"`
	} `json:"can"`

	// Peers is nil when peer discovery was not asked for or gave no answer.
	Peers []string `json:"-"`
	// Flags is nil when it was not asked for, or could not be read.
	Flags *Flags `json:"-"`
	// Inventory is nil when it was not asked for, or the application does not run.
	Inventory *Inventory `json:"-"`
	// InventoryFailed tells that the inventory was asked for and RabbitMQ could not give it.
	InventoryFailed bool `json:"-"`

	// Lacking tells for each running member what has no replica there; nil when it was not asked for or RabbitMQ failed at it.
	Lacking []Lacking `json:"-"`

	// Overview, Hints and Lag are nil when they were not asked for; a failure to give them is an error of the probe.
	Overview *Overview `json:"-"`
	Hints    *Hints    `json:"-"`
	Lag      []Replica `json:"-"`

	RawLacking   json.RawMessage `json:"lacking"`
	RawPeers     json.RawMessage `json:"peers"`
	RawFlags     json.RawMessage `json:"flags"`
	RawInventory json.RawMessage `json:"inventory"`
	RawOverview  json.RawMessage `json:"overview"`
	RawHints     json.RawMessage `json:"hints"`
	RawLag       json.RawMessage `json:"lag"`
}

// OwnCookie is the cookie file in the home that a node has, as the node finds it.
type OwnCookie struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"` // the permission bits
	Own  bool   `json:"own"`  // it belongs to the account that the node runs as
}

// Lacking is what has no replica on a running member although it could have one.
type Lacking struct {
	Node    string   `json:"node"`
	Quorum  int      `json:"quorum"` // quorum queues
	Streams []Stream `json:"streams"`
}

// Stream names one stream.
type Stream struct {
	VHost string `json:"vhost"`
	Name  string `json:"name"`
}

// Partition is one node's report that it was cut off from others (Mnesia only, and only after the network healed).
type Partition struct {
	Node string   `json:"node"`
	From []string `json:"from"`
}

// Resolved is what the node found for a host name; no address means that it cannot resolve it.
type Resolved struct {
	Host      string   `json:"host"`
	Addresses []string `json:"addresses"`
}

// Flags are the feature flags of a node.
type Flags struct {
	Applications []string `json:"applications"` // that are loaded; a flag of any other one says nothing about this node
	Known        []Flag   `json:"known"`
}

// Flag is a feature flag, or a deprecated feature, which RabbitMQ counts among them: it is on when it is denied.
type Flag struct {
	Name        string `json:"name"`
	Application string `json:"application"`
	Kind        string `json:"kind"` // stable, experimental, required, deprecated
	On          bool   `json:"on"`
}

// Inventory is what a cluster, or a node that stands alone, holds.
type Inventory struct {
	VHosts           Some         `json:"vhosts"` // without the default one
	Users            Some         `json:"users"`  // without the default one
	DefaultVHost     string       `json:"default_vhost"`
	DefaultUser      string       `json:"default_user"`
	Queues           []QueueGroup `json:"queues"`
	Exchanges        Some         `json:"exchanges"` // that somebody declared: "NAME in VHOST"
	Bindings         int          `json:"bindings"`
	Policies         int          `json:"policies"`
	Parameters       int          `json:"parameters"`
	GlobalParameters Some         `json:"global_parameters"` // without those that every node has by itself
}

// Some is how many there are and the names of the first.
type Some struct {
	Count int      `json:"count"`
	Names []string `json:"names"`
}

// QueueGroup counts the queues of one type whose copies are on the same nodes.
type QueueGroup struct {
	Type      string   `json:"type"`
	Copies    []string `json:"copies"`
	Lame      []string `json:"lame"`      // of the copies' nodes, those that run and whose replicas do not work
	Exclusive bool     `json:"exclusive"` // they die with their connection anyway
	Count     int      `json:"count"`
	Messages  int      `json:"messages"`  // a hint: quorum queues report 0 for seconds after publishing
	Uncounted int      `json:"uncounted"` // queues whose messages could not be counted
	Largest   []Queue  `json:"largest"`   // the ten with the most messages
}

// Queue is one queue; Messages is -1 when it could not be read.
type Queue struct {
	VHost    string `json:"vhost"`
	Name     string `json:"name"`
	Messages int    `json:"messages"`
}

// parseProbe finds the probe's line in what the CLI printed and reads it. Anything it does not understand is an
// error: an empty list that was not understood would look like a node without peers.
func parseProbe(output []byte) (Status, error) {
	var payload []byte
	for _, line := range bytes.Split(output, []byte("\n")) {
		// Colour codes that were left on may stand before it on its line; a log line that quotes the expression has the
		// marker too, and no brace behind it.
		if at := bytes.LastIndex(line, []byte(marker+"{")); at >= 0 {
			payload = line[at+len(marker):]
		}
	}
	if payload == nil {
		return Status{}, fmt.Errorf("no line of its output has %q", marker)
	}
	var s Status
	if err := json.NewDecoder(bytes.NewReader(payload)).Decode(&s); err != nil { // which leaves alone what stands behind it
		return Status{}, fmt.Errorf("its answer is not the expected JSON: %w", err)
	}
	if s.Node == "" || (s.Store != Mnesia && s.Store != Khepri) {
		return Status{}, fmt.Errorf("its answer lacks the node name or the store")
	}
	if s.Running && len(s.Disc)+len(s.RAM) == 0 {
		return Status{}, fmt.Errorf("it runs and yet lists no member, not even itself")
	}
	if err := optional(s.RawPeers, &s.Peers); err != nil {
		s.Peers = nil // a discovery backend that does not answer is no fault of the node
	}
	if err := optional(s.RawFlags, &s.Flags); err != nil {
		s.Flags = nil // a join is then judged by the version alone
	}
	if err := optional(s.RawInventory, &s.Inventory); err != nil {
		s.Inventory, s.InventoryFailed = nil, true
	}
	if err := optional(s.RawLacking, &s.Lacking); err != nil {
		s.Lacking = nil
	}
	for _, section := range []struct {
		name string
		raw  json.RawMessage
		into any
	}{{"overview", s.RawOverview, &s.Overview}, {"hints", s.RawHints, &s.Hints}, {"lag", s.RawLag, &s.Lag}} {
		if err := optional(section.raw, section.into); err != nil {
			return Status{}, fmt.Errorf("it could not give its %s: %s", section.name, excerpt(string(section.raw)))
		}
	}
	s.RawPeers, s.RawFlags, s.RawInventory, s.RawLacking, s.RawOverview, s.RawHints, s.RawLag = nil, nil, nil, nil, nil, nil, nil
	return s, nil
}

// optional reads a section that is null when it was not asked for and the string "error" when RabbitMQ failed at it.
func optional(raw json.RawMessage, into any) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// Members returns every member this node lists, itself included, or nil when it cannot tell: a stopped Khepri node
// knows nobody, and asking a peer is the only way.
func (s Status) Members() []string {
	members := append(append([]string{}, s.Disc...), s.RAM...)
	if len(members) == 0 {
		members = s.LastKnown
	}
	return members
}

// MetadataMajority tells whether this node's metadata store can take writes. On Mnesia there is no such thing as a
// majority, and a node that runs can.
func (s Status) MetadataMajority() bool {
	switch s.RaftState {
	case "": // Mnesia, or a node that does not run
		return true
	case "pre_vote", "candidate":
		// A member without majority, the latter for a moment; every read still answers from stale local data with exit
		// code 0 (measured).
		return false
	}
	// A leader that all others are gone from goes on as leader. It takes a join, reports success and never commits it: the
	// joiner is wiped, and its start fails after five minutes (measured on 4.3).
	return s.majority(s.Members())
}

// KeepsMajorityWithout tells whether more than half of the other members run, so that the metadata store goes on without
// this one.
func (s Status) KeepsMajorityWithout(node string) bool {
	others := slices.DeleteFunc(s.Members(), func(member string) bool { return member == node })
	return s.Store != Khepri || s.majority(others)
}

// majority tells whether this node sees more than half of some members running.
func (s Status) majority(members []string) bool {
	running := 0
	for _, member := range members {
		if slices.Contains(s.RunningNodes, member) {
			running++
		}
	}
	return 2*running > len(members)
}
