//go:build linux

package acceptance

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/simulation"
)

// The stories that the simulation tells are told on real hosts as well, and everything that can be seen must come out
// the same: how each apply ends, which rule refuses it, who runs in the end, whom each node lists and what it holds.

const stories = "../simulation/testdata/stories"

func TestStoriesComeOutAsSimulatedOnEveryVersion(t *testing.T) {
	everyVersion(t)
	long(t)
	files, err := filepath.Glob(filepath.Join(stories, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	told := map[string]simulation.Scenario{}
	simulated, elsewhere := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := simulation.Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		i := -1
		if suite.missing == nil {
			i = slices.IndexFunc(s.Versions, func(v simulation.Version) bool { return isRelease(v, suite.lab.Release()) })
		}
		switch {
		case s.Simulated != "":
			simulated++
		case i < 0:
			elsewhere++
		default:
			s.Version, s.Open = s.Versions[i], true
			told[strings.TrimSuffix(filepath.Base(file), ".txt")] = s
		}
	}
	blank(t) // or skip
	t.Logf("%d stories are told here, %d hold for other versions only, %d can only be simulated", len(told), elsewhere, simulated)
	names := slices.SortedFunc(maps.Keys(told), func(a, b string) int {
		if told[a].Hosts != told[b].Hosts {
			return told[a].Hosts - told[b].Hosts // more hosts are booted only when they are needed
		}
		return strings.Compare(a, b)
	})
	dirty = false
	t.Cleanup(func() { // other tests want three
		for _, h := range suite.lab.Hosts()[3:] {
			if err := suite.lab.RemoveHost(h); err != nil {
				t.Error(err)
			}
		}
	})
	for _, name := range names {
		t.Run(name, func(t *testing.T) { tellStory(t, told[name]) })
	}
}

// isRelease tells whether the lab runs what a story calls 3.10.8 or 4.0.5-khepri, and a release 3.10 or 4.0-khepri.
func isRelease(v simulation.Version, r lab.Release) bool {
	line, khepri := strings.CutSuffix(r.RabbitMQ, "-khepri")
	number, chosen := strings.CutSuffix(v.String(), "-khepri")
	return khepri == chosen && strings.HasPrefix(number, line+".")
}

// tellStory tells one story to both, and compares.
func tellStory(t *testing.T, s simulation.Scenario) {
	blank(t)
	for i := len(suite.lab.Hosts()); i < s.Hosts; i++ {
		if _, err := suite.lab.AddHost(t.Context(), lab.HostSpec{Name: fmt.Sprintf("rmq%d", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	told := &narrator{t: t, w: newWorkspace(t), hosts: map[string]*lab.Host{}}
	for _, h := range suite.lab.Hosts()[:s.Hosts] {
		told.hosts[h.NodeName()] = h
	}
	t.Cleanup(told.restore)
	for _, step := range s.Steps {
		told.step(strings.Fields(step))
	}
	var want simulation.Result
	synctest.Test(t, func(t *testing.T) { want = simulation.Tell(t.Context(), s) })
	for _, problem := range want.Problems {
		t.Errorf("the simulation has a problem: %s", problem)
	}
	if !slices.Equal(told.outcomes, want.Outcomes) {
		t.Errorf("the applies ended\n  %s\nand in the simulation\n  %s", strings.Join(told.outcomes, "\n  "), strings.Join(want.Outcomes, "\n  "))
	}
	for node, w := range want.Nodes {
		got := told.standing(told.hosts[node])
		if got.Running != w.Running || !slices.Equal(got.Members, w.Members) || !slices.Equal(got.Holds, w.Holds) {
			t.Errorf("%s: %+v, in the simulation %+v", node, got, w)
		}
	}
	if t.Failed() {
		t.Logf("the story:\n%s\nthe simulation's world in the end:\n%s", s, want.World)
	}
}

// narrator does the steps of a story on real hosts.
type narrator struct {
	t        *testing.T
	w        *workspace
	hosts    map[string]*lab.Host
	outcomes []string
	cookies  []*lab.Host // whose cookie is another than the shared one
}

// restore gives back what blanking a broker does not.
func (n *narrator) restore() {
	for _, h := range n.cookies {
		if err := h.SetCookie(sharedCookie); err != nil {
			n.t.Error(err)
		}
	}
}

func (n *narrator) do(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *narrator) step(words []string) {
	t := n.t
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	var h *lab.Host
	if len(words) > 1 {
		h = n.hosts[words[1]]
	}
	switch words[0] {
	case "stop-app":
		ctl(t, h, "stop_app")
	case "start-app":
		ctl(t, h, "start_app")
	case "stop-service":
		n.do(h.StopBroker(ctx))
	case "start-service":
		n.do(h.StartBroker(ctx))
	case "power-off":
		n.do(h.PullPlug(ctx))
	case "power-on":
		n.do(h.Boot(ctx))
	case "rebuild": // the same to its peers, without a boot of the host
		n.do(h.BlankBroker(ctx))
	case "part":
		n.part(h)
	case "mend":
		n.mend()
	case "rest":
		for _, h := range n.hosts {
			if h.Running() {
				_ = h.WaitBroker(ctx) // one that is stopped does not come
			}
		}
	case "cookie":
		n.cookies = append(n.cookies, h)
		n.do(h.StopBroker(ctx))
		n.do(h.SetCookie(words[2]))
		n.do(h.StartBroker(ctx))
	case "unresolved":
		on(t, h, "sed", "-i", `/\b`+words[2]+`\b/d`, "/etc/hosts")
	case "join":
		joinByHand(t, h, n.hosts[words[2]])
	case "leave":
		leaveByHand(t, h)
	case "forget":
		ctl(t, h, "forget_cluster_node", words[2])
	case "declare":
		kind, name, _ := strings.Cut(words[2], ":")
		if kind == "user" {
			ctl(t, h, "add_user", name, "secret")
		} else {
			ctl(t, h, "add_vhost", name)
		}
	case "queue":
		n.queue(h, words[2], words[3], words[4])
	case "apply", "apply-members":
		n.write(words)
		n.ended(n.w.apply())
	case "dissolve":
		n.ended(n.w.run("destroy", "-no-color", "-auto-approve"))
	default:
		n.must(words, h)
	}
}

func (n *narrator) must(words []string, h *lab.Host) {
	t := n.t
	t.Helper()
	last := ""
	if len(n.outcomes) > 0 {
		last = n.outcomes[len(n.outcomes)-1]
	}
	ok := false
	switch words[0] {
	case "must-succeed":
		ok = last == "done"
	case "must-fail":
		ok = last != "done"
	case "must-refuse":
		ok = strings.Contains(last, strings.Join(words[1:], " "))
	case "must-run":
		ok = n.standing(h).Running
	case "must-be-stopped":
		ok = !n.standing(h).Running
	case "must-list":
		ok = slices.Equal(n.standing(h).Members, slices.Sorted(slices.Values(words[1:])))
	case "must-hold", "must-not-hold":
		ok = slices.Contains(n.standing(h).Holds, strings.Replace(words[2], ":", " ", 1)) == (words[0] == "must-hold")
	case "must-replicate":
		for _, h := range n.hosts {
			if all := replicas(t, h); len(all[words[1]]) > 0 {
				ok = fmt.Sprint(len(all[words[1]])) == words[2]
			}
		}
	default:
		t.Fatalf("%q cannot be done on real hosts: say why in the story, as `simulated: …`", words)
	}
	if !ok {
		t.Errorf("%q is not so: the last apply ended %s", strings.Join(words, " "), last)
	}
}

// queue declares a durable queue with so many replicas; a classic one has one.
func (n *narrator) queue(h *lab.Host, kind, name, copies string) {
	ch := dial(n.t, h)
	arguments := map[string]any{"x-queue-type": kind}
	switch kind {
	case "quorum":
		arguments["x-quorum-initial-group-size"] = atoi(copies)
	case "stream":
		arguments["x-initial-cluster-size"] = atoi(copies)
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, arguments); err != nil {
		n.t.Fatal(err)
	}
}

func atoi(text string) int32 {
	n := int32(0)
	_, _ = fmt.Sscan(text, &n)
	return n
}

// part cuts a host off from the others, and lets Erlang notice now and not after a minute.
func (n *narrator) part(h *lab.Host) {
	ctx, cancel := bounded(n.t)
	defer cancel()
	var others []*lab.Host
	for _, other := range n.hosts {
		if other != h {
			others = append(others, other)
		}
	}
	n.do(suite.lab.Partition(ctx, []*lab.Host{h}, others))
	ctl(n.t, h, "eval", "[erlang:disconnect_node(N) || N <- nodes()].")
	time.Sleep(2 * time.Second) // each side takes the other for dead
}

// mend heals the network and waits until the nodes have met again.
func (n *narrator) mend() {
	ctx, cancel := bounded(n.t)
	defer cancel()
	n.do(suite.lab.Heal(ctx))
	for _, h := range n.hosts {
		var others []string
		for node := range n.hosts {
			others = append(others, "'"+node+"'")
		}
		ctl(n.t, h, "eval", "[net_adm:ping(N) || N <- ["+strings.Join(others, ",")+"]].")
	}
	time.Sleep(3 * time.Second) // Mnesia tells of the partition once it is over
}

// write makes the wish of an apply line the workspace's configuration.
func (n *narrator) write(words []string) {
	var members, attributes string
	for _, word := range words[1:] {
		node, kind, typed := strings.Cut(word, ":")
		switch key, value, _ := strings.Cut(word, "="); {
		case key == "name":
			attributes += fmt.Sprintf("\n  name = %q", value)
		case word == "loss":
			attributes += "\n  allow_data_loss = true"
		case word == "grow":
			attributes += "\n  replicas = \"grow\""
		case typed:
			members += entry(n.hosts[node], fmt.Sprintf("type = %q", kind))
		default:
			members += entry(n.hosts[node])
		}
	}
	const impatient = `timeout = "10s"`
	if words[0] == "apply" {
		n.w.write(hcl{ssh: impatient, members: members, attributes: attributes})
		return
	}
	n.w.blocks("locals {\n  nodes = {\n" + members + "  }\n}\n" + memberBlocks(attributes))
	n.w.env = []string{"RABBITMQ_SSH_TIMEOUT=10s"}
}

// refusedTo is the headline of a refusal.
var refusedTo = regexp.MustCompile(`(?m)^Error: Refused to [^:\n]*: (.+)$`)

func (n *narrator) ended(o outcome) {
	var rules []string
	for _, match := range refusedTo.FindAllStringSubmatch(o.output, -1) {
		rules = append(rules, strings.TrimSpace(match[1]))
	}
	n.outcomes = append(n.outcomes, simulation.Outcome(o.code != 0, rules))
}

// standing is how a node stands, as it says itself.
func (n *narrator) standing(h *lab.Host) simulation.Standing {
	t := n.t
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	if !h.Running() {
		return simulation.Standing{}
	}
	if out, err := h.Rabbitmqctl(ctx, "eval", "rabbit:is_running()."); err != nil || !strings.Contains(out, "true") {
		return simulation.Standing{}
	}
	c := clusterStatus(t, h)
	s := simulation.Standing{Running: true, Members: slices.Sorted(slices.Values(slices.Concat(c.Disc, c.RAM)))}
	for _, vhost := range vhosts(t, h) {
		if vhost != "/" {
			s.Holds = append(s.Holds, "vhost "+vhost)
		}
	}
	for line := range strings.Lines(ctl(t, h, "-q", "list_users", "--no-table-headers")) {
		if words := strings.Fields(line); len(words) > 0 && !slices.Contains([]string{"guest", worker, "user"}, words[0]) {
			s.Holds = append(s.Holds, "user "+words[0])
		}
	}
	out := ctl(t, h, "eval", `io:put_chars(["queues:", lists:join(" ", lists:usort([element(4, amqqueue:get_name(Q)) || Q <- rabbit_amqqueue:list() ++ try rabbit_amqqueue:list_down(<<"/">>) catch _:_ -> [] end])), 10]).`)
	for line := range strings.Lines(out) {
		if text, ours := strings.CutPrefix(line, "queues:"); ours {
			for _, queue := range strings.Fields(text) {
				s.Holds = append(s.Holds, "queue "+queue)
			}
		}
	}
	slices.Sort(s.Holds)
	return s
}
