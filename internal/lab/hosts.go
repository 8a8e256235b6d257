package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// HostSpec is a host to add.
type HostSpec struct {
	// Name is its host name.
	Name string
	// Release is its RabbitMQ version; default the lab's.
	Release Release
	// Node is its broker's Erlang node name; default rabbit@NAME. A dot after the @ makes it a long name. All hosts
	// resolve what stands after the @.
	Node string
	// IPv6 gives it an IPv6 address and no other, and has Erlang's distribution use that. Partition and CutMachine know
	// IPv4 only.
	IPv6 bool
	// NoBroker makes it a host whose broker never starts, such as a bastion.
	NoBroker bool
}

// AddHost boots one more host: a rogue, a replacement under another name, one of another version. The names of all
// hosts are known on all hosts afterwards.
func (l *Lab) AddHost(ctx context.Context, spec HostSpec) (*Host, error) {
	if spec.Release != (Release{}) {
		if _, err := Image(ctx, spec.Release, l.progress); err != nil {
			return nil, err
		}
	}
	h, err := l.add(spec)
	if err != nil {
		return nil, err
	}
	if err := l.bring(ctx, []*Host{h}); err != nil {
		return nil, errors.Join(err, l.RemoveHost(h))
	}
	return h, nil
}

// add enters a host into the state; nothing of it exists yet.
func (l *Lab) add(spec HostSpec) (*Host, error) {
	if !validName.MatchString(spec.Name) {
		return nil, fmt.Errorf("host name %q: want lower-case letters, digits and dashes", spec.Name)
	}
	if spec.Release == (Release{}) {
		spec.Release = l.state.Release
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	number := 11
	for _, h := range l.state.Hosts {
		if h.Name == spec.Name {
			return nil, fmt.Errorf("lab %s has a host %s", l.state.Name, spec.Name)
		}
		number = max(number, h.Number+1)
	}
	if number > 254 {
		return nil, fmt.Errorf("lab %s has no address left", l.state.Name)
	}
	cookie := l.state.Cookie
	if cookie == "" {
		cookie = rand.Text()
	}
	hs := hostState{Name: spec.Name, Number: number, Release: spec.Release, Image: ImagePath(spec.Release), Cookie: cookie, Node: spec.Node, IPv6: spec.IPv6, NoBroker: spec.NoBroker}
	l.state.Hosts = append(l.state.Hosts, hs)
	if err := l.state.write(); err != nil {
		return nil, err
	}
	h := newHost(l, hs)
	l.hosts = append(l.hosts, h)
	return h, os.MkdirAll(h.dir(), 0o700)
}

// RemoveHost ends a host and removes its disk and its cable.
func (l *Lab) RemoveHost(h *Host) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.PullPlug(ctx); err != nil {
		return err
	}
	err := errors.Join(
		h.cgroup.remove(ctx),
		unmountBelow(h.dir()),
		l.state.Network.unplug(ctx, h.name, h.number))
	if err == nil {
		err = os.RemoveAll(h.dir())
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.hosts = slices.DeleteFunc(l.hosts, func(x *Host) bool { return x == h })
	l.state.Hosts = slices.DeleteFunc(l.state.Hosts, func(x hostState) bool { return x.Name == h.name })
	err = l.state.write()
	l.mu.Unlock()
	return errors.Join(err, l.writeNames(), l.writeKnownHosts())
}

// Hosts are the lab's hosts in the order they were added.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.hosts)
}

// Host finds a host by its name; nil when there is none.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.Hosts() {
		if h.name == name {
			return h
		}
	}
	return nil
}

// writeNames writes every host's /etc/hosts.
func (l *Lab) writeNames() error {
	hosts := l.Hosts()
	text := "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
	for _, h := range hosts {
		text += h.Address() + " " + h.names() + "\n"
	}
	if err := os.WriteFile(l.namesFile(), []byte(text), 0o600); err != nil {
		return err
	}
	return each(hosts, func(h *Host) error {
		if !h.hasDisk() {
			return nil // it gets its own when its disk is laid
		}
		return h.WriteFile("/etc/hosts", []byte(text), 0o644, "root")
	})
}

func (l *Lab) namesFile() string { return filepath.Join(l.dir(), "hosts") }

func (l *Lab) names() ([]byte, error) { return os.ReadFile(l.namesFile()) }

func (l *Lab) writeKnownHosts() error {
	var text strings.Builder
	for _, h := range l.Hosts() {
		if key := h.HostKey(); key != "" {
			fmt.Fprintf(&text, "%s,%s %s\n", h.Address(), h.name, key)
		}
	}
	return os.WriteFile(l.KnownHostsFile(), []byte(text.String()), 0o600)
}

// each does something on all hosts at once.
func each(hosts []*Host, do func(*Host) error) error {
	failed := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() {
			if err := do(h); err != nil {
				failed[i] = fmt.Errorf("%s: %w", h.name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}
