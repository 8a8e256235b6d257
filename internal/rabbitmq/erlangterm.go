package rabbitmq

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The Erlang terms that cluster_status of 3.6 and 3.7 prints: lists, tuples, atoms, binaries, strings and integers.

type (
	atom  string
	tuple []any
)

// statusFromTerms reads the term that text begins with, and tells how long it is.
func statusFromTerms(text string) (ClusterStatus, int, error) {
	p := &termParser{text: text}
	term, err := p.term(0)
	if err != nil {
		line, _, _ := strings.Cut(text, "\n")
		if strings.HasPrefix(strings.ReplaceAll(line, " ", ""), "[{nodes,") {
			return ClusterStatus{}, 0, fmt.Errorf("its Erlang term is cut off or broken: %w", err)
		}
		return ClusterStatus{}, 0, errNoStatus
	}
	list, _ := term.([]any)
	fields := map[string]any{}
	for _, element := range list {
		pair, _ := element.(tuple)
		if len(pair) == 2 {
			if name, ok := pair[0].(atom); ok {
				fields[string(name)] = pair[1]
			}
		}
	}
	if fields["nodes"] == nil {
		return ClusterStatus{}, 0, errNoStatus
	}
	if fields["running_nodes"] == nil {
		return ClusterStatus{}, 0, errors.New("it has no running_nodes: the application of the node that was asked is stopped, so that it cannot tell who runs. Ask another member")
	}
	s, err := statusFromFields(fields)
	return s, p.at, err
}

func statusFromFields(fields map[string]any) (ClusterStatus, error) {
	s := newClusterStatus()
	kinds, err := byName(fields["nodes"])
	if err != nil {
		return s, fmt.Errorf("its nodes are not understood: %w", err)
	}
	for _, kind := range kinds {
		nodes, err := names(kind.value)
		if err != nil || (kind.name != "disc" && kind.name != "ram") {
			return s, fmt.Errorf("its nodes of the type %s are not understood", kind.name)
		}
		s.list(nodes, kind.name == "ram")
	}
	running, err := names(fields["running_nodes"])
	if err != nil {
		return s, fmt.Errorf("its running_nodes are not understood: %w", err)
	}
	if err := s.run(running); err != nil {
		return s, err
	}
	if name, ok := fields["cluster_name"].(string); ok {
		s.ClusterName = name
	} else if fields["cluster_name"] != nil {
		return s, errors.New("its cluster_name is not understood")
	}
	partitions, err := byName(fields["partitions"])
	if err != nil {
		return s, fmt.Errorf("its partitions are not understood: %w", err)
	}
	for _, p := range partitions {
		if s.Partitions[p.name], err = names(p.value); err != nil {
			return s, fmt.Errorf("its partitions are not understood: %w", err)
		}
	}
	alarms, err := byName(fields["alarms"])
	if err != nil {
		return s, fmt.Errorf("its alarms are not understood: %w", err)
	}
	for _, of := range alarms {
		list, ok := of.value.([]any)
		if !ok {
			return s, fmt.Errorf("its alarms of %s are not understood", of.name)
		}
		for _, one := range list {
			resource, err := alarmTerm(one)
			if err != nil {
				return s, err
			}
			s.Alarms = append(s.Alarms, Alarm{Node: of.name, Resource: resource})
		}
	}
	return s, nil
}

// alarmTerm reads `memory`, `file_descriptor_limit`, `{resource_limit,memory,rabbit@rmq1}`, or the last with the
// alarm's own data beside it.
func alarmTerm(term any) (string, error) {
	switch t := term.(type) {
	case atom:
		return string(t), nil
	case tuple:
		if len(t) == 2 {
			if _, list := t[1].([]any); list {
				return alarmTerm(t[0])
			}
		}
		if resource, ok := t[min(1, len(t)-1)].(atom); ok && len(t) == 3 && t[0] == atom("resource_limit") {
			return string(resource), nil
		}
	}
	return "", fmt.Errorf("the alarm %v is not understood", term)
}

type field struct {
	name  string
	value any
}

// byName reads a list of pairs that begin with an atom. An absent one is an empty one.
func byName(term any) ([]field, error) {
	list, ok := term.([]any)
	if !ok && term != nil {
		return nil, fmt.Errorf("%v is no list", term)
	}
	fields := make([]field, 0, len(list))
	for _, element := range list {
		pair, _ := element.(tuple)
		if len(pair) != 2 {
			return nil, fmt.Errorf("%v is no pair", element)
		}
		name, ok := pair[0].(atom)
		if !ok {
			return nil, fmt.Errorf("%v does not begin with an atom", element)
		}
		fields = append(fields, field{string(name), pair[1]})
	}
	return fields, nil
}

// names reads a list of atoms.
func names(term any) ([]string, error) {
	list, ok := term.([]any)
	if !ok {
		return nil, fmt.Errorf("%v is no list", term)
	}
	all := make([]string, 0, len(list))
	for _, element := range list {
		name, ok := element.(atom)
		if !ok {
			return nil, fmt.Errorf("%v is no atom", element)
		}
		all = append(all, string(name))
	}
	return all, nil
}

type termParser struct {
	text string
	at   int
}

// maxDepth is deeper than any status nests.
const maxDepth = 16

var errTerm = errors.New("not an Erlang term")

func (p *termParser) blank() {
	for p.at < len(p.text) && strings.ContainsRune(" \t\r\n", rune(p.text[p.at])) {
		p.at++
	}
}

func (p *termParser) take(token string) bool {
	p.blank()
	if strings.HasPrefix(p.text[p.at:], token) {
		p.at += len(token)
		return true
	}
	return false
}

func (p *termParser) term(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTerm
	}
	switch {
	case p.take("["):
		elements, err := p.elements("]", depth)
		return elements, err
	case p.take("{"):
		elements, err := p.elements("}", depth)
		return tuple(elements), err
	case p.take(`<<"`):
		text, err := p.quoted('"')
		if err == nil {
			p.take("/utf8")
			if !p.take(">>") {
				err = errTerm
			}
		}
		return text, err
	case p.take("<<>>"):
		return "", nil
	case p.take(`"`):
		return p.quoted('"')
	case p.take("'"):
		text, err := p.quoted('\'')
		return atom(text), err
	}
	return p.word()
}

func (p *termParser) elements(end string, depth int) ([]any, error) {
	all := []any{}
	if p.take(end) {
		return all, nil
	}
	for {
		element, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		all = append(all, element)
		switch {
		case p.take(end):
			return all, nil
		case !p.take(","):
			return nil, errTerm
		}
	}
}

func (p *termParser) quoted(end byte) (string, error) {
	var text strings.Builder
	for ; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		if c == end {
			p.at++
			return text.String(), nil
		}
		if c == '\\' {
			if p.at++; p.at == len(p.text) {
				break
			}
			c = p.text[p.at]
		}
		text.WriteByte(c)
	}
	return "", errTerm
}

// word reads an integer or an atom that needs no quotes.
func (p *termParser) word() (any, error) {
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		if c != '@' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			break
		}
		p.at++
	}
	word := p.text[start:p.at]
	switch {
	case word == "":
		return nil, errTerm
	case word[0] >= '0' && word[0] <= '9':
		return strconv.Atoi(word)
	case word[0] < 'a' || word[0] > 'z':
		return nil, errTerm
	}
	return atom(word), nil
}
