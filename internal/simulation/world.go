package simulation

import (
	"slices"
	"time"
)

// What the world does by itself, or an operator by hand.

// Crash kills the Erlang VM; systemd starts it again.
func (b *Broker) Crash() { b.fleet.do("", b.crash) }

func (b *Broker) crash() {
	if !b.vm {
		return
	}
	if b.app == running {
		b.noteUp()
	}
	b.vm, b.app = false, stopped
	b.part()
	b.endBoot("the node died")
	b.restartLater()
}

// PowerOff makes the host unreachable with everything on it. Its disk stays.
func (b *Broker) PowerOff() { b.fleet.do("", b.powerOff) }

func (b *Broker) powerOff() {
	if b.app == running {
		b.noteUp()
	}
	b.up, b.vm, b.app, b.unit = false, false, stopped, "inactive"
	b.part()
	b.endBoot("the node died")
	b.processes = nil
	delete(b.fleet.ongoing, b.Name)
	if b.link != nil {
		b.link.Freeze() // nobody tells the other ends
	}
}

// PowerOn boots the host, and the broker with it.
func (b *Broker) PowerOn() {
	b.fleet.do("", func() {
		if !b.up {
			b.up, b.starts = true, 0
			b.boot += "b"
			b.thaw()
			b.startUnit()
		}
	})
}

// thaw resets the connections of before to a host that is back.
func (b *Broker) thaw() {
	if b.link != nil {
		b.link.Thaw(true)
	}
}

// Rebuild gives the host a new disk. When it is up, its broker starts blank, under the old name.
func (b *Broker) Rebuild() {
	b.fleet.do("", func() {
		b.part()
		b.endBoot("the node died")
		b.up, b.vm, b.app, b.unit, b.starts = true, false, stopped, "inactive", 0
		b.processes = nil
		delete(b.fleet.ongoing, b.Name)
		b.thaw()
		b.boot += "r"
		b.blank()
		b.ghost = b.version.Khepri && b.fleet.random.IntN(2) == 0
		b.startUnit()
	})
}

// StopApp stops the application by hand; StopService the whole broker.
func (b *Broker) StopApp() { b.fleet.do("", b.stop) }

// StopService stops the broker cleanly.
func (b *Broker) StopService() {
	b.fleet.do("", b.stopUnit)
}

// StartApp and StartService start them by hand, without waiting.
func (b *Broker) StartApp() {
	b.fleet.do("", func() {
		if b.vm && b.app == stopped {
			b.begin(false)
		}
	})
}

// StartService starts the unit by hand.
func (b *Broker) StartService() {
	b.fleet.do("", func() {
		b.starts = 0
		b.startUnit()
	})
}

// JoinByHand makes the node a running member of another one's cluster, whatever it held.
func (b *Broker) JoinByHand(seed string, kind string) {
	b.fleet.do("", func() {
		b.leave()
		b.become(b.fleet.brokers[seed], kind)
		b.fresh = false
	})
}

// LeaveByHand takes the node out of its cluster and leaves it blank and running.
func (b *Broker) LeaveByHand() {
	b.fleet.do("", func() {
		b.leave()
		b.app, b.fresh = running, false
	})
}

// ForgetByHand makes the node forget a member.
func (b *Broker) ForgetByHand(name string) {
	b.fleet.do("", func() { b.drop(name) })
}

// Retype changes the node's type by hand.
func (b *Broker) Retype(kind string) {
	b.fleet.do("", func() {
		for _, peer := range b.peers() {
			peer.members[b.Name] = kind
		}
	})
}

// Discover is the node's peer discovery configuration.
func (b *Broker) Discover(names ...string) { b.fleet.do("", func() { b.discovers = names }) }

// SetCookie changes the cookie of file and broker by hand.
func (b *Broker) SetCookie(value string) {
	b.fleet.do("", func() {
		b.writeCookie(value)
		b.cookie = value
	})
}

// Unresolve makes the node unable to resolve a host.
func (b *Broker) Unresolve(host string) { b.fleet.do("", func() { b.unresolved = host }) }

// RemoveCookie removes the cookie file.
func (b *Broker) RemoveCookie() { b.fleet.do("", func() { delete(b.files, cookieFile) }) }

// Declare makes an object that a user would: "vhost orders", "user shop", "policy x".
func (b *Broker) Declare(object string) {
	b.fleet.do("", func() { b.store.objects = append(b.store.objects, object) })
}

// DeclareQueue makes a queue with its copies on the named members; without names, on this node.
func (b *Broker) DeclareQueue(kind, name string, messages int, on ...string) {
	b.fleet.do("", func() {
		if len(on) == 0 {
			on = []string{b.Name}
		}
		q := &queue{vhost: "/", name: name, kind: kind, messages: messages, copies: slices.Clone(on), content: map[string]int{}}
		for _, node := range on {
			q.content[node] = b.fleet.brokers[node].disk
		}
		b.store.queues = append(b.store.queues, q)
	})
}

// Detach lets the broker run outside of its unit, which runs something else then.
func (b *Broker) Detach() { b.fleet.do("", func() { b.detached = true }) }

// LoseUnit takes the unit away.
func (b *Broker) LoseUnit() { b.fleet.do("", func() { b.unitless = true }) }

// LackMaintenance makes it a version without maintenance mode.
func (b *Broker) LackMaintenance() { b.fleet.do("", func() { b.noMaintenance = true }) }

// ReviveAlways lets somebody else revive the node whenever it is drained, and DrainAtBoot drain it when it is back.
func (b *Broker) ReviveAlways() { b.fleet.do("", func() { b.revives = true }) }

// DrainAtBoot lets somebody else drain the node whenever it boots.
func (b *Broker) DrainAtBoot() { b.fleet.do("", func() { b.drainsAtBoot = true }) }

// Write lets clients write to a queue from now on, an entry a second.
func (f *Fleet) Write(name string) { f.each(name, func(q *queue) { q.busy = time.Now() }) }

// Elect lets a queue be without a leader for a while, in which it decides nothing.
func (f *Fleet) Elect(name string, d time.Duration) {
	f.each(name, func(q *queue) { q.electing = time.Now().Add(f.real(d)) })
}

// Change lets a queue take no new replica for a while.
func (f *Fleet) Change(name string, d time.Duration) {
	f.each(name, func(q *queue) { q.changing = time.Now().Add(f.real(d)) })
}

// each does something with all queues of a name.
func (f *Fleet) each(name string, do func(*queue)) {
	f.do("", func() {
		for _, b := range f.brokers {
			for _, q := range b.store.queues {
				if q.name == name {
					do(q)
				}
			}
		}
	})
}

// Lock makes the host locked, as by another run.
func (b *Broker) Lock(holder string) { b.fleet.do("", func() { b.lockedBy = holder }) }

// Shut closes the host's sshd, or opens it.
func (b *Broker) Shut(yes bool) {
	b.fleet.do("", func() { b.shut = yes })
	if yes && b.link != nil {
		b.link.Disconnect()
	}
}
