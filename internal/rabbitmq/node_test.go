package rabbitmq

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCheckNodeName(t *testing.T) {
	for _, good := range []string{"rabbit@rmq1", "rabbit@rmq1.example.com", "node_2@10-0-0-1", "rabbit@RMQ1"} {
		if err := CheckNodeName(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "rmq1", "@rmq1", "rabbit@", "rabbit@rmq 1", "rabbit@rmq1'", "a@b@c", "rabbit@$(id)", "rabbit@rmq1\n", "rabbit@-x", strings.Repeat("r", 251) + "@rmq1"} {
		if err := CheckNodeName(bad); err == nil {
			t.Errorf("%q was taken for a node name", bad)
		}
	}
}

func TestCookieHashIsRabbitMQs(t *testing.T) {
	// rabbitmq-diagnostics erlang_cookie_hash of a broker with this cookie (measured).
	const cookie, hash = "SUPERSECRETCOOKIE2", "tgwHmjODkNfZkD8qbks0bA=="
	for _, text := range []string{cookie, cookie + "\n", cookie + "\r\n"} {
		if got := CookieHash([]byte(text)); got != hash {
			t.Errorf("%q: got %s, want %s", text, got, hash)
		}
	}
	if CookieHash([]byte(cookie+" ")) == hash {
		t.Error("a trailing blank is part of the cookie")
	}
}

func TestCheckCookie(t *testing.T) {
	for _, good := range []string{"A", strings.Repeat("x", 255), "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"} {
		if err := CheckCookie([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "too long": strings.Repeat("x", 256), "blank": "SECRET ONE", "newline": "SECRET\n", "control": "SECRET\x01", "not ASCII": "SECRÉT",
	} {
		err := CheckCookie([]byte(bad))
		if err == nil {
			t.Errorf("%s was taken for a cookie", name)
		} else if strings.Contains(err.Error(), "SECR") {
			t.Errorf("%s: the error quotes the cookie: %v", name, err)
		}
	}
}

func TestFactsSeeWhatStillRuns(t *testing.T) {
	// As facts.sh printed them on a real host, with commands that read and commands that change.
	out := `facts:cli=/usr/sbin/rabbitmqctl
facts:home=/var/lib/rabbitmq
facts:boot=e5edd1cd-d0ad-4007-a4e5-9ae1a27de54a
facts:erl_call=/usr/bin/erl_call
facts:unit.Result=exit-code
facts:unit.LoadState=loaded
facts:unit.ActiveState=failed
facts:unit.SubState=failed
facts:cli_running=rabbitmqctl eval reset stop_app.
facts:cli_running=rabbitmqctl -n rabbit@rmq1 stop_app
facts:cli_running=rabbitmqctl -n rabbit@rmq1 -q eval PROBE
facts:cli_running=rabbitmqctl -n rabbit@rmq1 -q eval STREAMS
facts:cli_running=erl_call -r -sname rabbit@rmq1 -a rabbit start
facts:end=1
`
	out = strings.NewReplacer("PROBE", Ask{Work: true}.Expression(), "STREAMS", oneLine(streamsSource)).Replace(out)
	f, err := parseFacts(out, "rmq1")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Running, []string{"rabbitmqctl -n rabbit@rmq1 stop_app", "rabbitmqctl -n rabbit@rmq1 -q eval …", "erl_call -r -sname rabbit@rmq1 -a rabbit start"}) {
		t.Errorf("running: %q", f.Running)
	}
	if f.Rotating {
		t.Error("nobody rotates a cookie")
	}
	if f.Unit.String() != "failed (Result: exit-code)" || !f.Unit.Down() || f.ErlCall != "/usr/bin/erl_call" || f.Home != "/var/lib/rabbitmq" {
		t.Errorf("facts: %+v", f)
	}
	if _, err := parseFacts(strings.TrimSuffix(out, "facts:end=1\n"), "rmq1"); err == nil {
		t.Error("facts that end early were taken for all of them")
	}
}

// Commands of every program of the command line are seen while they run, as a list of processes has them: what sudo is
// about to start, the script, and the virtual machine. Whoever reads about them is none.
func TestFactsFindWhatRuns(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	listed := func(path string, argv ...string) Facts {
		t.Helper()
		running := exec.CommandContext(t.Context(), path)
		running.Args = argv
		stdin, err := running.StdinPipe()
		if err == nil {
			err = running.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", factsScript, "sh", "rabbitmqctl", "").Output()
		if err != nil {
			t.Fatal(err)
		}
		_ = stdin.Close()
		_ = running.Wait()
		f, err := parseFacts(string(out), "here")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	const wait = "read line; :"
	for _, command := range []string{"rabbitmqctl -n rabbit@facts stop_app", "rabbitmq-queues shrink rabbit@facts", "rabbitmqctl set_cluster_name rabbitmq-facts"} {
		program, _, _ := strings.Cut(command, " ")
		script := filepath.Join(dir, program)
		if err := os.WriteFile(script, []byte("#!/bin/sh -e\nread line\n"), 0o755); err != nil { //nolint:gosec // G306: a program
			t.Fatal(err)
		}
		for as, facts := range map[string]Facts{
			"machine": listed("/bin/sh", append([]string{"/usr/lib/erlang/erts-13.1/bin/beam.smp", "-c", wait, "--", "-extra"}, strings.Fields("/usr/lib/rabbitmq/bin/"+command)...)...),
			"escript": listed("/bin/sh", append([]string{"/usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/escript/" + program, "-c", wait, "--", "-extra"}, strings.Fields("/usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/escript/"+command)...)...),
			"script":  listed(script, strings.Fields(command)...),
			"sudo":    listed("/bin/sh", append([]string{"sudo", "-c", wait, "-H", "-u", "rabbitmq", "--"}, strings.Fields(command)...)...),
		} {
			if !slices.Contains(facts.Running, command) {
				t.Errorf("as %s, %s is not among %q", as, command, facts.Running)
			}
		}
		if found := listed("/bin/sh", append([]string{"less", "-c", wait}, strings.Fields("/tmp/"+command)...)...); slices.Contains(found.Running, command) {
			t.Errorf("who reads about %s was taken for it", command)
		}
	}
	const call = "erl_call -r -sname rabbit@facts -a rabbit start"
	for as, argv := range map[string][]string{
		"program": append([]string{"/usr/bin/erl_call", "-c", wait}, strings.Fields(call)[1:]...),
		"doas":    append([]string{"doas", "-c", wait, "-u", "rabbitmq"}, strings.Fields("/usr/bin/"+call)...),
		"runuser": append([]string{"runuser", "-c", wait, "-u", "rabbitmq", "--"}, strings.Fields(call)...),
	} {
		running := listed("/bin/sh", argv...).Running
		if !slices.ContainsFunc(running, func(line string) bool {
			return strings.HasPrefix(line, "erl_call ") && strings.HasSuffix(line, "-r -sname rabbit@facts -a rabbit start")
		}) {
			t.Errorf("as %s, %s is not among %q", as, call, running)
		}
	}
	for as, argv := range map[string][]string{
		"who reads about it":     append([]string{"less", "-c", wait}, strings.Fields("/tmp/"+call)...),
		"who asks for something": {"/usr/bin/erl_call", "-c", wait, "-r", "-sname", "rabbit@facts", "-fetch_stdout", "-no_result_term", "-e"},
	} {
		if running := listed("/bin/sh", argv...).Running; slices.ContainsFunc(running, func(line string) bool { return strings.Contains(line, "rabbit@facts") }) {
			t.Errorf("%s was taken for it: %q", as, running)
		}
	}
	for _, as := range []string{"sh", "sudo"} { // rotate.sh, before the virtual machine starts
		if f := listed("/bin/sh", as, "-s", "--", "/home/.erlang.cookie.new", "/home/.erlang.cookie", "rabbitmqctl", "-q", "eval", "{ok,C}=file:read_file(x),"+setCookie+"node(),K)."); !f.Rotating {
			t.Errorf("as %s, a rotation is not seen", as)
		}
	}
}
