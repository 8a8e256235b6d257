package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// network is one lab's part of the machine: number n gives the bridge rmqlab<n> and the range 10.77.<n>.0/24. Hosts that
// have IPv6 only are in fd77:<n>::/64, whose addresses are private to the machine as well.
type network int

func (n network) bridge() string { return fmt.Sprintf("rmqlab%d", int(n)) }
func (n network) prefix() string { return fmt.Sprintf("10.77.%d.0/24", int(n)) }

func (n network) prefix6() string { return fmt.Sprintf("fd77:%d::/64", int(n)) }

// address6 is address for hosts that have IPv6 only.
func (n network) address6(number int) string { return fmt.Sprintf("fd77:%d::%d", int(n), number) }

// address of a host by its number; 1 is the machine.
func (n network) address(number int) string { return fmt.Sprintf("10.77.%d.%d", int(n), number) }

// cable is the machine's end of a host's network cable.
func (n network) cable(number int) string { return fmt.Sprintf("rmqlab%dh%d", int(n), number) }

// space is the name of a host's network namespace.
func (n network) space(host string) string { return fmt.Sprintf("rmqlab%d-%s", int(n), host) }

// freeNetwork picks a number whose bridge does not exist and whose range nothing on this machine uses.
func freeNetwork(ctx context.Context) (network, error) {
	routes, err := machine(ctx, "ip", "-4", "route", "show", "table", "all")
	if err != nil {
		return 0, err
	}
	var taken []netip.Prefix
	for _, word := range strings.Fields(routes) {
		if p, err := netip.ParsePrefix(word); err == nil && p.Bits() > 0 {
			taken = append(taken, p)
		} else if a, err := netip.ParseAddr(word); err == nil {
			taken = append(taken, netip.PrefixFrom(a, a.BitLen()))
		}
	}
next:
	for n := network(1); n < 255; n++ {
		if _, err := net.InterfaceByName(n.bridge()); err == nil {
			continue
		}
		mine := netip.MustParsePrefix(n.prefix())
		for _, p := range taken {
			if p.Overlaps(mine) {
				continue next
			}
		}
		return n, nil
	}
	return 0, errors.New("no address range is free for a lab: 10.77.1.0/24 to 10.77.254.0/24 are all in use on this machine")
}

// up makes the bridge. The blackhole route comes first and goes last: with the bridge down or gone, no packet for
// these addresses leaves the machine.
func (n network) up(ctx context.Context) error {
	for _, argv := range []string{
		"ip route add blackhole " + n.prefix() + " metric 4000",
		"ip link add " + n.bridge() + " type bridge forward_delay 0",
		"ip addr add " + n.address(1) + "/24 dev " + n.bridge(),
		"ip link set " + n.bridge() + " up",
	} {
		if _, err := machine(ctx, strings.Fields(argv)...); err != nil {
			return err
		}
		if strings.Contains(argv, "link add") { // IPv6 chatter on the bridge helps nobody
			_ = n.setIPv6(n.bridge(), false)
		}
	}
	return nil
}

// up6 gives the bridge its IPv6 address, with the same blackhole behind it.
func (n network) up6(ctx context.Context) error {
	if err := n.setIPv6(n.bridge(), true); err != nil {
		return err
	}
	for _, argv := range []string{
		"ip -6 route replace blackhole " + n.prefix6() + " metric 4000",
		"ip -6 addr replace " + n.address6(1) + "/64 dev " + n.bridge() + " nodad",
	} {
		if _, err := machine(ctx, strings.Fields(argv)...); err != nil {
			return err
		}
	}
	return nil
}

// setIPv6 lets an interface of the machine speak IPv6, or not.
func (n network) setIPv6(device string, on bool) error {
	off := "1"
	if on {
		off = "0"
	}
	return os.WriteFile("/proc/sys/net/ipv6/conf/"+device+"/disable_ipv6", []byte(off), 0)
}

// cables lists the machine's ends of all cables there are.
func (n network) cables() []string {
	var names []string
	links, _ := net.Interfaces()
	for _, link := range links {
		if strings.HasPrefix(link.Name, n.bridge()+"h") {
			names = append(names, link.Name)
		}
	}
	return names
}

// down removes cables, namespaces, the bridge and last the route, also where only some of it is there.
func (n network) down(ctx context.Context) error {
	var failed error
	for _, cable := range n.cables() {
		_, err := machine(ctx, "ip", "link", "del", cable)
		failed = errors.Join(failed, err)
	}
	spaces, _ := filepath.Glob("/run/netns/" + n.space("*"))
	for _, space := range spaces {
		_, err := machine(ctx, "ip", "netns", "del", filepath.Base(space))
		failed = errors.Join(failed, err)
	}
	if _, err := net.InterfaceByName(n.bridge()); err == nil {
		_, err := machine(ctx, "ip", "link", "del", n.bridge())
		failed = errors.Join(failed, err)
	}
	route, err := machine(ctx, "ip", "route", "show", "type", "blackhole", "exact", n.prefix())
	if err == nil && route != "" {
		_, err = machine(ctx, "ip", "route", "del", "blackhole", n.prefix(), "metric", "4000")
	}
	failed = errors.Join(failed, err)
	// The bridge took its own route with it; what is left is the blackhole.
	if route, err := machine(ctx, "ip", "-6", "route", "show", "exact", n.prefix6()); err == nil && strings.Contains(route, "blackhole") {
		_, err = machine(ctx, "ip", "-6", "route", "del", "blackhole", n.prefix6(), "metric", "4000")
		failed = errors.Join(failed, err)
	}
	return failed
}

// cutTable drops what comes from the addresses in the set, in each host's own network namespace. It drops on the
// receiving side: a drop on the sending one would tell the sender.
const cutTable = `table inet lab {
	set cut {
		type ipv4_addr
	}
	chain in {
		type filter hook input priority -10; policy accept;
		ip saddr @cut drop
	}
}
`

// plugIn makes a host's network namespace with one cable to the bridge. Interface and address belong to the
// namespace, so they outlive the host's own boots.
func (n network) plugIn(ctx context.Context, host string, number int, ipv6 bool) error {
	space, cable := n.space(host), n.cable(number)
	if _, err := machine(ctx, "ip", "netns", "add", space); err != nil {
		return err
	}
	if _, err := machine(ctx, "ip", "link", "add", cable, "type", "veth", "peer", "name", "host0", "netns", space); err != nil {
		return err
	}
	_ = n.setIPv6(cable, false)
	address := n.address(number) + "/24"
	if ipv6 {
		if err := n.up6(ctx); err != nil {
			return err
		}
		address = n.address6(number) + "/64 nodad"
	}
	inside := fmt.Sprintf("link set lo up\naddr add %s dev host0\nlink set host0 up\n", address)
	if _, err := machineInput(ctx, strings.NewReader(inside), "ip", "-n", space, "-batch", "-"); err != nil {
		return err
	}
	if err := n.nft(ctx, host, cutTable); err != nil {
		return err
	}
	_, err := machine(ctx, "ip", "link", "set", cable, "master", n.bridge())
	return err
}

// unplug removes the namespace and with it the cable.
func (n network) unplug(ctx context.Context, host string, number int) error {
	var failed error
	if _, err := net.InterfaceByName(n.cable(number)); err == nil {
		_, err := machine(ctx, "ip", "link", "del", n.cable(number))
		failed = errors.Join(failed, err)
	}
	if _, err := os.Lstat("/run/netns/" + n.space(host)); err == nil {
		_, err := machine(ctx, "ip", "netns", "del", n.space(host))
		failed = errors.Join(failed, err)
	}
	return failed
}

// setCable plugs a host's cable in or pulls it out, at the bridge's end: inside, host0 loses its carrier.
func (n network) setCable(ctx context.Context, number int, in bool) error {
	state := "down"
	if in {
		state = "up"
	}
	_, err := machine(ctx, "ip", "link", "set", n.cable(number), state)
	return err
}

// drop makes a host deaf to some addresses, besides those it already is deaf to.
func (n network) drop(ctx context.Context, host string, from []string) error {
	if len(from) == 0 {
		return nil
	}
	return n.nft(ctx, host, "add element inet lab cut { "+strings.Join(from, ", ")+" }\n")
}

// hear ends all that drop did.
func (n network) hear(ctx context.Context, host string) error {
	return n.nft(ctx, host, "flush set inet lab cut\n")
}

func (n network) nft(ctx context.Context, host, rules string) error {
	_, err := machineInput(ctx, strings.NewReader(rules), "ip", "netns", "exec", n.space(host), "nft", "-f", "-")
	return err
}

// tryBridge makes a bridge and removes it.
func tryBridge() error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	name := fmt.Sprintf("rmqtry%d", rand.IntN(1_000_000))
	if _, err := machine(ctx, "ip", "link", "add", name, "type", "bridge"); err != nil {
		return err
	}
	_, err := machine(ctx, "ip", "link", "del", name)
	return err
}
