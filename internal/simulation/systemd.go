package simulation

import (
	"fmt"
	"slices"
	"strings"
)

// facts is what the product's first script prints, where it cannot see that no broker runs.
func (b *Broker) facts(args []string) reply {
	if len(args) != 4 || args[0] != "rabbitmqctl" || args[1] != "rabbitmq-server" || args[3] != "" && args[3] != "unit" {
		return b.unknown("facts of %v", args).reply
	}
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	var s strings.Builder
	fmt.Fprintf(&s, "facts:cli=/usr/sbin/rabbitmqctl\nfacts:home=/var/lib/rabbitmq\nfacts:boot=%s\n", b.boot)
	if b.version.quick() {
		fmt.Fprintf(&s, "facts:erl_call=%s\n", erlCall)
	}
	if b.version.quick() && b.vm && args[3] == "" {
		s.WriteString("facts:brief=1\n")
	} else {
		s.WriteString(b.unitShown())
	}
	for _, p := range b.processes {
		fmt.Fprintf(&s, "facts:cli_running=%s\n", strings.TrimPrefix(p, "/usr/bin/")) // as facts.sh lists it
	}
	s.WriteString("facts:end=1\n")
	return reply{out: s.String()}
}

// unitShown is what systemctl shows of the broker's unit.
func (b *Broker) unitShown() string {
	load, active, sub, result := "loaded", b.unit, "running", "success"
	if b.unitless {
		load, active, sub = "not-found", "inactive", "dead"
	}
	switch b.unit {
	case "activating":
		sub = "start"
	case "auto-restart":
		active, sub, result = "activating", "auto-restart", "exit-code"
	case "inactive":
		sub = "dead"
	case "failed":
		sub, result = "failed", "exit-code"
	}
	return fmt.Sprintf("facts:unit.LoadState=%s\nfacts:unit.ActiveState=%s\nfacts:unit.SubState=%s\nfacts:unit.Result=%s\n", load, active, sub, result)
}

// systemd is systemctl or journalctl on the broker's unit.
func (c call) systemd() reply {
	b := c.host
	if c.user != "root" {
		return reply{code: 1, err: "Interactive authentication required.\n"}
	}
	args := slices.DeleteFunc(slices.Clone(c.argv[1:]), func(arg string) bool { return arg == "--no-block" })
	switch {
	case c.argv[0] == "journalctl" && len(args) > 2 && args[0] == "-u" && args[1] == "rabbitmq-server":
		return reply{out: "rabbitmq-server.service: Main process exited, code=exited, status=1/FAILURE\n"}
	case c.argv[0] == "systemctl" && slices.Equal(args, []string{"reset-failed", "rabbitmq-server"}):
		b.fleet.do("", func() {
			b.starts = 0
			if b.unit == "failed" {
				b.unit = "inactive"
			}
		})
		return reply{}
	case c.argv[0] == "systemctl" && slices.Equal(args, []string{"restart", "rabbitmq-server"}):
		return b.restartUnit(c.line())
	case c.argv[0] == "systemctl" && slices.Equal(args, []string{"stop", "rabbitmq-server"}):
		b.fleet.do("systemctl stop on "+b.Name, func() {
			b.fleet.commands = append(b.fleet.commands, Command{Host: b.Name, Line: c.line()})
			b.stopUnit()
		})
		return reply{}
	case c.argv[0] == "systemctl" && slices.Equal(args, []string{"start", "rabbitmq-server"}) && len(args) < len(c.argv[1:]):
		b.fleet.do("systemctl start on "+b.Name, func() {
			b.fleet.commands = append(b.fleet.commands, Command{Host: b.Name, Line: c.line()})
			b.startUnit()
		})
		return reply{}
	}
	return b.unknown("%s", c.line()).reply
}
