package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// applies is how many applies a wish may take once nothing goes wrong any more.
const applies = 4

// end stops everything that goes wrong, lets an operator do what only an operator can do, and applies the last wish,
// with consent to losses, until it is true.
func (t *teller) end(ctx context.Context) {
	f := t.fleet
	f.ClearFaults()
	f.Mend()
	for _, name := range f.Names() {
		f.Broker(name).PowerOn()
	}
	t.note("everything is well again")
	f.sleep(20 * time.Minute) // what goes on ends
	t.operate()
	wish := t.wish
	wish.loss = true
	if leavers := slices.DeleteFunc(t.known(), func(name string) bool { return wish.members[name] != "" }); wish.single && len(leavers) > 0 { // a member that leaves does so as it was last applied
		all := wish
		all.members = maps.Clone(wish.members)
		for _, name := range leavers {
			all.members[name] = f.Broker(name).Type()
		}
		t.note("consent")
		_ = t.apply(ctx, all)
	}
	var err error
	for range applies {
		if err = t.apply(ctx, wish); err == nil {
			break
		}
		f.sleep(6 * time.Minute) // boots that wait in vain end
		t.operate()
	}
	if err != nil && t.hopeless() {
		t.note("whom a member needs to start is gone for good, which only an operator can mend")
		return
	}
	if err != nil {
		t.problem("nothing goes wrong any more, and after %d applies: %v", applies, err)
		return
	}
	before := len(f.Commands())
	if changes, err := t.tf.Apply(ctx, wish.resources(f.Names())); err != nil || changes > 0 {
		t.problem("an apply after one that succeeded had %d changes: %v", changes, err)
	}
	if more := f.Commands()[before:]; len(more) > 0 {
		t.problem("an apply after one that succeeded changed something: %v", more)
	}
	t.isTrue(wish)
}

// isTrue sees that the world is what is wished.
func (t *teller) isTrue(w wish) {
	names := w.names()
	for _, name := range names {
		b := t.fleet.Broker(name)
		members, runs := b.Members()
		if w.single { // whoever else is a member is left alone
			members = slices.DeleteFunc(members, func(member string) bool { return w.members[member] == "" })
		}
		if !runs || !slices.Equal(members, names) {
			t.problem("the wish is not true: %s runs: %t, lists %v; want %v", name, runs, members, names)
		}
		if got := b.Type(); got != w.members[name] {
			t.problem("%s is a %s node, not %s", name, got, w.members[name])
		}
		if got := b.ClusterName(); w.name != "" && got != w.name {
			t.problem("%s calls its cluster %q, not %q", name, got, w.name)
		}
		if got := b.Cookie(); w.cookie > 0 && got != fmt.Sprintf("SIMULATEDCOOKIE%d", w.cookie) {
			t.problem("%s has the cookie %q", name, got)
		}
	}
}

// hopeless tells whether the members that a wished one needs to start with are gone for good, which the world did and
// not the product.
func (t *teller) hopeless() bool {
	names := append(t.wish.names(), t.known()...) // whose cluster goes on with those who are wished
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	for _, name := range names {
		b := t.fleet.brokers[name]
		there := 0
		for member := range b.members {
			if other := t.fleet.brokers[member]; other.store == b.store && other.lists(name) {
				there++
			}
		}
		if b.version.Khepri && there <= len(b.members)/2 {
			return true
		}
		// A RAM node that is left alone cannot become anything else.
		if b.runs() && b.members[name] == ram && !slices.ContainsFunc(b.peers(), func(o *Broker) bool { return o != b }) {
			return true
		}
		// Mnesia: whom it wants to start with was rebuilt, or forgot it while it was off, or waits for such a one. Its data
		// directory must go.
		if !b.version.Khepri && b.unit != "active" && (b.outside() || slices.ContainsFunc(b.others(), func(o *Broker) bool { return o.unit != "active" && o.outside() })) {
			return true
		}
	}
	return false
}

// outside tells whether a broker counts somebody as a member who does not count it.
func (b *Broker) outside() bool {
	return slices.ContainsFunc(b.others(), func(o *Broker) bool { return !o.lists(b.Name) })
}

// operate does what the product leaves to people: after a partition of Mnesia it restarts the side that is not trusted,
// and it restarts a broker that runs with a cookie that no file has.
func (t *teller) operate() {
	f := t.fleet
	for _, name := range f.Names() {
		b := f.Broker(name)
		f.mu.Lock()
		cut, estranged := len(b.partitioned) > 0, b.vm && b.files[cookieFile] != nil && b.files[cookieFile].content != b.cookie
		f.mu.Unlock()
		if t.strayed(b) {
			b.StopApp() // known/forget-rebuilt.txt
		}
		if estranged {
			b.StopService()
			b.StartService()
			f.sleep(10 * time.Second)
		}
		if t.outcast(b) { // it runs, so that nobody can tell which side is right
			b.LeaveByHand()
		}
		if other := t.instead(b); other != nil { // topology's blankInstead: the product says so and leaves it
			other.StopApp()
			b.StartApp()
			f.sleep(10 * time.Second)
			other.StartApp()
			f.sleep(10 * time.Second)
		}
		// A member that waits for it cannot start, and no vote is missing then. A member resource whose peer is stopped
		// cannot know of the data there, by which another node may turn out to be the founder.
		if _, wished := t.wish.members[name]; (!wished || t.wish.single) && !t.strayed(b) && !b.alive() {
			b.StartService()
			b.StartApp()
			f.sleep(10 * time.Second)
		}
		if cut {
			b.StopApp()
			b.StartApp()
			f.sleep(10 * time.Second)
		}
	}
}

// outcast tells whether a broker runs that lists others which have forgotten it, or were rebuilt and are in another cluster.
func (t *teller) outcast(b *Broker) bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	return b.runs() && len(b.peers()) == 1 && slices.ContainsFunc(b.others(), func(o *Broker) bool { return o.runs() && len(o.members) > 1 && !o.lists(b.Name) })
}

// instead gives the broker that came back blank while a stopped one, which counts it as a member, has what there is.
func (t *teller) instead(b *Broker) *Broker {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	if b.app != stopped || !b.vm {
		return nil
	}
	for _, other := range b.others() {
		if other.runs() && len(other.members) == 1 {
			return other
		}
	}
	return nil
}

// strayed tells whether a node that shall be no member was rebuilt blank and runs, while members still list it: RabbitMQ
// does not forget it as long as it runs.
func (t *teller) strayed(b *Broker) bool {
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	if _, wished := t.wish.members[b.Name]; wished {
		return false
	}
	for _, other := range t.fleet.brokers {
		if other != b && other.runs() && other.lists(b.Name) && !b.lists(other.Name) {
			return true
		}
	}
	return false
}

// oneCluster tells whether the nodes are one cluster, all running, with nobody else in it.
func oneCluster(f *Fleet, names []string) error {
	for _, name := range names {
		members, runs := f.Broker(name).Members()
		if !runs || !slices.Equal(members, names) {
			return fmt.Errorf("%s runs: %t, lists %v; want %v", name, runs, members, names)
		}
	}
	return nil
}
