package rabbitmq

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// answering is a host whose rabbitmqctl prints the same to every question.
type answering struct {
	out  string
	err  string
	code int
	lost error // the connection's end, in place of an exit code
}

func (a answering) Run(_ context.Context, line string, _ io.Reader, stdout, stderr io.Writer) (int, error) {
	if strings.Contains(line, "id -un; id -u") {
		nonce := line[strings.LastIndex(line, " ")+1:]
		_, _ = io.WriteString(stdout, nonce+"\ndeploy\n1000\nyes\n"+nonce+"\n")
		return 0, nil
	}
	_, _ = io.WriteString(stdout, a.out)
	_, _ = io.WriteString(stderr, a.err)
	return a.code, a.lost
}

func (a answering) node() *Node {
	return New(remote.New(a, "rmq1", remote.Options{Become: true}), Config{Name: "rabbit@rmq1"})
}

// A probe that lacks what it was asked for is no answer: what is not there would be taken for nothing.
func TestProbeThatLeavesSomethingOutIsNoAnswer(t *testing.T) {
	const own = marker + `{"node":"rabbit@rmq1","running":true,"store":"mnesia","disc":["rabbit@rmq1"]`
	for name, c := range map[string]struct {
		out  string
		ask  Ask
		want string // what the error says; empty where there is none
	}{
		"all of it":             {own + `,"overview":{"members":[]},"hints":{"settings":[]},"lag":[]}`, Ask{Overview: true, Hints: true, Lag: true}, ""},
		"nothing was asked for": {own + `}`, Ask{}, ""},
		"no overview":           {own + `,"overview":null}`, Ask{Overview: true}, "left out what it was asked for"},
		"no lag":                {own + `,"lag":null}`, Ask{Lag: true}, "left out what it was asked for"},
		"no hints":              {own + `}`, Ask{Hints: true}, "left out what it was asked for"},
		"stopped: no overview":  {marker + `{"node":"rabbit@rmq1","store":"mnesia"}`, Ask{Overview: true, Lag: true}, ""},
		"stopped: no hints":     {marker + `{"node":"rabbit@rmq1","store":"mnesia"}`, Ask{Hints: true}, "left out what it was asked for"},
		"a failure":             {own + `,"lag":"error"}`, Ask{Lag: true}, "could not give its lag"},
		"another node":          {strings.Replace(own, `"node":"rabbit@rmq1"`, `"node":"rabbit@rmq2"`, 1) + `}`, Ask{}, "the node that answered is rabbit@rmq2"},
		"nobody listed":         {marker + `{"node":"rabbit@rmq1","running":true,"store":"mnesia","disc":[]}`, Ask{}, "lists no member"},
		"no name":               {marker + `{"running":true,"store":"mnesia","disc":["rabbit@rmq1"]}`, Ask{}, "lacks the node name"},
		"no store":              {marker + `{"node":"rabbit@rmq1","disc":["rabbit@rmq1"]}`, Ask{}, "lacks the node name or the store"},
	} {
		_, err := answering{out: c.out + "\n"}.node().Status(t.Context(), c.ask)
		var probe *ProbeError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.As(err, &probe) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A health check ends with 69 when it fails and when it could not be made; only what it says tells them apart.
func TestCheckThatWasNotMadeHasNotPassed(t *testing.T) {
	const failed = `{"message":"Node rabbit@rmq1 reported local queues with minimum online quorum","queues":[{"name":"qq","readable_name":"queue 'qq' in vhost '/'"}],"result":"error"}`
	for name, c := range map[string]struct {
		answering
		critical int
		err      bool
	}{
		"passed":                 {answering{out: `{"result":"ok"}` + "\n"}, 0, false},
		"failed":                 {answering{err: failed + "\n", code: 69}, 2, false}, // both checks say so
		"ok, and another code":   {answering{out: `{"result":"ok"}` + "\n", code: 69}, 0, true},
		"failed, of what":        {answering{err: `{"result":"error"}` + "\n", code: 69}, 0, true},
		"nothing":                {answering{}, 0, true},
		"the application stands": {answering{err: "Error: this command requires the 'rabbit' app to be running on the target node.\n", code: 64}, 0, true},
	} {
		critical, err := c.node().Critical(t.Context())
		if len(critical) != c.critical || (err != nil) != c.err {
			t.Errorf("%s: %v, %v", name, critical, err)
		}
	}
}

// told is a host that answers by what is asked, and notes it.
type told struct {
	answers map[string]answering // by a part of the line
	lines   *[]string
}

func (h told) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	*h.lines = append(*h.lines, line)
	for part, answer := range h.answers {
		if strings.Contains(line, part) {
			return answer.Run(ctx, line, stdin, stdout, stderr)
		}
	}
	return answering{}.Run(ctx, line, stdin, stdout, stderr)
}

func (h told) ran(part string) bool {
	return slices.ContainsFunc(*h.lines, func(line string) bool { return strings.Contains(line, part) })
}

const (
	factsOfHost = "facts:cli=/usr/sbin/rabbitmqctl\nfacts:home=/var/lib/rabbitmq\nfacts:boot=one\nfacts:unit.LoadState=loaded\nfacts:unit.ActiveState=active\nfacts:end=1\n"
	wordOfNode  = marker + `{"node":"rabbit@rmq1","running":true,"store":"mnesia","disc":["rabbit@rmq1"],"boot":"one"}` + "\n"
)

// What a host says about its broker is looked at before rabbitmqctl is, which makes a cookie where there is none.
func TestObservedHostHasToBeTheNodesOwnWithACookie(t *testing.T) {
	for name, c := range map[string]struct {
		facts string
		stat  answering
		word  string
		want  string // what the error says; empty where there is none
		asked bool   // whether the node was
	}{
		"all is well":          {factsOfHost, answering{out: "0400 rabbitmq\n"}, wordOfNode, "", true},
		"another machine":      {factsOfHost, answering{out: "0400 rabbitmq\n"}, strings.Replace(wordOfNode, `"boot":"one"`, `"boot":"two"`, 1), "is not the machine that node rabbit@rmq1 runs on", true},
		"no cookie":            {factsOfHost, answering{err: "stat: cannot statx: No such file or directory\n", code: 1}, wordOfNode, "is missing", false},
		"a cookie for all":     {factsOfHost, answering{out: "0644 rabbitmq\n"}, wordOfNode, "has mode 0644", false},
		"another's cookie":     {factsOfHost, answering{out: "0400 root\n"}, wordOfNode, "belongs to root", false},
		"nothing runs there":   {strings.Replace(factsOfHost, "facts:end", "facts:idle=1\nfacts:end", 1), answering{out: "0400 rabbitmq\n"}, wordOfNode, "", false},
		"facts that end early": {strings.TrimSuffix(factsOfHost, "facts:end=1\n"), answering{}, wordOfNode, "ended early", false},
	} {
		h := told{lines: &[]string{}, answers: map[string]answering{"sh -s": {out: c.facts}, "stat -L": c.stat, "eval": {out: c.word}}}
		_, err := New(remote.New(h, "rmq1", remote.Options{Become: true}), Config{Name: "rabbit@rmq1"}).Observe(t.Context(), Ask{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if h.ran("eval") != c.asked {
			t.Errorf("%s: the node was asked: %t", name, h.ran("eval"))
		}
	}
}

// While a broker runs its unit is not looked at, as the node's own word tells more; unless there is none.
func TestUnitIsLookedAtWhenTheNodeDoesNotAnswer(t *testing.T) {
	brief := strings.Replace(factsOfHost, "facts:unit.LoadState=loaded\nfacts:unit.ActiveState=active\n", "facts:brief=1\nfacts:erl_call=/usr/bin/erl_call\n", 1)
	ended := strings.Replace(factsOfHost, "ActiveState=active\n", "ActiveState=failed\nfacts:idle=1\n", 1)
	for name, c := range map[string]struct {
		word  answering
		want  Condition
		whole bool
	}{
		"it answers":     {answering{out: strings.Replace(wordOfNode, `"boot"`, `"cookie_file":{"path":"/var/lib/rabbitmq/.erlang.cookie","mode":256,"own":true},"boot"`, 1)}, Running, false},
		"it ended since": {answering{code: 1, err: "erl_call: failed to connect to node rabbit@rmq1\n"}, Down, true},
	} {
		h := told{lines: &[]string{}, answers: map[string]answering{
			"sh -s -- rabbitmqctl rabbitmq-server rmq1 ''": {out: brief}, "sh -s -- rabbitmqctl rabbitmq-server rmq1 unit": {out: ended}, "-fetch_stdout": c.word, "stat -L": {out: "0400 rabbitmq\n"},
		}}
		o, err := New(remote.New(h, "rmq1", remote.Options{Become: true}), Config{Name: "rabbit@rmq1"}).Observe(t.Context(), Ask{})
		if err != nil || o.Condition != c.want || o.Facts.Unit.Down() != c.whole || h.ran("rmq1 unit") != c.whole {
			t.Errorf("%s: %+v, %v; it ran %q", name, o, err, *h.lines)
		}
	}
}

// The newest units refuse a sixth start within ten minutes, unless what failed is cleared.
func TestUnitThatFailedIsClearedBeforeItIsStarted(t *testing.T) {
	h := told{lines: &[]string{}}
	if err := New(remote.New(h, "rmq1", remote.Options{Become: true}), Config{Name: "rabbit@rmq1"}).StartService(t.Context()); err != nil {
		t.Fatal(err)
	}
	cleared := slices.IndexFunc(*h.lines, func(line string) bool { return strings.Contains(line, "systemctl reset-failed rabbitmq-server") })
	started := slices.IndexFunc(*h.lines, func(line string) bool { return strings.Contains(line, "systemctl start --no-block rabbitmq-server") })
	if cleared < 0 || started < cleared {
		t.Errorf("it ran %q", *h.lines)
	}
}

// What stops or starts an application has happened, or may have, once erl_call has reached the node: it is left at that.
// Only when nothing was asked for, rabbitmqctl may be tried.
func TestStopOfANodeIsAskedForOnce(t *testing.T) {
	const call = "'rabbit stop'"
	for name, c := range map[string]struct {
		answer answering
		want   string // what the error says; empty where there is none
		again  bool
	}{
		"done":               {answering{out: "ok"}, "", false},
		"it failed there":    {answering{out: "{badrpc, {'EXIT', {noproc, []}}}"}, `erl_call -r -sname rabbit@rmq1 -a "rabbit stop"` + "` for node rabbit@rmq1 on host rmq1", false},
		"it says nothing":    {answering{}, "RabbitMQ said: nothing", false},
		"it ended badly":     {answering{code: 1, err: "erl_call: rpc failed\n"}, "rpc failed", false},
		"its end is unknown": {answering{lost: errors.New("the connection was lost")}, "the connection was lost", false},
		"the node is down":   {answering{code: 1, err: "erl_call: failed to connect to node rabbit@rmq1\n"}, "", true},
		"the name is nobody": {answering{code: 1, err: "erl_call: can't ei_gethostbyname(rmq1)\n"}, "", true},
		"sudo refuses":       {answering{code: 1, err: "sudo: a password is required\n"}, "", true},
	} {
		h := told{map[string]answering{call: c.answer}, &[]string{}}
		node := New(remote.New(h, "rmq1", remote.Options{Become: true}), Config{Name: "rabbit@rmq1"})
		node.quick.found("/usr/bin/erl_call")
		err := node.StopApp(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if h.ran("-- rabbitmqctl -n 'rabbit@rmq1' stop_app") != c.again {
			t.Errorf("%s: it ran %q", name, *h.lines)
		}
	}
}
