package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// The people on every host. All have the lab's SSH key, and Password.
const (
	// User may run anything as anyone through sudo, without a password.
	User = "deploy"
	// UserSudoPassword may too, and sudo asks for the password.
	UserSudoPassword = "operator"
	// UserNoSudo has no right beyond its own.
	UserNoSudo = "nosudo"
	// Password is the password of them all, for sudo and for SSH.
	Password = "lab-Password-1"
)

// hostTimeout bounds the boot of a host, broker included.
const hostTimeout = 3 * time.Minute

// Options say what Up brings up. The zero value is three hosts of the default release, each with its own cookie.
type Options struct {
	// Name tells labs on one machine apart; default "lab".
	Name string
	// Release is the RabbitMQ version; default DefaultRelease.
	Release Release
	// Hosts is how many, named rmq1 to rmqN; default 3.
	Hosts int
	// Cookie is an Erlang cookie for all hosts. Empty gives each host a random one of its own, as fresh installs have.
	Cookie string
	// Detach lets the lab outlive this process. Otherwise all of it is gone soon after the process ended, even by SIGKILL.
	Detach bool
	// Progress gets a line now and then.
	Progress io.Writer
}

// Lab is a set of hosts on one network.
type Lab struct {
	mu       sync.Mutex
	state    state
	hosts    []*Host
	progress io.Writer

	lock    *os.File // while this process owns the lab
	release func()   // lets the reaper go
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// Up boots the hosts side by side and returns when on each of them sshd answers and the broker runs.
// When that fails, nothing is left, and the error has the last words of the host that failed.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if o.Name == "" {
		o.Name = "lab"
	}
	if o.Release == (Release{}) {
		o.Release = DefaultRelease
	}
	if o.Hosts == 0 {
		o.Hosts = 3
	}
	if !validName.MatchString(o.Name) {
		return nil, fmt.Errorf("lab name %q: want lower-case letters, digits and dashes", o.Name)
	}
	if err := Preflight(); err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		report(o.Progress, "%v", err)
	}
	lock, err := own(o.Name)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("lab %s is up: %s has it", o.Name, owner(o.Name))
	}
	if err != nil {
		return nil, err
	}
	l := &Lab{progress: o.Progress, lock: lock, state: state{Name: o.Name}}
	if s, err := readState(o.Name); err == nil { // detached, or sweep could not remove it
		disown(lock)
		return nil, fmt.Errorf("lab %s is up and nobody owns it, with %d hosts: take it down first", s.Name, len(s.Hosts))
	}
	if _, err := Image(ctx, o.Release, o.Progress); err != nil {
		disown(lock)
		return nil, err
	}
	if err := l.up(ctx, o); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	if o.Detach { // only now: an Up that is killed half way has an owner, who is dead
		l.state.Detached = true
		if err := l.state.write(); err != nil {
			return nil, errors.Join(err, l.Down())
		}
		l.disown()
	}
	return l, nil
}

func (l *Lab) up(ctx context.Context, o Options) error {
	began := time.Now()
	l.state = state{
		ID: rand.Text(), Name: o.Name, Release: o.Release, Cookie: o.Cookie, Owner: os.Getpid(),
	}
	if err := os.MkdirAll(l.dir(), 0o700); err != nil {
		return err
	}
	if err := l.claimNetwork(ctx); err != nil {
		return err
	}
	if _, err := machine(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", l.PrivateKeyFile()); err != nil {
		return err
	}
	var added []*Host
	for i := range o.Hosts {
		h, err := l.add(HostSpec{Name: fmt.Sprintf("rmq%d", i+1)})
		if err != nil {
			return err
		}
		added = append(added, h)
	}
	report(l.progress, "%s: booting %d hosts of %s on %s", l.state.Name, len(added), o.Release, l.state.Network.prefix())
	if err := l.bring(ctx, added); err != nil {
		return err
	}
	report(l.progress, "%s: up in %.1f s", l.state.Name, time.Since(began).Seconds())
	return nil
}

// claimNetwork takes a free address range, writes the state file that says so, and only then makes the bridge.
func (l *Lab) claimNetwork(ctx context.Context) error {
	claim, err := os.OpenFile(filepath.Join(stateRoot, ".network.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = claim.Close() }()
	if err := lockFile(claim, true); err != nil {
		return err
	}
	if l.state.Network, err = freeNetwork(ctx); err != nil {
		return err
	}
	if err := l.state.write(); err != nil {
		return err
	}
	if l.release, err = startReaper(l.state); err != nil {
		return err
	}
	return l.state.Network.up(ctx)
}

// bring gives hosts their disks and cables and boots them, side by side.
func (l *Lab) bring(ctx context.Context, hosts []*Host) error {
	if err := l.writeNames(); err != nil {
		return err
	}
	err := each(hosts, func(h *Host) error {
		if err := l.state.Network.plugIn(ctx, h.name, h.number, h.ipv6); err != nil {
			return err
		}
		if err := h.layDisk(ctx, NewHostKey); err != nil {
			return err
		}
		if h.noBroker {
			if err := h.maskBroker(); err != nil {
				return err
			}
			return h.Boot(ctx)
		}
		if err := h.Boot(ctx); err != nil {
			return err
		}
		return h.WaitBroker(ctx)
	})
	return errors.Join(err, l.writeKnownHosts())
}

// Open finds a lab that another process brought up.
func Open(name string) (*Lab, error) {
	s, err := readState(name)
	if err != nil {
		return nil, fmt.Errorf("no lab %s is up: %w", name, err)
	}
	l := &Lab{state: s}
	for _, hs := range s.Hosts {
		l.hosts = append(l.hosts, newHost(l, hs))
	}
	return l, nil
}

// Names lists the labs on this machine.
func Names() []string { return labNames() }

// Owner says who has a lab: "process 123", or "nobody" for a detached one.
func (l *Lab) Owner() string { return owner(l.state.Name) }

func owner(name string) string {
	lock, err := own(name)
	if err == nil {
		disown(lock)
		return "nobody"
	}
	s, err := readState(name)
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", s.Owner)
}

// Down ends the hosts and removes all that the lab made on this machine: processes, cgroups, mounts, disks, cables,
// bridge, route. It refuses a lab that another living process owns.
func (l *Lab) Down() error {
	if l.lock == nil {
		lock, err := own(l.state.Name)
		if errors.Is(err, errLocked) {
			return fmt.Errorf("lab %s belongs to %s: end that process, and its lab ends with it", l.state.Name, owner(l.state.Name))
		}
		if err != nil {
			return err
		}
		l.lock = lock
	}
	err := removeLab(l.state.Name)
	for _, h := range l.hosts { // collect the exit status of what was just killed
		h.reapChild()
	}
	l.disown()
	return err
}

// disown lets go of the lock and of the reaper.
func (l *Lab) disown() {
	if l.lock != nil {
		disown(l.lock)
		l.lock = nil
	}
	if l.release != nil {
		l.release()
		l.release = nil
	}
}

func (l *Lab) dir() string { return labDir(l.state.Name) }

// Name is the lab's name.
func (l *Lab) Name() string { return l.state.Name }

// Release is the release the hosts run, but for those added with another.
func (l *Lab) Release() Release { return l.state.Release }

// MachineAddress is this machine's address on the lab's network: where the hosts see SSH come from.
func (l *Lab) MachineAddress() string { return l.state.Network.address(1) }

// PrivateKeyFile is the SSH key that opens every user's account.
func (l *Lab) PrivateKeyFile() string { return filepath.Join(l.dir(), "id_ed25519") }

// KnownHostsFile has every host's key under its address and its name. It is rewritten when a host is added or gets a
// new key: copy it to keep an old one.
func (l *Lab) KnownHostsFile() string { return filepath.Join(l.dir(), "known_hosts") }

// Partition drops everything that goes between the hosts of a and those of b, silently, like a broken switch. This
// machine still reaches them all. Further calls add to it; Heal ends it.
func (l *Lab) Partition(ctx context.Context, a, b []*Host) error {
	deafen := func(hosts, to []*Host) error {
		var from []string
		for _, h := range to {
			from = append(from, h.Address())
		}
		return each(hosts, func(h *Host) error { return l.state.Network.drop(ctx, h.name, from) })
	}
	return errors.Join(deafen(a, b), deafen(b, a))
}

// Heal ends every partition and cut: all hosts hear each other and this machine.
func (l *Lab) Heal(ctx context.Context) error {
	return each(l.Hosts(), func(h *Host) error {
		if err := l.state.Network.hear(ctx, h.name); err != nil {
			return err
		}
		return h.HealNetwork(ctx)
	})
}

// BlankAll makes every broker a blank standalone node again, side by side: see [Host.BlankBroker]. It thaws, boots and
// heals what a test left frozen, off or cut.
func (l *Lab) BlankAll(ctx context.Context) error {
	if err := each(l.Hosts(), func(h *Host) error {
		if h.Running() {
			return h.Thaw(ctx)
		}
		return h.Boot(ctx)
	}); err != nil {
		return err
	}
	if err := l.Heal(ctx); err != nil {
		return err
	}
	return each(l.Hosts(), func(h *Host) error {
		if h.noBroker {
			return nil
		}
		return h.BlankBroker(ctx)
	})
}

// ShareCookie gives every host the same Erlang cookie: brokers stopped, file written, brokers started.
func (l *Lab) ShareCookie(ctx context.Context, cookie string) error {
	l.mu.Lock()
	l.state.Cookie = cookie
	l.mu.Unlock()
	return each(l.Hosts(), func(h *Host) error {
		if err := h.StopBroker(ctx); err != nil {
			return err
		}
		if err := errors.Join(h.remember(cookie), h.SetCookie(cookie)); err != nil {
			return err
		}
		return h.StartBroker(ctx)
	})
}

// DownAll takes down every lab that no living process owns.
func DownAll(progress io.Writer) error {
	var failed error
	for _, name := range labNames() {
		lock, err := own(name)
		if errors.Is(err, errLocked) {
			report(progress, "%s: left alone, it belongs to %s", name, owner(name))
			continue
		}
		if err == nil {
			err = removeLab(name)
			disown(lock)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
