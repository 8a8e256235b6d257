package simulation

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// file is a file on a host.
type file struct{ content, mode, owner string }

// cookieFile is where the packages of RabbitMQ have it.
const cookieFile = "/var/lib/rabbitmq/.erlang.cookie"

// call is a program as it is started on a host.
type call struct {
	host  *Broker
	user  string
	argv  []string
	stdin string
	at    time.Time // when it came; zero is now
	// orphan tells that its process was killed: what it had asked a node for goes on.
	orphan bool
}

func (c call) line() string { return strings.Join(c.argv, " ") }

// outcome is how a line of the login shell ended, or that its connection did.
type outcome struct {
	reply
	cut bool // the connection ended before there was an exit code
}

// exec runs one line of the login shell of a host's user, as internal/remote sends it. A command whose session ends
// goes on (measured).
func (b *Broker) exec(ctx context.Context, user, line string, stdin io.Reader) outcome {
	input := ""
	if stdin != nil {
		content, err := io.ReadAll(stdin)
		if err != nil {
			return outcome{cut: true}
		}
		input = string(content)
	}
	done := make(chan outcome, 1)
	b.fleet.background.Go(func() { done <- b.perform(ctx, user, line, input) })
	select {
	case o := <-done:
		return o
	case <-ctx.Done():
		return outcome{cut: true}
	}
}

func (b *Broker) perform(ctx context.Context, user, line, input string) outcome {
	words, err := split(line)
	if err != nil {
		return b.unknown("%v", err)
	}
	c := call{host: b, user: user, argv: words, stdin: input, at: time.Now()}
	for {
		switch a := c.argv; {
		case len(a) > 1 && a[0] == "exec":
			c.argv = a[1:]
			continue
		case len(a) > 2 && a[0] == "env" && a[1] == "LC_ALL=C.UTF-8":
			c.argv = a[2:]
			continue
		case len(a) > 6 && slices.Equal(a[:4], []string{"sudo", "-n", "-H", "-u"}) && a[5] == "--":
			if f := b.fleet.strike(b, a[6:]); f != nil {
				return f.happen(ctx, b, call{host: b, user: a[4], argv: a[6:], stdin: input, at: c.at})
			}
			if b.sudoless() {
				return outcome{reply: reply{code: 1, err: "sudo: a password is required\n"}}
			}
			c.user, c.argv = a[4], a[6:]
		case len(a) > 3 && a[0] == "/bin/sh" && a[1] == "-c" && strings.Contains(a[2], "rabbitmq-topology: no such program"):
			c.argv = a[3:]
			if f := b.fleet.strike(b, c.argv); f != nil {
				return f.happen(ctx, b, c)
			}
		case len(a) == 4 && a[0] == "/bin/sh" && a[1] == "-c" && strings.HasPrefix(a[2], `echo "$0"; id -un; id -u;`):
			return outcome{reply: reply{out: fmt.Sprintf("%s\n%s\n1000\nyes\n%s\n", a[3], user, a[3])}}
		default:
			return b.unknown("a line of the login shell")
		}
		return outcome{reply: c.run()}
	}
}

func (b *Broker) sudoless() bool {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.noSudo
}

// unknown makes the test fail: an empty success would hide it.
func (b *Broker) unknown(format string, args ...any) outcome {
	text := fmt.Sprintf("the simulation does not know: "+format, args...)
	b.fleet.options.Loud("%s: %s", b.Name, text)
	return outcome{reply: reply{code: 99, err: text + "\n"}}
}

// run runs a program as an account.
func (c call) run() reply {
	b := c.host
	switch program := c.argv[0]; program {
	case "rabbitmqctl", "rabbitmq-queues", "rabbitmq-diagnostics", "rabbitmq-upgrade":
		if c.user != "rabbitmq" && c.user != "root" {
			return reply{code: 1, out: "Only root or rabbitmq should run " + program + "\n"}
		}
		return c.rabbitmqctl()
	case erlCall:
		return c.erlCall()
	case "systemctl", "journalctl":
		return c.systemd()
	case "test":
		if len(c.argv) == 3 && c.argv[1] == "-e" {
			b.fleet.mu.Lock()
			defer b.fleet.mu.Unlock()
			if b.files[c.argv[2]] == nil {
				return reply{code: 1}
			}
			return reply{}
		}
	case "stat":
		if len(c.argv) == 5 && c.argv[1] == "-L" && c.argv[2] == "-c" && c.argv[3] == "%04a %U" {
			return b.stat(c.argv[4])
		}
	case "rm":
		if len(c.argv) == 4 && c.argv[1] == "-f" && c.argv[2] == "--" {
			b.fleet.do("", func() { delete(b.files, c.argv[3]) })
			return reply{}
		}
	case "/bin/sh":
		return c.script()
	}
	return b.unknown("%s", c.line()).reply
}

// script is one of the scripts that the product sends, told by how it begins.
func (c call) script() reply {
	b := c.host
	switch {
	case len(c.argv) >= 3 && c.argv[1] == "-s" && c.argv[2] == "--":
		body, found := strings.CutPrefix(c.stdin, "{\n")
		if !found || !strings.HasSuffix(body, "\n} </dev/null\nexit\n") {
			if !found && !strings.HasPrefix("{\n", c.stdin) {
				return b.unknown("a script: %q", c.stdin).reply
			}
			// The connection ended before the last line came: a shell runs none of it.
			return reply{code: 2, err: "/bin/sh: 1: Syntax error: end of file unexpected (expecting \"}\")\n"}
		}
		args := c.argv[3:]
		switch {
		case strings.HasPrefix(body, "# What a host says about its broker"):
			return b.facts(args)
		case strings.HasPrefix(body, "f=$1; max=$2\ns=$(stat -L"):
			return b.readFile(c.user, args[0], args[1])
		case strings.HasPrefix(body, "# Makes a broker take the cookie in $1"):
			return b.rotate(args)
		}
		first, _, _ := strings.Cut(body, "\n")
		return b.unknown("the script that begins with %q", first).reply
	case len(c.argv) == 8 && strings.HasPrefix(c.argv[2], `set -eu; umask 077; f=$1; n=$2; m=$3; o=$4;`):
		return b.writeFile(c.user, c.argv[4:], c.stdin)
	}
	return b.unknown("%s", c.line()).reply
}

func (b *Broker) stat(name string) reply {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	f := b.files[name]
	if f == nil {
		return reply{code: 1, err: fmt.Sprintf("stat: cannot statx '%s': No such file or directory\n", name)}
	}
	return reply{out: fmt.Sprintf("%04s %s\n", f.mode, f.owner)}
}

// rotate makes the broker take the cookie in a file, which then gets the place of the cookie file.
func (b *Broker) rotate(args []string) reply {
	if len(args) < 3 || args[2] != "rabbitmqctl" {
		return b.unknown("a rotation with %v", args).reply
	}
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	waiting := b.files[args[0]]
	if failure, failed := b.cannotReach(b, b.Name, false); failed {
		return failure
	}
	if waiting == nil {
		return reply{code: 69, err: "Error:\n{:badmatch, {:error, :enoent}}\n"}
	}
	// Links that stand stay up (measured); rabbitmqctl compares with the file, so both change at once here.
	for _, other := range b.others() {
		if other.vm && b.fleet.linked(b, other) {
			b.fleet.held[pair(b.Name, other.Name)] = true
		}
	}
	b.cookie = strings.TrimRight(waiting.content, "\r\n")
	b.files[args[1]] = waiting
	delete(b.files, args[0])
	return reply{}
}

func (b *Broker) readFile(user, name, limit string) reply {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	f := b.files[name]
	most, err := strconv.Atoi(limit)
	switch {
	case f == nil:
		return reply{code: 41}
	case user != "root" && user != f.owner:
		return reply{code: 1, out: fmt.Sprintf("%s 100 100 %s %s %d regular file\n", f.mode, f.owner, f.owner, len(f.content)), err: fmt.Sprintf("head: cannot open '%s' for reading: Permission denied\n", name)}
	case err != nil || len(f.content) > most:
		return reply{code: 44, err: "too large\n"}
	}
	return reply{out: fmt.Sprintf("%s 100 100 %s %s %d regular file\n%s", f.mode, f.owner, f.owner, len(f.content), f.content)}
}

func (b *Broker) writeFile(user string, args []string, content string) reply {
	name, length, mode, owner := args[0], args[1], args[2], args[3]
	if length != strconv.Itoa(len(content)) {
		return reply{code: 45, err: "the content was cut off\n"}
	}
	if owner == "" {
		owner = user
	}
	owner, _, _ = strings.Cut(owner, ":")
	b.fleet.mu.Lock()
	full := b.full
	b.fleet.mu.Unlock()
	if full {
		return reply{code: 1, err: "cat: write error: No space left on device\n"}
	}
	b.fleet.do("", func() { b.files[name] = &file{content: content, mode: strings.TrimLeft(mode, "0"), owner: owner} })
	return reply{}
}

// split takes a line of a shell apart: words, single and double quotes and backslashes, and nothing else.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case '\'':
			inWord = true
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("an open quote in %q", line)
			}
			word.WriteString(line[i+1 : i+1+end])
			i += end + 1
		case '"':
			inWord = true
			end := strings.IndexByte(line[i+1:], '"')
			if end < 0 {
				return nil, fmt.Errorf("an open quote in %q", line)
			}
			if text := line[i+1 : i+1+end]; text == "'" {
				word.WriteString(text)
			} else {
				return nil, fmt.Errorf("%q within double quotes", text)
			}
			i += end + 1
		case '\\':
			if i+1 == len(line) {
				return nil, fmt.Errorf("a backslash at the end of %q", line)
			}
			inWord = true
			i++
			word.WriteByte(line[i])
		case '$', '`', '&', '|', ';', '<', '>', '(', ')', '*', '?', '#', '~', '\n', '!':
			return nil, fmt.Errorf("a bare %q in %q", c, line)
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// took is how long commands take, in simulated time.
const (
	quick = 500 * time.Millisecond
	slow  = time.Second
)
