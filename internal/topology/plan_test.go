package topology

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios plays testdata/*: each case is what hosts said and what is wanted, then the plan or the refusal.
//
//	plan
//	rmq1 running lists=rmq1,rmq2 sees=rmq1 name=orders
//	rmq2 down
//	want only name=orders rmq1 rmq2:ram
//	----
//	start the service of rabbit@rmq2
//
// A node that runs and says nothing else lists and sees itself, holds nothing, has cookie A and version 3.10.8. Words:
// lists, sees, cut, discovers (lists of nodes), unresolved=rmq2, resolves=rmq2:10.0.0.2+fd00::2, at=10.0.0.1 (its addresses), name, id, cookie, version, why; khepri, minority,
// mnesialess (its version has Khepri only), flags=a,b-,c* (that it knows: on, off, on but not when it was reset; of the
// application rabbit, or of another as in shovel:a), without=shovel (applications that it has not loaded),
// unseen (not inspected), holds=vhost_orders, queue=classic:rmq1+rmq2:3:120 (copies, count, messages; also exclusive, and
// lame=rmq2 for replicas that do not work although their node runs),
// lacks=rmq3:2 (queues without a replica there). What is wanted: nodes, and only, loss, grow, name, id, peers, leaving.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			wish, seen := scenario(t, d)
			switch d.Cmd {
			case "plan":
				return told(Plan(wish, seen))
			case "dissolve":
				last, ok := Dissolve(wish, seen)
				if !ok {
					return "nobody runs\n"
				}
				return fmt.Sprintf("%s stays\n", last.names()[0]) + told(Plan(last, seen))
			case "member":
				node := wish.names()[0]
				m, r, found, err := ReadMember(node, wish.Peers, seen)
				if err != nil || !found {
					return fmt.Sprintf("found=%t err=%v\n", found, err)
				}
				return fmt.Sprintf("%s of %q, running=%t\n", m.Type, r.Name, m.Running)
			case "recovery":
				if text := Recovery(wish, seen); text != "" {
					return text + "\n"
				}
				return "nothing is waited for in vain\n"
			case "read":
				return reading(Read(wish.Members, seen))
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

func told(steps []Step, err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		text := "refused\n" + refusal.Error() + "\n"
		for _, s := range refusal.Startable() {
			text += fmt.Sprintf("done all the same: %s\n", s)
		}
		return text
	}
	if err != nil {
		return err.Error() + "\n"
	}
	if len(steps) == 0 {
		return "nothing to do\n"
	}
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&b, s.Foretell())
		if s.Unproved {
			fmt.Fprintln(&b, "  tries first whether they find each other")
		}
		if s.Loses != "" {
			fmt.Fprintln(&b, "  loses", s.Loses)
		}
		if s.Later() != "" {
			fmt.Fprintln(&b, "  later:", s.Later())
		}
	}
	return b.String()
}

func reading(r Reading, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "name %q id %q\n", r.Name, r.ID)
	for _, node := range sortedKeys(r.Members) {
		fmt.Fprintf(&b, "%s %s running=%t\n", node, r.Members[node].Type, r.Members[node].Running)
	}
	if len(r.Lacking) > 0 {
		fmt.Fprintf(&b, "without replicas: %s\n", strings.Join(r.Lacking, ", "))
	}
	for _, cause := range r.Unseen {
		fmt.Fprintf(&b, "no answer: %s\n", cause)
	}
	if r.Partition != "" {
		fmt.Fprintf(&b, "partition: %s\n", r.Partition)
	}
	return b.String()
}

func scenario(t *testing.T, d *datadriven.TestData) (Wish, Snapshot) {
	wish, seen := Wish{Members: map[string]Type{}}, Snapshot{}
	for _, line := range strings.Split(d.Input, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "want" {
			for _, word := range words[1:] {
				wanted(&wish, word)
			}
			continue
		}
		seen[full(words[0])] = viewed(t, d, full(words[0]), words[1:])
	}
	return wish, seen
}

func wanted(w *Wish, word string) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "only":
		w.Only = true
	case "loss":
		w.AllowDataLoss = true
	case "grow":
		w.Grow = true
	case "id":
		w.ID = value
	case "name":
		w.Name = value
	case "peers":
		w.Peers = fulls(value)
	case "leaving":
		w.Leaving = fulls(value)
	default:
		node, kind, typed := strings.Cut(word, ":")
		if !typed {
			kind = string(Disc)
		}
		w.Members[full(node)] = Type(kind)
	}
}

func viewed(t *testing.T, d *datadriven.TestData, node string, words []string) View {
	states := map[string]State{"unreachable": Unreachable, "failed": Failed, "down": Down, "stopped": Stopped, "paused": Paused, "booting": Booting, "running": Running}
	state, ok := states[words[0]]
	if !ok {
		d.Fatalf(t, "%s is no state", words[0])
	}
	v := View{State: state, Name: node, CookieHash: "A", Version: "3.10.8", RAMAllowed: true}
	if state == Running {
		v.Members, v.Running, v.Holds = map[string]Type{node: Disc}, []string{node}, &Holdings{}
	}
	sawWhom := false
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "lists":
			v.Members = map[string]Type{}
			for _, one := range strings.Split(value, ",") {
				short, kind, typed := strings.Cut(one, ":")
				v.Members[full(short)] = Disc
				if typed {
					v.Members[full(short)] = Type(kind)
				}
			}
			if state == Running && !sawWhom {
				v.Running = sortedKeys(v.Members)
			}
		case "sees":
			v.Running, sawWhom = fulls(value), true
		case "cut":
			v.Partitioned = fulls(value)
		case "unresolved":
			v.Resolves = merged(v.Resolves, map[string][]string{value: nil})
		case "resolves":
			host, addresses, _ := strings.Cut(value, ":")
			v.Resolves = merged(v.Resolves, map[string][]string{host: strings.Split(addresses, "+")})
		case "at":
			v.Machine, v.Addresses = value, append(strings.Split(value, "+"), "127.0.0.1")
		case "discovers":
			v.Discovers = fulls(value)
		case "name":
			v.Name = value
		case "id":
			v.ID = value
		case "lacks":
			v.Lacks = map[string]int{}
			for _, one := range strings.Split(value, ",") {
				short, n, _ := strings.Cut(one, ":")
				count, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				v.Lacks[full(short)] = count
			}
		case "cookie":
			v.CookieHash = value
		case "version":
			v.Version = value
		case "why":
			v.Why = strings.ReplaceAll(value, "_", " ")
		case "khepri":
			v.Khepri, v.RAMAllowed, v.Version = true, false, "4.3.6"
		case "mnesialess":
			v.OnlyKhepri = true
		case "flags":
			v.Flags = flags(value)
			if v.Applications == nil {
				v.Applications = []string{"rabbit", "shovel"}
			}
		case "without":
			v.Applications = []string{"rabbit"}
		case "minority":
			v.NoMajority = true
		case "unseen":
			v.Holds = nil
		case "holds":
			what, _, _ := strings.Cut(value, "_")
			v.Holds.Objects = append(v.Holds.Objects, strings.ReplaceAll(value, "_", " "))
			v.Holds.Counts = append(v.Holds.Counts, Count{N: 1, What: what})
		case "queue":
			v.Holds.Queues = append(v.Holds.Queues, queue(t, value))
		default:
			d.Fatalf(t, "unknown word %s", word)
		}
	}
	return v
}

func flags(list string) map[string]Flag {
	known := map[string]Flag{}
	for _, text := range strings.Split(list, ",") {
		name := strings.TrimRight(text, "-*")
		flag := Flag{Application: "rabbit", On: !strings.HasSuffix(text, "-"), Stays: !strings.HasSuffix(text, "-")}
		if application, rest, other := strings.Cut(name, ":"); other {
			flag.Application, name = application, rest
		}
		if strings.HasSuffix(text, "*") {
			flag.Stays = false
		}
		known[name] = flag
	}
	return known
}

func queue(t *testing.T, text string) QueueGroup {
	parts := strings.Split(text, ":")
	count, err1 := strconv.Atoi(parts[2])
	messages, err2 := strconv.Atoi(parts[3])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var lame []string
	for _, part := range parts {
		if nodes, ok := strings.CutPrefix(part, "lame="); ok {
			lame = fulls(strings.ReplaceAll(nodes, "+", ","))
		}
	}
	return QueueGroup{Lame: lame, Type: parts[0], Copies: fulls(strings.ReplaceAll(parts[1], "+", ",")), Count: count, Messages: messages, Largest: []string{"q in /: " + parts[3]}, Exclusive: slices.Contains(parts, "exclusive")}
}

func merged(m, more map[string][]string) map[string][]string {
	if m == nil {
		return more
	}
	maps.Copy(m, more)
	return m
}

func full(short string) string {
	if strings.Contains(short, "@") {
		return short
	}
	return "rabbit@" + short
}

func fulls(list string) []string {
	var nodes []string
	for _, short := range strings.Split(list, ",") {
		nodes = append(nodes, full(short))
	}
	return nodes
}

// TestEveryRuleHasAScenario keeps the list of refusals and the stories that show them together.
func TestEveryRuleHasAScenario(t *testing.T) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("testdata", file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		told.Write(text)
	}
	for _, rule := range []Rule{
		RuleDataLoss, RuleOtherCluster, RuleUninspected, RuleUnreachable, RulePartition, RuleDisagreement, RuleMajority,
		RuleCookie, RuleResolve, RuleType, RuleLastDisc, RuleVersion, RuleNobodyRuns,
	} {
		if !strings.Contains(told.String(), string(rule)) {
			t.Errorf("no scenario shows %q", rule)
		}
	}
}
