package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What the product's probe asks for, as its expression says it.
var (
	probeWant  = regexp.MustCompile(`Want = \[([a-z,]*)\]`)
	probeOf    = regexp.MustCompile(`Of = \[([^\]]*)\]`)
	probeHosts = regexp.MustCompile(`Hosts = \[([^\]]*)\]`)
)

// erlCall is where Debian has the program. That of OTP 23, with 3.8, cannot fetch output.
const erlCall = "/usr/bin/erl_call"

const probeMarker = "rabbitmq-topology-probe:"

// eval answers the expressions that the product sends.
func (b *Broker) eval(expression string) (reply, bool) {
	want, of, hosts := probeWant.FindStringSubmatch(expression), probeOf.FindStringSubmatch(expression), probeHosts.FindStringSubmatch(expression)
	if want == nil || of == nil || hosts == nil || !strings.Contains(expression, probeMarker) {
		return reply{}, false
	}
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	answer := b.probe(list(want[1]), list(of[1]), list(hosts[1]))
	line, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	// Noise before and after the answer, with braces in it: on stdout since 4.0, on stderr before (measured).
	before := "\n12:00:00.000 [warning] noise {before: 1}\n"
	after := "12:00:00.001 [error] Discarding message {'$gen_call',{<0.1.0>,[alias]}} in an old incarnation\n"
	r := reply{out: probeMarker + string(line) + "\nok\n"}
	if b.version.old() {
		r.err = before + after
	} else {
		r.out = before + r.out + after
	}
	return r, true
}

// list reads an Erlang list of atoms, strings or binaries.
func list(text string) []string {
	all := []string{}
	for _, part := range strings.Split(text, ",") {
		if part = strings.Trim(part, `<>" `); part != "" {
			all = append(all, part)
		}
	}
	return all
}

func (b *Broker) probe(want, of, hosts []string) map[string]any {
	runs := b.app == running
	var discs, rams, lastKnown, partitions = []string{}, []string{}, []string{}, []any{}
	if runs || (!b.version.Khepri && b.app == stopped) {
		for _, name := range slices.Sorted(maps.Keys(b.members)) {
			if b.members[name] == ram {
				rams = append(rams, name)
			} else {
				discs = append(discs, name)
			}
		}
	}
	if !b.version.Khepri {
		lastKnown = slices.Sorted(maps.Keys(b.members))
	}
	sees, name, id, raft := []string{}, "", "", ""
	if runs {
		sees, name, id = b.sees(), b.clusterName(), b.store.id
		// The probe asks who is listed as running whether it lists this node as well.
		sees = slices.DeleteFunc(sees, func(name string) bool { return !b.fleet.brokers[name].lists(b.Name) })
		if b.version.Khepri {
			raft = "follower"
			switch {
			case slices.Min(slices.Collect(maps.Keys(b.members))) == b.Name:
				raft = "leader" // which it stays without a majority (measured)
			case !b.majority():
				raft = "pre_vote"
			}
		}
		if len(b.partitioned) > 0 {
			partitions = append(partitions, map[string]any{"node": b.Name, "from": slices.Sorted(maps.Keys(b.partitioned))})
		}
	}
	resolves := []any{}
	for _, host := range hosts {
		addresses := []string{b.fleet.address(host)}
		if b.nat { // an address that is on nobody's interface
			addresses = []string{"203.0.113." + strings.TrimLeft(host, "abcdefghijklmnopqrstuvwxyz")}
		}
		if host == b.unresolved {
			addresses = []string{}
		}
		resolves = append(resolves, map[string]any{"host": host, "addresses": addresses})
	}
	store := "mnesia"
	if b.version.Khepri {
		store = "khepri"
	}
	underWay := []string{}
	if slices.Contains(want, "work") {
		underWay = append(underWay, b.underWay...)
	}
	var cookie any
	if f := b.files[cookieFile]; f != nil {
		mode, _ := strconv.ParseUint(f.mode, 8, 32)
		cookie = map[string]any{"path": cookieFile, "mode": mode, "own": f.owner == "rabbitmq"}
	}
	answer := map[string]any{
		"cookie_file": cookie,
		"node":        b.Name, "running": runs, "booting": b.app == booting, "store": store, "raft_state": raft, "version": b.version.Number,
		"otp": b.version.OTP, "disc": discs, "ram": rams, "last_known": lastKnown, "running_nodes": sees, "connected": b.links(), "cluster_name": name,
		"cluster_id": id, "partitions": partitions, "cookie_hash": b.cookieHash(), "maintenance": b.maintenance(),
		"data_dir": "/var/lib/rabbitmq/mnesia/" + b.Name, "boot": b.boot, "resolves": resolves, "under_way": underWay, "addresses": []string{"127.0.0.1", b.fleet.address(b.Name[strings.Index(b.Name, "@")+1:])}, "peers": nil, "inventory": nil,
		"paused": false, "lacking": nil, "overview": nil, "hints": nil, "lag": nil,
		"can": map[string]any{"mnesia": b.version.typed(), "ram_nodes": b.version.typed() && !b.version.Khepri, "join_as_blank": !b.version.typed()},
		// Flags of its own it has none: a join is judged by the versions, as where they cannot be read.
		"flags": nil,
	}
	if runs && slices.Contains(want, "overview") {
		answer["overview"] = b.overview(sees)
	}
	if runs && slices.Contains(want, "lag") {
		answer["lag"] = b.lag()
	}
	if runs && slices.Contains(want, "replicas") {
		answer["lacking"] = b.lacking(sees)
	}
	if runs && slices.Contains(want, "peers") {
		peers := b.discovers
		if len(peers) == 0 && !b.version.old() {
			peers = []string{b.Name} // without configuration 4.x names itself (measured)
		}
		answer["peers"] = append([]string{}, peers...)
	}
	if runs && slices.Contains(want, "inventory") && (len(of) == 0 || b.first(of, sees)) {
		answer["inventory"] = b.inventory()
	}
	return answer
}

// address is where a host is: hosts have different ones.
func (f *Fleet) address(host string) string {
	names := slices.Sorted(maps.Keys(f.brokers))
	return fmt.Sprintf("192.0.2.%d", 1+slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, "@"+host) }))
}

// lacking is what has no replica on each running member and could have one.
func (b *Broker) lacking(running []string) []any {
	all := []any{}
	for _, node := range running {
		quorum, streams := 0, []any{}
		for _, q := range b.store.queues {
			switch {
			case slices.Contains(q.copies, node) || !b.decides(q):
			case q.kind == "quorum":
				quorum++
			case q.kind == "stream":
				streams = append(streams, map[string]any{"vhost": q.vhost, "name": q.name})
			}
		}
		all = append(all, map[string]any{"node": node, "quorum": quorum, "streams": streams})
	}
	return all
}

// first tells whether this node is the first of those asked that runs.
func (b *Broker) first(of, up []string) bool {
	of = slices.Sorted(slices.Values(of))
	i := slices.IndexFunc(of, func(name string) bool { return slices.Contains(up, name) })
	return i >= 0 && of[i] == b.Name
}

func (b *Broker) inventory() map[string]any {
	vhosts, users, policies := []string{}, []string{}, 0
	for _, object := range b.store.objects {
		kind, name, _ := strings.Cut(object, " ")
		switch kind {
		case "vhost":
			vhosts = append(vhosts, name)
		case "user":
			users = append(users, name)
		default:
			policies++
		}
	}
	type group struct {
		Type      string           `json:"type"`
		Copies    []string         `json:"copies"`
		Lame      []string         `json:"lame"`
		Exclusive bool             `json:"exclusive"`
		Count     int              `json:"count"`
		Messages  int              `json:"messages"`
		Uncounted int              `json:"uncounted"`
		Largest   []map[string]any `json:"largest"`
	}
	groups := []*group{}
	byKey := map[string]*group{}
	for _, q := range b.store.queues {
		kind := map[string]string{"classic": "rabbit_classic_queue", "quorum": "rabbit_quorum_queue", "stream": "rabbit_stream_queue"}[q.kind]
		copies := slices.Sorted(slices.Values(q.copies))
		lame := b.lame(q)
		key := fmt.Sprint(kind, copies, lame)
		g := byKey[key]
		if g == nil {
			g = &group{Type: kind, Copies: copies, Lame: lame, Largest: []map[string]any{}}
			byKey[key], groups = g, append(groups, g)
		}
		g.Count++
		messages := q.messages
		if !slices.ContainsFunc(q.copies, func(node string) bool { return b.fleet.brokers[node].runs() }) {
			messages = -1
			g.Uncounted++
		}
		g.Messages += max(messages, 0)
		g.Largest = append(g.Largest, map[string]any{"vhost": q.vhost, "name": q.name, "messages": messages})
	}
	some := func(names []string) map[string]any { return map[string]any{"count": len(names), "names": names} }
	return map[string]any{
		"vhosts": some(vhosts), "users": some(users), "default_vhost": "/", "default_user": "guest", "queues": groups, "exchanges": some([]string{}),
		"bindings": 0, "policies": policies, "parameters": 0, "global_parameters": some([]string{}),
	}
}
