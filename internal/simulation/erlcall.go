package simulation

import (
	"slices"
	"strings"
)

// The way to a node that boots nothing.

// calls are the functions that the product calls with erl_call, as the commands of rabbitmqctl that they are.
var calls = map[string]string{"rabbit stop": "stop_app", "rabbit start": "start_app"}

// known are the words of a command, with rabbitmqctl's name for what erl_call calls.
func known(argv []string) []string {
	if last := len(argv) - 1; last > 0 && argv[0] == erlCall && calls[argv[last]] != "" {
		return append(slices.Clone(argv[:last-1]), calls[argv[last]])
	}
	return argv
}

// erlCall evaluates what stands in its input on a node, or calls a function there. It boots nothing, makes no cookie file,
// and on any failure says little.
func (c call) erlCall() reply {
	b, f := c.host, c.host.fleet
	if len(c.argv) < 6 || c.argv[1] != "-r" || c.argv[2] != "-sname" && c.argv[2] != "-name" || c.user != "rabbitmq" {
		return b.unknown("%s", c.line()).reply
	}
	target, command := c.argv[3], ""
	switch args := c.argv[4:]; {
	case len(args) == 2 && args[0] == "-a" && calls[args[1]] != "":
		command = calls[args[1]]
		defer c.begins()()
	case !slices.Equal(args, []string{"-fetch_stdout", "-no_result_term", "-e"}):
		return b.unknown("%s", c.line()).reply
	}
	f.mu.Lock()
	node, astray := f.brokers[target], false
	if machine, leads := b.astray[target]; leads {
		node, astray = f.brokers[machine], true
	}
	failed := b.files[cookieFile] == nil || command == "" && !strings.HasSuffix(c.stdin, ".\n") // the connection ended before all of it came
	if !failed {
		_, failed = b.cannotReach(node, target, false)
	}
	f.mu.Unlock()
	if failed {
		return reply{code: 1, err: "erl_call: failed to connect to node " + target + "\n"}
	}
	if command != "" {
		c.reaches(node)
		defer f.carriesOut(node.Name, command)()
		r, _ := node.command([]string{command})
		return reply{out: result(r)}
	}
	r, known := node.eval(c.stdin)
	if !known {
		return b.unknown("an expression for erl_call: %.80s", c.stdin).reply
	}
	if astray {
		r.out = strings.ReplaceAll(r.out, `"node":"`+node.Name+`"`, `"node":"`+target+`"`)
	}
	return r
}

// result is what a function gave, as erl_call prints it, of what rabbitmqctl prints, which calls the same one.
func result(r reply) string {
	if r.code == 0 {
		return "ok"
	}
	term := strings.TrimSpace(strings.TrimPrefix(r.err, "Error:\n"))
	if strings.Contains(term, `~c"`) { // how Elixir shows a list of characters since 1.15
		term = strings.ReplaceAll(term, `~c"`, `"`)
	} else {
		term = strings.NewReplacer(`\'`, "'", "'", `"`).Replace(term)
	}
	return "{error, " + strings.NewReplacer("{:", "{", "[:", "[", " :", " ").Replace(term) + "}"
}
