// Package hostsfile puts a marked block of lines into the text of a hosts file, reads it and takes it out again. It does
// no I/O, and every byte outside of the block stays as it is.
//
// The block stands at the top when it is new: of several lines for a name the resolver takes the first one. Only where
// /etc/host.conf says "multi on", as on Debian, does it take them all, and may put a loopback address first (measured
// on Debian 12): such a line for another host's name has to go, and the preflight of a join tells of it.
package hostsfile

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// markers are the first and the last line of the block of a name.
func markers(block string) (begin, end string) {
	return "# BEGIN rabbitmq-topology " + block + " (managed by Terraform)", "# END rabbitmq-topology " + block
}

// anyBegin and anyEnd know the markers of any block, also after an editor has touched their blanks.
var (
	anyBegin = regexp.MustCompile(`^#\s*BEGIN\s+rabbitmq-topology\s+(\S+)(\s.*)?$`)
	anyEnd   = regexp.MustCompile(`^#\s*END\s+rabbitmq-topology\s+(\S+)\s*$`)
)

// CheckBlock says in a sentence why name is no name of a block, or returns nil.
func CheckBlock(name string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`).MatchString(name) {
		return fmt.Errorf("%q is no name of a block: letters, digits, dot, underscore and hyphen are, up to 64 of them", name)
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$`)

// CheckEntry says in a sentence why a name and an address make no line, or returns nil.
func CheckEntry(name, address string) error {
	if !hostName.MatchString(name) {
		return fmt.Errorf("%q is no host name", name)
	}
	parsed, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return fmt.Errorf("%q, the address of %s, is no IP address", address, name)
	case parsed.IsUnspecified() || parsed.IsMulticast():
		return fmt.Errorf("%s, the address of %s, is no host's address", address, name)
	}
	return nil
}

// DamagedError tells that the markers of a block are not one pair in order, so that nobody can say what is between them.
type DamagedError struct {
	Block string
	Lines []string // "line 3: # BEGIN …"
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the markers of block %s are damaged: one BEGIN line and one END line after it are expected, and there are %s. Nothing was changed: remove the stray lines by hand, and what they once held between them",
		e.Block, strings.Join(e.Lines, "; "))
}

// Block is a block as it stands in a file.
type Block struct {
	Content string            // its lines between the markers, with newlines
	Entries map[string]string // what they say, as far as they are understood: the first line of a name counts
	// ShadowedBy are lines before the block that give one of its names another address, and so win.
	ShadowedBy []string
}

// Render gives the lines of entries, as Content has them.
func Render(entries map[string]string) string {
	var b strings.Builder
	for _, name := range sorted(entries) {
		fmt.Fprintf(&b, "%s %s\n", entries[name], name)
	}
	return b.String()
}

// Read finds the block of a name. The second result is false when there is none.
func Read(text, block string) (Block, bool, error) {
	at, err := find(text, block)
	if err != nil || at == nil {
		return Block{}, false, err
	}
	content := strings.ReplaceAll(text[at.inner:at.innerEnd], "\r\n", "\n")
	b := Block{Content: content, Entries: parse(content)}
	b.ShadowedBy = shadows(text[:at.begin], b.Entries)
	return b, true, nil
}

// Write gives the text with the block of a name saying entries, at the top where it was not there, or where lines before
// it gave its names other addresses. Another block that does so is an error.
func Write(text, block string, entries map[string]string) (string, error) {
	at, err := find(text, block)
	if err != nil {
		return "", err
	}
	if at != nil && len(shadows(text[:at.begin], entries)) > 0 {
		if text, err = Remove(text, block); err != nil {
			return "", err
		}
		at = nil
	}
	if at == nil {
		at = &place{}
	}
	if err := contested(text, block, entries); err != nil {
		return "", err
	}
	begin, end := markers(block)
	fresh := begin + "\n" + Render(entries) + end + "\n"
	if line, _, _ := strings.Cut(text, "\n"); strings.HasSuffix(line, "\r") {
		fresh = strings.ReplaceAll(fresh, "\n", "\r\n")
	}
	return text[:at.begin] + fresh + text[at.end:], nil
}

// Remove gives the text without the block of a name; without such a block, the text as it is.
func Remove(text, block string) (string, error) {
	at, err := find(text, block)
	if err != nil || at == nil {
		return text, err
	}
	return text[:at.begin] + text[at.end:], nil
}

// place is where a block is: with its markers, and between them.
type place struct{ begin, inner, innerEnd, end int }

// find finds a block, or nil when neither of its markers is there.
func find(text, block string) (*place, error) {
	var begins, ends []place // of the marker's own line
	var seen []string
	number, offset := 0, 0
	for line := range strings.Lines(text) {
		number++
		bare := strings.TrimSpace(line)
		from, to := offset, offset+len(line)
		offset = to
		if m := anyBegin.FindStringSubmatch(bare); m != nil && m[1] == block {
			begins = append(begins, place{begin: from, end: to})
		} else if m := anyEnd.FindStringSubmatch(bare); m != nil && m[1] == block {
			ends = append(ends, place{begin: from, end: to})
		} else {
			continue
		}
		seen = append(seen, fmt.Sprintf("line %d: %s", number, bare))
	}
	if len(seen) == 0 {
		return nil, nil //nolint:nilnil // no block is no error
	}
	if len(begins) != 1 || len(ends) != 1 || ends[0].begin < begins[0].end {
		return nil, &DamagedError{Block: block, Lines: seen}
	}
	return &place{begin: begins[0].begin, inner: begins[0].end, innerEnd: ends[0].begin, end: ends[0].end}, nil
}

// parse reads lines as the resolver does: an address, then names.
func parse(text string) map[string]string {
	entries := map[string]string{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		for _, name := range fields[1:] {
			if _, there := entries[name]; !there {
				entries[name] = fields[0]
			}
		}
	}
	return entries
}

// shadows are the lines of a text that give one of the names another address of the same family: the resolver keeps the
// families apart.
func shadows(text string, entries map[string]string) []string {
	var found []string
	for line := range strings.Lines(text) {
		for name, address := range parse(line) {
			if contradicts(entries, name, address) {
				found = append(found, strings.Join(strings.Fields(line), " "))
				break
			}
		}
	}
	return found
}

func contradicts(entries map[string]string, name, address string) bool {
	for ours, wanted := range entries {
		if strings.EqualFold(ours, name) {
			a, err1 := netip.ParseAddr(address)
			b, err2 := netip.ParseAddr(wanted)
			return err1 == nil && err2 == nil && a != b && a.Is4() == b.Is4()
		}
	}
	return false
}

// ContestedError tells that two blocks give a name different addresses.
type ContestedError struct{ Block, Other, Line string }

// Error implements error.
func (e *ContestedError) Error() string {
	return fmt.Sprintf("block %s says `%s`, and block %s gives that name another address: whichever came first in the file would win. Let one configuration own the name", e.Other, e.Line, e.Block)
}

// contested finds the line of another block that contradicts entries.
func contested(text, block string, entries map[string]string) error {
	other := ""
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if m := anyBegin.FindStringSubmatch(bare); m != nil {
			other = m[1]
		} else if anyEnd.MatchString(bare) {
			other = ""
		} else if other != "" && other != block {
			if lines := shadows(line, entries); len(lines) > 0 {
				return &ContestedError{Block: block, Other: other, Line: lines[0]}
			}
		}
	}
	return nil
}

func sorted(entries map[string]string) []string {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
