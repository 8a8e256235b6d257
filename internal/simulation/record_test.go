package simulation

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// What the simulation prints for a command, and with which exit code it ends, is what the real broker of the version
// printed. The world of each case is the one in which the record was taken.
func TestPrintsWhatRealBrokersPrinted(t *testing.T) {
	pairUp := func(f *Fleet, names ...string) {
		for _, name := range names[1:] {
			f.Broker(name).JoinByHand(names[0], disc)
		}
	}
	all := []string{node(1), node(2), node(3)}
	cases := []struct {
		record, on string
		only       []Version
		world      func(f *Fleet)
		argv       string
	}{
		{record: "stop_app-idempotent", on: node(1), world: func(f *Fleet) { f.Broker(node(1)).StopApp() }, argv: "rabbitmqctl stop_app"},
		{record: "start_app-idempotent", on: node(1), argv: "rabbitmqctl start_app"},
		{record: "join-app_running", on: node(1), argv: "rabbitmqctl join_cluster rabbit@rmq2"},
		{record: "join-self", on: node(1), world: func(f *Fleet) { f.Broker(node(1)).StopApp() }, argv: "rabbitmqctl join_cluster rabbit@rmq1"},
		{record: "join-target-down", on: node(3), world: func(f *Fleet) { f.Broker(node(3)).StopApp(); f.Broker(node(2)).StopService() }, argv: "rabbitmqctl join_cluster rabbit@rmq2"},
		{record: "join-target-app_stopped", on: node(3), world: func(f *Fleet) { f.Broker(node(3)).StopApp(); f.Broker(node(2)).StopApp() }, argv: "rabbitmqctl join_cluster rabbit@rmq2"},
		{record: "join-already-member", on: node(1), only: []Version{V38, V310, V40}, world: func(f *Fleet) { pairUp(f, all...); f.Broker(node(1)).StopApp() }, argv: "rabbitmqctl join_cluster rabbit@rmq2"},
		{record: "cookie-mismatch-join", on: node(1), world: func(f *Fleet) { f.Broker(node(1)).StopApp(); f.Broker(node(2)).SetCookie("OTHER") }, argv: "rabbitmqctl join_cluster rabbit@rmq2"},
		{record: "join-ram", on: node(3), only: []Version{V43}, world: func(f *Fleet) { f.Broker(node(3)).StopApp() }, argv: "rabbitmqctl join_cluster --ram rabbit@rmq1"},
		{record: "rebuild-join-still-listed", on: node(3), world: func(f *Fleet) {
			pairUp(f, all...)
			f.Broker(node(3)).Rebuild()
			f.Rest()
			f.Broker(node(3)).StopApp()
		}, argv: "rabbitmqctl join_cluster rabbit@rmq1"},
		{record: "forget-running", on: node(1), world: func(f *Fleet) { pairUp(f, all...) }, argv: "rabbitmqctl forget_cluster_node rabbit@rmq3"},
		{record: "forget-app_stopped", on: node(1), world: func(f *Fleet) { pairUp(f, all...); f.Broker(node(3)).StopApp() }, argv: "rabbitmqctl forget_cluster_node rabbit@rmq3"},
		{record: "forget-dead", on: node(1), world: func(f *Fleet) { pairUp(f, all...); f.Broker(node(3)).PowerOff() }, argv: "rabbitmqctl forget_cluster_node rabbit@rmq3"},
		{record: "forget-not-a-member", on: node(1), argv: "rabbitmqctl forget_cluster_node rabbit@rmq3"},
		{record: "forget-self", on: node(1), argv: "rabbitmqctl forget_cluster_node rabbit@rmq1"},
		{record: "forget-app_stopped-from-itself", on: node(1), world: func(f *Fleet) { pairUp(f, all...); f.Broker(node(1)).StopApp() }, argv: "rabbitmqctl forget_cluster_node rabbit@rmq1"},
		{record: "minority-forget_cluster_node", on: node(1), only: []Version{V43}, world: func(f *Fleet) {
			pairUp(f, all...)
			f.Broker(node(2)).PowerOff()
			f.Broker(node(3)).PowerOff()
		}, argv: "rabbitmqctl forget_cluster_node rabbit@rmq3"},
		{record: "minority-set_cluster_name", on: node(1), only: []Version{V43}, world: func(f *Fleet) {
			pairUp(f, all...)
			f.Broker(node(2)).PowerOff()
			f.Broker(node(3)).PowerOff()
		}, argv: "rabbitmqctl set_cluster_name zz"},
		{record: "start_app-forgotten", on: node(3), world: func(f *Fleet) {
			pairUp(f, all...)
			f.Broker(node(3)).StopApp()
			f.Broker(node(1)).ForgetByHand(node(3))
			if f.version.Khepri {
				f.Broker(node(3)).LeaveByHand() // it is reset by the forget that reaches it
				f.Broker(node(3)).StopApp()
			}
		}, argv: "rabbitmqctl start_app"},
		{record: "start_app-forgotten-erl_call", on: node(3), only: []Version{V310, V40}, world: func(f *Fleet) {
			pairUp(f, all...)
			f.Broker(node(3)).StopApp()
			f.Broker(node(1)).ForgetByHand(node(3))
		}, argv: "/usr/bin/erl_call -r -sname rabbit@rmq3 -a 'rabbit start'"},
		{record: "reset-app_running", on: node(1), argv: "rabbitmqctl reset"},
		{record: "eval-dead", on: node(1), world: func(f *Fleet) { f.Broker(node(1)).StopService() }, argv: `rabbitmqctl eval 1.`},
		{record: "cookie-file-differs-eval", on: node(3), world: func(f *Fleet) {
			f.do("", func() { f.brokers[node(3)].writeCookie("OTHER") })
		}, argv: `rabbitmqctl eval 1.`},
		{record: "change_type-app_running", on: node(3), only: []Version{V38, V310, V40, V43}, argv: "rabbitmqctl change_cluster_node_type ram"},
		{record: "change_type-ram", on: node(3), only: []Version{V38, V310, V40, V43}, world: func(f *Fleet) { pairUp(f, all...); f.Broker(node(3)).StopApp() }, argv: "rabbitmqctl change_cluster_node_type ram"},
	}
	for _, c := range cases {
		versions := c.only
		if versions == nil {
			versions = []Version{V38, V310, V40, V43}
		}
		for _, v := range versions {
			t.Run(c.record+"/"+v.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := New(Options{Hosts: 3, Version: v, Seed: 1, Loud: t.Errorf})
					defer f.Close()
					if c.world != nil {
						c.world(f)
					}
					argv, err := split(c.argv)
					if err != nil {
						t.Fatal(err)
					}
					got := call{host: f.Broker(c.on), user: "rabbitmq", argv: argv}.run()
					want := v.say(c.record)
					if strings.Contains(readCommand(t, v, c.record), "stop_app;") || strings.Contains(readCommand(t, v, c.record), "stop_app &&") {
						want = want.withoutStop().until("Starting node") // it ran more than one command
					}
					if got.code != want.code {
						t.Errorf("exit code %d, the real one ended with %d", got.code, want.code)
					}
					if payload(got.out) != payload(want.out) || payload(got.err) != payload(want.err) {
						t.Errorf("printed\n%s\n%s\nthe real one printed\n%s\n%s", payload(got.out), payload(got.err), payload(want.out), payload(want.err))
					}
				})
			})
		}
	}
}

func readCommand(t *testing.T, v Version, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + v.Records + "/" + name + ".cmd")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// noise are lines of the CLI's logger, which come and go.
var noise = regexp.MustCompile(`(?m)^(\d\d:\d\d:\d\d\.\d{3} \[\w+\] .*|Feature flags: .*)?\n`)

func payload(text string) string { return strings.TrimSpace(noise.ReplaceAllString(text, "")) }

// The probe's answer has the keys of the real expression, in every state, so that a key that is renamed in one of the
// two is seen.
func TestProbeHasTheKeysOfTheExpression(t *testing.T) {
	text, err := os.ReadFile("../rabbitmq/probe.erl")
	if err != nil {
		t.Fatal(err)
	}
	source := string(text)
	record := source[strings.Index(source, "R = #{"):]
	var want []string
	for _, match := range regexp.MustCompile(`(?:^R = #\{|,\n(?:%%.*\n)*  |, )([a-z_]+) => `).FindAllStringSubmatch(record, -1) {
		if !slices.Contains([]string{"from"}, match[1]) {
			want = append(want, match[1])
		}
	}
	slices.Sort(want)
	f := New(Options{Hosts: 1, Version: V43, Loud: t.Errorf})
	defer f.Close()
	got := slices.Sorted(maps.Keys(f.Broker(node(1)).probe(nil, nil, nil)))
	if !slices.Equal(got, want) {
		t.Errorf("the simulation answers with %v, the expression with %v", got, want)
	}
}
