package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Nodes find each other by the host part of their names, and each of them looks it up for itself.

// hostOf is what stands after the @ of a node name.
func hostOf(node string) string { return node[strings.Index(node, "@")+1:] }

// checkResolve refuses what cannot work: a name that does not resolve, or one that provably leads to another machine.
func (p *planner) checkResolve(from, to string) {
	found, asked := p.seen[from].Resolves[hostOf(to)]
	if !asked {
		return
	}
	next := fmt.Sprintf("Add the line `%s %s` to /etc/hosts on the host of %s, in place of any other with that name (rabbitmq_hosts_file writes it), or correct DNS.", p.seen.addressOf(to), hostOf(to), from)
	if len(found) == 0 {
		p.refusal.refuse(RuleResolve, from, next, "it cannot resolve %s, the host name of %s", hostOf(to), to)
		return
	}
	if whose := p.seen.misleads(from, to); whose != "" {
		p.refusal.refuse(RuleResolve, from, next, "it resolves %s, the host name of %s, to %s, which is %s", hostOf(to), to, strings.Join(found, " and "), whose)
	}
}

// misleads says whose address it is that from has for the host of to, when that is provably not to's: a loopback
// address, one of from's own machine, or one that another node's machine has and to's has not. An address that nobody is
// known to have proves nothing: there may be NAT, or a container, between them. Neither does anything within one machine.
func (s Snapshot) misleads(from, to string) string {
	a, b := s[from], s[to]
	if a.Machine == "" || b.Machine == "" || a.Machine == b.Machine {
		return ""
	}
	whose := ""
	for _, address := range firsts(a.Resolves[hostOf(to)]) {
		switch {
		case address.IsLoopback():
			whose = "a loopback address and leads back to itself"
		case has(a.Addresses, address):
			whose = "an address of its own host"
		case has(b.Addresses, address):
			return ""
		default:
			other := s.owner(address, from, to)
			if other == "" {
				return ""
			}
			whose = "an address of the host of " + other
		}
	}
	return whose
}

// finds tells whether from provably resolves the host of to to an address of to's own machine.
func (s Snapshot) finds(from, to string) bool {
	a, b := s[from], s[to]
	found, asked := a.Resolves[hostOf(to)]
	if !asked || a.Machine != "" && a.Machine == b.Machine {
		return true
	}
	for _, address := range firsts(found) {
		if !has(b.Addresses, address) || address.IsLoopback() || has(a.Addresses, address) {
			return false
		}
	}
	return len(found) > 0
}

// firsts are the first addresses of each family: Erlang takes the first one of the family that it uses.
func firsts(addresses []string) []netip.Addr {
	var found []netip.Addr
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		if err != nil || slices.ContainsFunc(found, func(f netip.Addr) bool { return f.Is4() == address.Is4() }) {
			continue
		}
		found = append(found, address)
	}
	return found
}

// owner is a node, other than the two, on whose machine an address is.
func (s Snapshot) owner(address netip.Addr, from, to string) string {
	for _, node := range sortedKeys(s) {
		if node != from && node != to && s[node].Machine != s[to].Machine && has(s[node].Addresses, address) {
			return node
		}
	}
	return ""
}

// addressOf is the address that others should have for a node's host: one that somebody has already and that is the
// host's own alone, or else the first such one.
func (s Snapshot) addressOf(node string) string {
	own := s[node].Addresses
	for _, other := range sortedKeys(s) {
		for _, address := range firsts(s[other].Resolves[hostOf(node)]) {
			if !address.IsLoopback() && has(own, address) && s.owner(address, node, node) == "" {
				return address.String()
			}
		}
	}
	for _, text := range own {
		address, err := netip.ParseAddr(text)
		if err == nil && address.Is4() && !address.IsLoopback() && !address.IsLinkLocalUnicast() && s.owner(address, node, node) == "" {
			return text
		}
	}
	return "ADDRESS"
}

func has(addresses []string, address netip.Addr) bool {
	return slices.ContainsFunc(addresses, func(text string) bool {
		one, err := netip.ParseAddr(text)
		return err == nil && one == address
	})
}
