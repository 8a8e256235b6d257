package simulation

import (
	"maps"
	"slices"
	"time"
)

// How a broker boots, waits for its peers, and gives up.

// settle lets everything happen that can happen now: boots that were waiting end.
func (f *Fleet) settle() {
	for again := true; again; {
		again = false
		for _, name := range f.names() {
			b := f.brokers[name]
			if b.app == booting && b.ready && b.vm && b.up && b.tryBoot() {
				again = true
			}
			for len(b.reset) > 0 && b.canReset() {
				waiting := b.reset[0]
				b.reset = b.reset[1:]
				b.leave()
				close(waiting.done)
				again = true
			}
		}
	}
}

// tryBoot ends a boot when it can end.
func (b *Broker) tryBoot() bool {
	switch failure, wait := b.outcome(); {
	case wait:
		return false
	case failure != "":
		b.bootFailed(failure)
	default:
		b.app, b.fresh, b.since, b.drained = running, false, time.Now(), b.drainsAtBoot
		b.waitFor = map[string]bool{}
		if b.unit == "activating" {
			b.unit = "active"
		}
		for _, other := range b.fleet.brokers {
			delete(other.partitioned, b.Name)
		}
		b.partitioned = map[string]bool{}
		b.endBoot("")
	}
	return true
}

func (b *Broker) endBoot(failure string) {
	if b.attempt != nil {
		b.attempt.failure = failure
		close(b.attempt.done)
		b.attempt = nil
	}
}

// bootFailed ends a boot in vain: of the application, which is stopped again, or of the unit, which is tried again.
func (b *Broker) bootFailed(failure string) {
	service := b.attempt != nil && b.attempt.service
	b.app = stopped
	b.endBoot(failure)
	if service {
		b.vm = false
		b.restartLater()
	}
}

// outcome is how a boot ends: it waits, it fails, or the node runs.
func (b *Broker) outcome() (failure string, wait bool) {
	others := b.others()
	if b.full { // [inferred]
		return "Error:\n{:rabbit, {:error, {:cannot_log_to_file, ~c\"/var/log/rabbitmq\", {:error, :enospc}}}}\n", false
	}
	if len(others) == 0 {
		b.discover()
		return "", false
	}
	if b.version.Khepri {
		up := 1
		for _, other := range others {
			if other.vm && other.up && (other.app == running || other.app == booting && other.ready) && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
				up++
			}
		}
		if up <= len(b.members)/2 {
			return "", true
		}
		b.copyMembers()
		return "", false
	}
	for _, other := range others {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
			b.copyMembers()
			b.merge()
			return "", false
		}
	}
	for _, other := range slices.Backward(others) { // it tries them all and tells of the last
		if other.runs() && b.fleet.linked(b, other) {
			return b.say("start_app-forgotten", "rabbit@rmq3", b.Name, "rabbit@rmq2", other.Name).err, false
		}
	}
	for name := range b.waitFor {
		other := b.fleet.brokers[name]
		if !b.lists(name) {
			continue
		}
		if !other.vm || !other.up || other.app != booting || !other.ready || !b.fleet.linked(b, other) || !other.lists(b.Name) {
			return "", true
		}
	}
	return "", false
}

// copyMembers takes the member list of a peer that runs: it may have changed while the node was stopped.
func (b *Broker) copyMembers() {
	for _, other := range b.others() {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && other.lists(b.Name) {
			b.members = maps.Clone(other.members)
			return
		}
	}
}

// merge gives those that run the starting node again when one side of a partition has forgotten it and another has not:
// Mnesia merges their schemas (measured on 3.10.8).
func (b *Broker) merge() {
	for _, other := range b.others() {
		if other.runs() && b.fleet.linked(b, other) && other.store == b.store && !other.lists(b.Name) {
			other.members[b.Name] = b.members[b.Name]
		}
	}
}

// discover lets a blank node join whom its configuration names, if one of them runs.
func (b *Broker) discover() {
	if !b.fresh {
		return
	}
	for _, name := range b.discovers {
		other := b.fleet.brokers[name]
		if other == nil || other == b || !other.runs() || !b.fleet.linked(b, other) || other.lists(b.Name) {
			continue
		}
		b.become(other, disc)
		return
	}
}

// begin begins a boot, which takes a while before it looks at its peers, and gives up in the end.
func (b *Broker) begin(service bool) *attempt {
	a := &attempt{done: make(chan struct{}), service: service}
	b.app, b.ready, b.attempt = booting, false, a
	b.fleet.later(b, time.Second, func() {
		if b.attempt != a {
			return
		}
		b.ready = true
	})
	b.fleet.background.Go(func() {
		timer := time.NewTimer(b.fleet.real(5 * time.Minute))
		defer timer.Stop()
		select {
		case <-a.done:
			return
		case <-b.fleet.closed:
		case <-timer.C:
		}
		b.fleet.do("", func() {
			if b.attempt != a {
				return
			}
			b.ready = true // on a busy machine this comes before what makes it ready
			if !b.tryBoot() {
				b.bootFailed("Error:\n{:rabbit, {{:timeout_waiting_for_tables, []}, {:rabbit, :start, [:normal, []]}}}\n")
			}
		})
	})
	return a
}

// startUnit starts the broker's unit, unless systemd has had enough of it.
func (b *Broker) startUnit() {
	if b.unit == "active" || b.unit == "activating" {
		return
	}
	b.starts++
	if b.version.Number == V43.Number && b.starts > 5 {
		b.unit = "failed" // start-limit-hit: sid's unit has StartLimitBurst=5
		return
	}
	b.unit, b.vm, b.born, b.restarted = "activating", true, time.Now(), false
	if f := b.files[cookieFile]; f == nil {
		b.writeCookie("RANDOMCOOKIE" + b.boot)
	}
	b.cookie = b.files[cookieFile].content
	b.begin(true)
}

// restartLater is systemd's Restart=on-failure.
func (b *Broker) restartLater() {
	b.unit = "auto-restart"
	b.fleet.later(b, 10*time.Second, func() {
		if b.up && b.unit == "auto-restart" {
			b.startUnit()
		}
	})
}
