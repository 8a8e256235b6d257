package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// narrator tells the story: a line before each part, and indented below it what a reader needs.
type narrator struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
	gone  func() // called when nobody reads any more
}

func (n *narrator) line(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := fmt.Fprintln(n.out, strings.TrimRight(text, " ")); err != nil {
		n.gone()
	}
}

// step announces a part, with the time since the beginning.
func (n *narrator) step(text string) {
	n.line(fmt.Sprintf("[%3.0f s] %s", time.Since(n.began).Seconds(), text))
}

// say tells something within a part.
func (n *narrator) say(format string, args ...any) {
	n.line("        " + fmt.Sprintf(format, args...))
}

// checked tells what was found to be true.
func (n *narrator) checked(text string) { n.say("checked: %s", text) }

// quote shows a text as it is.
func (n *narrator) quote(text string) {
	for line := range strings.Lines(text) {
		n.line("        | " + strings.TrimRight(line, "\n"))
	}
}

// progress gives what the slow parts report to.
func (n *narrator) progress() io.Writer { return &lines{each: func(line string) { n.say("%s", line) }} }

// lines cuts what is written to it into lines.
type lines struct {
	mu   sync.Mutex
	rest []byte
	each func(line string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		l.each(string(line))
	}
}

// digest keeps all that a CLI says and tells what a reader needs: of a new resource its name, of a changed one the whole
// difference, the summary of each warning that was not told before, the outcome.
type digest struct {
	all  io.Writer
	tell func(format string, args ...any)
	told map[string]bool

	lines
	inside bool // in the difference of a changed resource
}

var (
	frame   = regexp.MustCompile(`^[╷│╵] ?`)
	outcome = regexp.MustCompile(`^(Plan: |No changes\. |Apply complete! |Destroy complete! |.*: (Creation|Modifications|Destruction) complete after |.*: Still .*[03]0s elapsed)`)
	detail  = regexp.MustCompile(` \[id=.*\]$`)
)

// Write implements io.Writer.
func (d *digest) Write(p []byte) (int, error) {
	if _, err := d.all.Write(p); err != nil {
		return 0, err
	}
	d.each = d.line
	return d.lines.Write(p)
}

func (d *digest) line(text string) {
	text = frame.ReplaceAllString(text, "")
	if d.inside {
		d.tell("%s", text)
		d.inside = text != "    }" // where the CLI closes a resource
		return
	}
	switch {
	case strings.HasSuffix(text, " will be destroyed"): // the outcome tells
	case strings.HasPrefix(text, "  # ") && strings.Contains(text, " be "): // will, must
		d.tell("%s", text)
		d.inside = !strings.HasSuffix(text, " will be created")
	case text == "Warning: Provider development overrides are in effect":
	case strings.HasPrefix(text, "Warning: "):
		if !d.told[text] {
			d.tell("%s", text)
		}
		d.told[text] = true
	case strings.HasSuffix(text, " complete after 0s"): // what is only forgotten
	case outcome.MatchString(text):
		d.tell("%s", detail.ReplaceAllString(text, ""))
	}
}
