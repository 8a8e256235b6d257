package simulation

import (
	"strings"
)

// The way to a node that boots nothing.

// erlCall evaluates what stands in its input on a node. It boots nothing, makes no cookie file, and on any failure says
// little.
func (c call) erlCall() reply {
	b, f := c.host, c.host.fleet
	if len(c.argv) != 7 || c.argv[1] != "-r" || c.argv[2] != "-sname" && c.argv[2] != "-name" || c.user != "rabbitmq" {
		return b.unknown("%s", c.line()).reply
	}
	target := c.argv[3]
	f.mu.Lock()
	node, astray := f.brokers[target], false
	if machine, leads := b.astray[target]; leads {
		node, astray = f.brokers[machine], true
	}
	failed := b.files[cookieFile] == nil || !strings.HasSuffix(c.stdin, ".\n") // the connection ended before all of it came
	if !failed {
		_, failed = b.cannotReach(node, target, false)
	}
	f.mu.Unlock()
	if failed {
		return reply{code: 1, err: "erl_call: failed to connect to node " + target + "\n"}
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
