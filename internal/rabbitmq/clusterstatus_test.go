package rabbitmq

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var three = []string{"rabbit@rmq1", "rabbit@rmq2", "rabbit@rmq3"}

// running lists the members that run.
func (s ClusterStatus) running() []string {
	var up []string
	for _, node := range sortedKeys(s.Members) {
		if s.Members[node].Running {
			up = append(up, node)
		}
	}
	return up
}

// statusOf parses what a real broker printed. Log lines of the CLI are put around it, as they come on 4.x.
func statusOf(t *testing.T, version, name string) ClusterStatus {
	t.Helper()
	stdout, _, _ := recorded(t, version, name)
	if stdout == "" {
		t.Fatalf("%s/%s is not recorded", version, name)
	}
	noise := "18:01:02.345 [error] Discarding message {'$gen_call',{<0.1.0>,[alias|#Ref<0.1.2.3>]},{running,[a]}}\n"
	s, err := ParseClusterStatus("Cluster status of node rabbit@rmq1 ...\n" + noise + "{\"a\":1}\n" + stdout + noise + "[a,{b}]\n")
	if err != nil {
		t.Fatalf("%s/%s: %v", version, name, err)
	}
	return s
}

func TestClusterStatusOfEveryVersion(t *testing.T) {
	erlang := map[string]string{"3.8.9": "23.2.6", "3.10.8": "25.2.3", "4.0.5": "27.3.4.1", "4.3.6": "29.1.2"}
	for _, version := range sortedKeys(erlang) {
		s := statusOf(t, version, "cluster_status-3nodes")
		if s.ClusterName != "factslab" || !slices.Equal(s.running(), three) || len(s.Partitions) != 0 || len(s.Alarms) != 0 || s.FeatureFlags["quorum_queue"] != "enabled" {
			t.Errorf("%s: %+v", version, s)
		}
		for node, m := range s.Members {
			if m.RAM || m.Version != version || m.Erlang != erlang[version] || m.Maintenance == nil || *m.Maintenance || len(m.Listeners) != 2 {
				t.Errorf("%s: %s is %+v", version, node, m)
			}
		}
		if got := statusOf(t, version, "cluster_status-single"); !slices.Equal(got.running(), []string{"rabbit@rmq1"}) {
			t.Errorf("%s alone: %+v", version, got)
		}
		if got := statusOf(t, version, "cluster_status-member_down"); len(got.Members) != 3 || len(got.running()) != 2 {
			t.Errorf("%s with a member down: %+v", version, got)
		}
		if got := statusOf(t, version, "cluster_status-alarm"); !reflect.DeepEqual(got.Alarms, []Alarm{{"rabbit@rmq1", "disk"}}) {
			t.Errorf("%s with an alarm: %+v", version, got.Alarms)
		}
		// 3.8 and 3.10 print it with a colour whose escape byte came out as U+B100.
		if m := statusOf(t, version, "cluster_status-maintenance").Members["rabbit@rmq3"].Maintenance; m == nil || !*m {
			t.Errorf("%s: the drained member is not marked: %v", version, m)
		}
		// The window of a rotation: the member with the other cookie is listed and nothing else is known of it.
		mixed := statusOf(t, version, "rotation-mid-cluster_status-old")
		unknown := 0
		for _, m := range mixed.Members {
			if m.Maintenance == nil && m.Version == "" && m.Running {
				unknown++
			}
		}
		if unknown == 0 {
			t.Errorf("%s in the middle of a rotation: %+v", version, mixed.Members)
		}
	}
	for _, version := range []string{"3.8.9", "3.10.8", "4.0.5"} {
		want := map[string][]string{"rabbit@rmq1": {"rabbit@rmq3"}, "rabbit@rmq2": {"rabbit@rmq3"}}
		if got := statusOf(t, version, "cluster_status-partitioned-1").Partitions; !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: partitions %v", version, got)
		}
		if got := statusOf(t, version, "cluster_status-ram").Members; !got["rabbit@rmq3"].RAM || got["rabbit@rmq1"].RAM {
			t.Errorf("%s: types %+v", version, got)
		}
	}
}

func TestClusterStatusIsTheSameWhenPrettyOrColoured(t *testing.T) {
	stdout, _, _ := recorded(t, "3.10.8", "cluster_status-3nodes")
	want, err := ParseClusterStatus(stdout)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(stdout), &object); err != nil {
		t.Fatal(err)
	}
	pretty, _ := json.MarshalIndent(object, "", "  ")
	for name, text := range map[string]string{"pretty": string(pretty), "coloured": "\x1b[1m" + stdout + "\x1b[0m", "with \\r\\n": strings.ReplaceAll(string(pretty), "\n", "\r\n")} {
		if got, err := ParseClusterStatus(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v (%v)", name, got, err)
		}
	}
}

// 4.1.2 and 4.1.3 print the running nodes as one string: rabbitmq-server issues 14398 and 14697.
func TestClusterStatusTakesGluedRunningNodesApart(t *testing.T) {
	const text = `{"disk_nodes":["rabbit@a","rabbit@ab","rabbit@b"],"running_nodes":%q,"partitions":{},"alarms":[]}`
	for glued, want := range map[string][]string{
		"rabbit@abrabbit@arabbit@b": {"rabbit@a", "rabbit@ab", "rabbit@b"},
		"rabbit@abrabbit@b":         {"rabbit@ab", "rabbit@b"},
		"rabbit@a":                  {"rabbit@a"},
	} {
		s, err := ParseClusterStatus(fmt.Sprintf(text, glued))
		if err != nil || !slices.Equal(s.running(), want) {
			t.Errorf("%s: %v (%v)", glued, s.running(), err)
		}
	}
	for _, glued := range []string{"", "rabbit@c", "rabbit@arabbit@a", "rabbit@a rabbit@b"} {
		if s, err := ParseClusterStatus(fmt.Sprintf(text, glued)); err == nil {
			t.Errorf("%q was taken for %v", glued, s.running())
		}
	}
}

// The samples are what people's brokers printed: DataDog/integrations-core issue 922, kbudde/rabbitmq_exporter issue 64
// (3.6.2), rabbitmq-server issue 392, and 3.6's own documentation of RAM nodes.
func TestClusterStatusReadsErlangTerms(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want ClusterStatus
	}{
		"two discs": {
			"Cluster status of node 'rabbit@queue01' ...\n[{nodes,[{disc,['rabbit@queue01','rabbit@queue02']}]},\n {running_nodes,['rabbit@queue02','rabbit@queue01']},\n {cluster_name,<<\"rabbit@queue01\">>},\n {partitions,[]},\n {alarms,[{'rabbit@queue02',[]},{'rabbit@queue01',[]}]}]\n",
			ClusterStatus{ClusterName: "rabbit@queue01", Members: map[string]MemberStatus{"rabbit@queue01": {Running: true}, "rabbit@queue02": {Running: true}}, Partitions: map[string][]string{}, Alarms: []Alarm{}},
		},
		"partitioned, over many lines": {
			"[{nodes,\n     [{disc,\n          ['rabbit@a.internal',\n           'rabbit@b.internal']}]},\n {running_nodes,\n     ['rabbit@b.internal']},\n {cluster_name,<<\"rabbit@a.internal\">>},\n {partitions,\n     [{'rabbit@b.internal',\n          ['rabbit@a.internal']}]},\n {alarms,\n     [{'rabbit@b.internal',[]}]}]\n...done.\n",
			ClusterStatus{ClusterName: "rabbit@a.internal", Members: map[string]MemberStatus{"rabbit@a.internal": {}, "rabbit@b.internal": {Running: true}}, Partitions: map[string][]string{"rabbit@b.internal": {"rabbit@a.internal"}}, Alarms: []Alarm{}},
		},
		"a RAM node and alarms": {
			"[{nodes,[{disc,[rabbit@dizzy]},{ram,[hare@dizzy]}]},{running_nodes,[hare@dizzy,rabbit@dizzy]},{cluster_name,<<\"o\\\"rders\"/utf8>>},{partitions,[]},{alarms,[{rabbit@dizzy,[memory,{resource_limit,disk,rabbit@dizzy}]},{hare@dizzy,[file_descriptor_limit,{{resource_limit,memory,hare@dizzy},[]}]}]}]",
			ClusterStatus{
				ClusterName: `o"rders`, Members: map[string]MemberStatus{"rabbit@dizzy": {Running: true}, "hare@dizzy": {RAM: true, Running: true}}, Partitions: map[string][]string{},
				Alarms: []Alarm{{"rabbit@dizzy", "memory"}, {"rabbit@dizzy", "disk"}, {"hare@dizzy", "file_descriptor_limit"}, {"hare@dizzy", "memory"}},
			},
		},
		"3.7 as JSON": {
			`{"nodes":{"disc":["rabbit@a"],"ram":["rabbit@b"]},"running_nodes":["rabbit@a"],"cluster_name":"x","partitions":[],"alarms":{"rabbit@a":["memory"]}}`,
			ClusterStatus{ClusterName: "x", Members: map[string]MemberStatus{"rabbit@a": {Running: true}, "rabbit@b": {RAM: true}}, Partitions: map[string][]string{}, Alarms: []Alarm{{"rabbit@a", "memory"}}},
		},
	} {
		if got, err := ParseClusterStatus(c.text); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v (%v), want\n%+v", name, got, err, c.want)
		}
	}
}

func TestClusterStatusDoesNotGuess(t *testing.T) {
	good, _, _ := recorded(t, "4.3.6", "cluster_status-3nodes")
	plain, _, _ := recorded(t, "4.3.6", "cluster_status-3nodes-plain")
	for name, text := range map[string]string{
		"nothing":                     "",
		"noise only":                  "18:01:02.345 [error] {running_nodes,[]}\n",
		"for people":                  plain,
		"cut off":                     good[:len(good)/2],
		"twice":                       good + "\n" + good,
		"no members":                  `{"disk_nodes":[],"running_nodes":[]}`,
		"a stranger runs":             `{"disk_nodes":["rabbit@a"],"running_nodes":["rabbit@b"]}`,
		"no running_nodes":            `{"disk_nodes":["rabbit@a"]}`,
		"running_nodes is null":       `{"disk_nodes":["rabbit@a"],"running_nodes":null}`,
		"running_nodes is an object":  `{"disk_nodes":["rabbit@a"],"running_nodes":{}}`,
		"other partitions":            `{"disk_nodes":["rabbit@a"],"running_nodes":["rabbit@a"],"partitions":["rabbit@b"]}`,
		"other alarms":                `{"disk_nodes":["rabbit@a"],"running_nodes":["rabbit@a"],"alarms":["memory"]}`,
		"an alarm of nobody":          `{"disk_nodes":["rabbit@a"],"running_nodes":["rabbit@a"],"alarms":[{"resource":"memory"}]}`,
		"other words for maintenance": `{"disk_nodes":["rabbit@a"],"running_nodes":["rabbit@a"],"maintenance_status":{"rabbit@a":"maybe"}}`,
		"another type of node":        `{"nodes":{"disc":["rabbit@a"],"stats":["rabbit@b"]},"running_nodes":["rabbit@a"]}`,
		"no node name":                `{"disk_nodes":["rabbit"],"running_nodes":["rabbit"]}`,
		"a stopped node's term":       "[{nodes,[{disc,[rabbit@a,rabbit@b]}]}]",
		"a cut off term":              "[{nodes,[{disc,[rabbit@a]}]},\n {running_nodes,[rab",
		"a term with another type":    "[{nodes,[{disk,[rabbit@a]}]},{running_nodes,[rabbit@a]}]",
		"an unknown alarm":            "[{nodes,[{disc,[rabbit@a]}]},{running_nodes,[rabbit@a]},{alarms,[{rabbit@a,[{x,y}]}]}]",
	} {
		if s, err := ParseClusterStatus(text); err == nil {
			t.Errorf("%s was taken for a status: %+v", name, s)
		}
	}
}

func FuzzParseClusterStatus(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*cluster_status*.stdout"))
	if err != nil || len(files) < 20 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
	}
	f.Add("[{nodes,[{disc,['rabbit@a']},{ram,[b@c]}]},{running_nodes,['rabbit@a']},{cluster_name,<<\"a\">>},{partitions,[{b@c,['rabbit@a']}]},{alarms,[{b@c,[memory]}]}]")
	f.Add(`{"disk_nodes":["rabbit@a","rabbit@ab"],"running_nodes":"rabbit@arabbit@ab"}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseClusterStatus(text)
		if err != nil {
			return
		}
		if len(s.Members) == 0 {
			t.Errorf("an empty list of members out of %q", text)
		}
		for node := range s.Members {
			if CheckNodeName(node) != nil {
				t.Errorf("a member %q out of %q", node, text)
			}
		}
	})
}
