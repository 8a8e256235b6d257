package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Who removes a lab?
//
// A lab belongs to the process that called Up. Everything the lab makes on the machine has a name that follows from
// its state file, which is written before the first of it exists. So whoever has the file can remove the lab:
//
//   - Down, by the owner;
//   - the reaper: a child of the owner, in a session of its own, that waits on a pipe. When the owner dies, however it
//     dies, the pipe ends and the reaper removes the lab;
//   - the next Up on this machine, or "lab down", should the reaper have been killed too.
//
// That the owner lives shows in a file lock, which the kernel lets go of when a process dies. A lab that was started
// with Options.Detach has no owner and stays until somebody calls Down.

// stateRoot has a directory for each lab: the disks of its hosts, keys, state.json.
const stateRoot = "/var/lib/rabbitmq-lab"

var errLocked = errors.New("another process has the lock")

// state is what a lab is made of, as other processes need it.
type state struct {
	// ID tells this lab from an earlier or later one of the same name.
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Release  Release     `json:"release"`
	Network  network     `json:"network"`
	Detached bool        `json:"detached"`
	Owner    int         `json:"owner"`
	Cookie   string      `json:"cookie,omitempty"`
	Hosts    []hostState `json:"hosts"`
}

type hostState struct {
	Name    string  `json:"name"`
	Number  int     `json:"number"`
	Release Release `json:"release"`
	// Image is the base image below its disk. A later process may have another recipe, or another cache.
	Image  string `json:"image"`
	Cookie string `json:"cookie"`
	Node   string `json:"node,omitempty"`
	IPv6   bool   `json:"ipv6,omitempty"`
	// NoBroker tells that its broker is masked.
	NoBroker bool `json:"no_broker,omitempty"`
}

func labDir(name string) string { return filepath.Join(stateRoot, name) }

func readState(name string) (state, error) {
	var s state
	text, err := os.ReadFile(filepath.Join(labDir(name), "state.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

func (s state) write() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(labDir(s.Name), "state.json")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// own takes the lock that shows a lab has a living owner.
func own(name string) (*os.File, error) {
	if err := os.MkdirAll(stateRoot, 0o700); err != nil {
		return nil, err
	}
	for {
		f, err := os.OpenFile(labDir(name)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lockFile(f, false); err != nil {
			_ = f.Close()
			return nil, err
		}
		if sameFile(f) {
			return f, nil
		}
		_ = f.Close() // its last owner removed it between our open and our lock
	}
}

func disown(lock *os.File) {
	_ = os.Remove(lock.Name())
	_ = lock.Close()
}

// labNames lists the labs that have a directory.
func labNames() []string {
	entries, _ := os.ReadDir(stateRoot)
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// sweep removes every lab whose owner is dead.
func sweep() error {
	var failed error
	for _, name := range labNames() {
		s, err := readState(name)
		if err == nil && s.Detached {
			continue
		}
		lock, err := own(name)
		if errors.Is(err, errLocked) {
			continue
		}
		if err == nil {
			err = removeLab(name)
			disown(lock)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("unable to remove lab %s, whose owner is dead: %w", name, err))
		}
	}
	return failed
}

// removeLab ends and removes all that a lab is made of, also where only some of it is there. It needs the lock.
func removeLab(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed error
	s, err := readState(name)
	switch {
	case err == nil:
		failed = s.removeParts(ctx)
	case !errors.Is(err, fs.ErrNotExist): // without a state file nothing was started yet
		return err
	}
	// The disks go last: while anything of the lab is left, the state file must be there to find it.
	if failed == nil {
		failed = unmountBelow(labDir(name))
	}
	if failed == nil {
		failed = os.RemoveAll(labDir(name))
	}
	return failed
}

func (s state) removeParts(ctx context.Context) error {
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	hosts := cgroup(root).child(s.Network.bridge())
	// Cables first: nobody outside should see the hosts' connections end.
	for _, cable := range s.Network.cables() {
		_, _ = machine(ctx, "ip", "link", "set", cable, "down")
	}
	if err := hosts.kill(ctx); err != nil {
		return err
	}
	failed := hosts.remove(ctx)
	for _, h := range s.Hosts {
		dir := filepath.Join(labDir(s.Name), h.Name)
		failed = errors.Join(failed,
			removeNspawnLeftovers(s.Network.space(h.Name), filepath.Join(dir, "root")),
			unmountBelow(dir))
	}
	return errors.Join(failed, s.Network.down(ctx))
}

// removeNspawnLeftovers removes what systemd-nspawn keeps in /run for a machine and for its root directory, and leaves
// there when it is killed.
func removeNspawnLeftovers(machineName, root string) error {
	var failed error
	if device, number, err := inode(root); err == nil {
		lock := fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", device, number)
		failed = ignore(os.Remove(lock), fs.ErrNotExist)
	}
	for _, kind := range []string{"propagate", "unix-export"} {
		dir := filepath.Join("/run/systemd/nspawn", kind, machineName)
		failed = errors.Join(failed, unmountBelow(dir), ignore(os.Remove(dir), fs.ErrNotExist))
	}
	return failed
}

// reaperVariable makes a process that has this package in it a reaper: it names the lab and its ID.
const reaperVariable = "RABBITMQ_LAB_REAPER"

// The reaper is the owner's own executable, so there is nothing to build or to find. It must take over before any
// main or TestMain runs.
func init() {
	if lab, ok := os.LookupEnv(reaperVariable); ok {
		name, id, _ := strings.Cut(lab, " ")
		os.Exit(reap(name, id))
	}
}

// startReaper starts the reaper; closing the returned pipe, or dying, sets it off.
func startReaper(s state) (release func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(labDir(s.Name), "reaper.log"))
	if err != nil {
		return nil, errors.Join(err, read.Close(), write.Close())
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"rabbitmq-lab-reaper", s.Name}
	cmd.Env = append(os.Environ(), reaperVariable+"="+s.Name+" "+s.ID)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = apart()
	err = cmd.Start()
	_, _ = read.Close(), log.Close()
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	return func() {
		_ = write.Close()
		_ = cmd.Wait()
	}, nil
}

func reap(name, id string) int {
	// The owner never writes: the read returns when the owner is gone or has removed the lab itself.
	_, _ = os.Stdin.Read(make([]byte, 1))
	for {
		if s, err := readState(name); err != nil || s.ID != id || s.Detached {
			return 0
		}
		lock, err := own(name)
		if errors.Is(err, errLocked) { // somebody is already at it
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err == nil {
			if s, err := readState(name); err != nil || s.ID != id {
				disown(lock)
				return 0
			}
			err = removeLab(name)
			disown(lock)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "unable to remove lab:", err)
			return 1
		}
		return 0
	}
}
