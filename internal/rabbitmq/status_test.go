package rabbitmq

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// answering is a host whose rabbitmqctl prints the same to every question.
type answering struct {
	out  string
	err  string
	code int
}

func (a answering) Run(_ context.Context, line string, _ io.Reader, stdout, stderr io.Writer) (int, error) {
	if strings.Contains(line, "id -un; id -u") {
		nonce := line[strings.LastIndex(line, " ")+1:]
		_, _ = io.WriteString(stdout, nonce+"\ndeploy\n1000\nyes\n"+nonce+"\n")
		return 0, nil
	}
	_, _ = io.WriteString(stdout, a.out)
	_, _ = io.WriteString(stderr, a.err)
	return a.code, nil
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
