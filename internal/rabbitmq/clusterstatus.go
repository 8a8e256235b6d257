package rabbitmq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ClusterStatus is what `rabbitmqctl cluster_status` says, from whichever version and in whichever notation.
type ClusterStatus struct {
	ClusterName  string
	Members      map[string]MemberStatus
	Partitions   map[string][]string // who was cut off from whom, as each node reports it
	Alarms       []Alarm
	FeatureFlags map[string]string // the state of each; nil before 3.8
}

// MemberStatus is one member in a ClusterStatus. What the output does not tell about it is empty or nil.
type MemberStatus struct {
	RAM         bool
	Running     bool
	Version     string
	Erlang      string
	Maintenance *bool
	Listeners   []Listener
}

// Alarm is a resource alarm of a node: it blocks publishers on the whole cluster.
type Alarm struct {
	Node     string `json:"node"`
	Resource string `json:"resource"` // memory, disk or file_descriptor_limit
}

// Listener is a port that a node listens on.
type Listener struct {
	Protocol  string `json:"protocol"`
	Interface string `json:"interface"`
	Port      int    `json:"port"`
}

// ParseClusterStatus reads the output of `rabbitmqctl cluster_status`: the JSON of 3.7 and later, the Erlang terms of
// 3.6 and 3.7, with whatever banners, log lines and colour codes stand around it. What it does not understand is an
// error, never an empty list: a member that is missing in the answer would be taken for one that left.
func ParseClusterStatus(text string) (ClusterStatus, error) {
	text = ansi.ReplaceAllString(text, "")
	var found []ClusterStatus
	var failed error
	for at := 0; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		start := at + len(line) - len(strings.TrimLeft(line, " \t\r"))
		at += len(line) + 1
		var status ClusterStatus
		var length int
		var err error
		switch rest := text[start:]; {
		case strings.HasPrefix(rest, "{"):
			status, length, err = statusFromJSON(rest)
		case strings.HasPrefix(rest, "["):
			status, length, err = statusFromTerms(rest)
		default:
			continue
		}
		switch {
		case errors.Is(err, errNoStatus): // a log line with braces
		case err != nil:
			failed = err
		default:
			found = append(found, status)
			at = max(at, start+length)
		}
	}
	switch {
	case len(found) > 1:
		return ClusterStatus{}, fmt.Errorf("the text holds the status of a cluster %d times, and which one is meant cannot be told", len(found))
	case failed != nil:
		return ClusterStatus{}, failed
	case len(found) == 0 && strings.Contains(text, "Running Nodes"):
		return ClusterStatus{}, errors.New("this is the form for people: use `rabbitmqctl cluster_status --formatter json`")
	case len(found) == 0:
		return ClusterStatus{}, errors.New("no line in it begins the output of `rabbitmqctl cluster_status`: neither JSON with running_nodes nor an Erlang term with it")
	}
	return found[0], found[0].check()
}

// errNoStatus tells that a text that starts like a status is something else.
var errNoStatus = errors.New("no cluster status")

// check finds what no cluster can be.
func (s ClusterStatus) check() error {
	if len(s.Members) == 0 {
		return errors.New("it lists no member, not even the node that was asked")
	}
	for node := range s.Members {
		if err := CheckNodeName(node); err != nil {
			return err
		}
	}
	return nil
}

// run marks the running members.
func (s ClusterStatus) run(nodes []string) error {
	for _, node := range nodes {
		m, member := s.Members[node]
		if !member {
			return fmt.Errorf("%s is among the running nodes and not among the members", node)
		}
		m.Running = true
		s.Members[node] = m
	}
	return nil
}

func (s ClusterStatus) list(nodes []string, ram bool) {
	for _, node := range nodes {
		s.Members[node] = MemberStatus{RAM: ram}
	}
}

func newClusterStatus() ClusterStatus {
	return ClusterStatus{Members: map[string]MemberStatus{}, Partitions: map[string][]string{}, Alarms: []Alarm{}}
}

// statusJSON is the output of `--formatter json`. 3.7 has the members under nodes, as its Erlang terms do.
type statusJSON struct {
	ClusterName  *string             `json:"cluster_name"`
	Nodes        map[string][]string `json:"nodes"`
	Disc         []string            `json:"disk_nodes"`
	RAM          []string            `json:"ram_nodes"`
	Running      json.RawMessage     `json:"running_nodes"`
	Partitions   json.RawMessage     `json:"partitions"`
	Alarms       json.RawMessage     `json:"alarms"`
	FeatureFlags []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"feature_flags"`
	Listeners   map[string][]Listener `json:"listeners"`
	Maintenance map[string]string     `json:"maintenance_status"`
	Versions    json.RawMessage       `json:"versions"`
}

// statusFromJSON reads the JSON object that text begins with, and tells how long it is.
func statusFromJSON(text string) (ClusterStatus, int, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	var raw json.RawMessage
	if err := decoder.Decode(&raw); err != nil {
		line, _, _ := strings.Cut(text, "\n")
		if strings.Contains(line, `"running_nodes"`) || strings.Contains(line, `"disk_nodes"`) {
			return ClusterStatus{}, 0, fmt.Errorf("its JSON is cut off or broken: %w", err)
		}
		return ClusterStatus{}, 0, errNoStatus
	}
	if !bytes.Contains(raw, []byte(`"running_nodes"`)) {
		return ClusterStatus{}, 0, errNoStatus
	}
	var in statusJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return ClusterStatus{}, 0, fmt.Errorf("its JSON is not that of cluster_status: %w", err)
	}
	s, err := in.status()
	return s, int(decoder.InputOffset()), err
}

func (in statusJSON) status() (ClusterStatus, error) {
	s := newClusterStatus()
	if in.ClusterName != nil {
		s.ClusterName = *in.ClusterName
	}
	for kind, nodes := range in.Nodes {
		if kind != "disc" && kind != "ram" {
			return s, fmt.Errorf("it has nodes of the unknown type %q", kind)
		}
		s.list(nodes, kind == "ram")
	}
	s.list(in.Disc, false)
	s.list(in.RAM, true)
	running, err := in.running(s.Members)
	if err != nil {
		return s, err
	}
	if err := s.run(running); err != nil {
		return s, err
	}
	if err := objectOrEmpty(in.Partitions, &s.Partitions); err != nil {
		return s, fmt.Errorf("its partitions are not understood: %w", err)
	}
	if s.Alarms, err = in.alarms(); err != nil {
		return s, fmt.Errorf("its alarms are not understood: %w", err)
	}
	if in.FeatureFlags != nil {
		s.FeatureFlags = map[string]string{}
	}
	for _, flag := range in.FeatureFlags {
		s.FeatureFlags[flag.Name] = flag.State
	}
	// A member whose cookie differs has "" in place of its versions (measured).
	versions := map[string]json.RawMessage{}
	if err := objectOrEmpty(in.Versions, &versions); err != nil {
		return s, fmt.Errorf("its versions are not understood: %w", err)
	}
	for node, m := range s.Members {
		var v struct {
			RabbitMQ string `json:"rabbitmq_version"`
			Erlang   string `json:"erlang_version"`
		}
		if raw := versions[node]; len(raw) > 0 && string(raw) != `""` {
			if err := json.Unmarshal(raw, &v); err != nil {
				return s, fmt.Errorf("its version of %s is not understood: %w", node, err)
			}
		}
		m.Version, m.Erlang, m.Listeners = v.RabbitMQ, v.Erlang, in.Listeners[node]
		if m.Maintenance, err = maintenance(in.Maintenance[node]); err != nil {
			return s, fmt.Errorf("the maintenance status of %s: %w", node, err)
		}
		s.Members[node] = m
	}
	return s, nil
}

// maintenance reads the words of cluster_status, out of which 3.8 and 3.10 let the colour: the escape byte comes out as
// U+B100 (measured).
func maintenance(words string) (*bool, error) {
	marked := true
	switch ansi.ReplaceAllString(words, "") {
	case "", "unknown":
		return nil, nil //nolint:nilnil // it is not told
	case "marked for maintenance":
	case "not under maintenance":
		marked = false
	default:
		return nil, fmt.Errorf("the words %q are not known", words)
	}
	return &marked, nil
}

// running reads running_nodes, which 4.1.2 and 4.1.3 print as one string of names without anything between them
// (rabbitmq-server issue 14398).
func (in statusJSON) running(members map[string]MemberStatus) ([]string, error) {
	var nodes []string
	if json.Unmarshal(in.Running, &nodes) == nil && nodes != nil {
		return nodes, nil
	}
	var glued string
	if err := json.Unmarshal(in.Running, &glued); err != nil {
		return nil, fmt.Errorf("its running_nodes are not understood: %s", excerpt(string(in.Running)))
	}
	names := make([]string, 0, len(members))
	for node := range members {
		names = append(names, node)
	}
	slices.Sort(names)
	nodes, ok := unglue(glued, names)
	if !ok || len(nodes) == 0 {
		return nil, fmt.Errorf("its running_nodes %q cannot be told apart into members", glued)
	}
	return nodes, nil
}

// unglue takes a string apart into different ones of names.
func unglue(glued string, names []string) ([]string, bool) {
	if glued == "" {
		return nil, true
	}
	for i, name := range names {
		if rest, ok := strings.CutPrefix(glued, name); ok {
			others := slices.Delete(slices.Clone(names), i, i+1)
			if nodes, ok := unglue(rest, others); ok {
				return append([]string{name}, nodes...), true
			}
		}
	}
	return nil, false
}

// alarms reads the objects of 3.8 and later. Earlier JSON has them by node.
func (in statusJSON) alarms() ([]Alarm, error) {
	alarms := []Alarm{}
	if len(in.Alarms) == 0 || string(in.Alarms) == "[]" {
		return alarms, nil
	}
	byNode := map[string][]json.RawMessage{}
	if json.Unmarshal(in.Alarms, &byNode) == nil {
		for _, node := range sortedKeys(byNode) {
			for _, raw := range byNode[node] {
				var resource string
				if err := json.Unmarshal(raw, &resource); err != nil {
					return nil, err
				}
				alarms = append(alarms, Alarm{Node: node, Resource: resource})
			}
		}
		return alarms, nil
	}
	var objects []struct {
		Node, Resource, Type string
	}
	if err := json.Unmarshal(in.Alarms, &objects); err != nil {
		return nil, err
	}
	for _, a := range objects {
		if a.Resource == "" {
			a.Resource = a.Type
		}
		if a.Node == "" || a.Resource == "" {
			return nil, fmt.Errorf("an alarm without a node or a resource: %s", excerpt(string(in.Alarms)))
		}
		alarms = append(alarms, Alarm{Node: a.Node, Resource: a.Resource})
	}
	return alarms, nil
}

// objectOrEmpty reads an object, for which an empty one may be printed as a list.
func objectOrEmpty(raw json.RawMessage, into any) error {
	if len(raw) == 0 || string(raw) == "[]" {
		return nil
	}
	return json.Unmarshal(raw, into)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
