package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroupRoot finds the cgroup v2 hierarchy: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside the old hierarchies.
func cgroupRoot() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err != nil {
			continue
		}
		probe := filepath.Join(dir, fmt.Sprintf("rmqlab-probe-%d", os.Getpid()))
		if err := os.Mkdir(probe, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		_, err := os.Stat(filepath.Join(probe, "cgroup.kill"))
		_ = os.Remove(probe)
		return dir, err
	}
	return "", errors.New("no cgroup v2 hierarchy is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified")
}

// cgroup is a directory of the v2 hierarchy. One per host, because hosts in one cgroup share /system.slice, and the
// stop of a service on one of them kills it on all.
type cgroup string

// entering is argv wrapped so that it starts inside the cgroup.
func (c cgroup) entering(argv ...string) []string {
	return append([]string{"/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, string(c)}, argv...)
}

func (c cgroup) child(name string) cgroup { return cgroup(filepath.Join(string(c), name)) }

func (c cgroup) create() error { return os.MkdirAll(string(c), 0o755) }

func (c cgroup) write(file, value string) error {
	return os.WriteFile(filepath.Join(string(c), file), []byte(value), 0)
}

// freeze stops every process of the cgroup, or lets them go on, and returns when they did.
func (c cgroup) freeze(ctx context.Context, frozen bool) error {
	value := "0"
	if frozen {
		value = "1"
	}
	if err := c.write("cgroup.freeze", value); err != nil {
		return err
	}
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		now, err := c.stat("cgroup.events", "frozen")
		return strconv.Itoa(now) == value, err
	})
}

// kill ends every process of the cgroup without asking and returns when none is left.
func (c cgroup) kill(ctx context.Context) error {
	err := c.write("cgroup.kill", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// A frozen process is killed too, but only a thawed cgroup can be used again.
	_ = c.write("cgroup.freeze", "0")
	return c.waitEmpty(ctx)
}

func (c cgroup) waitEmpty(ctx context.Context) error {
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		populated, err := c.stat("cgroup.events", "populated")
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		return populated == 0, err
	})
}

func (c cgroup) empty() bool {
	populated, err := c.stat("cgroup.events", "populated")
	return err != nil || populated == 0
}

// stat reads one number of a "name value" file.
func (c cgroup) stat(file, name string) (int, error) {
	text, err := os.ReadFile(filepath.Join(string(c), file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("%s/%s has no %q", c, file, name)
}

// pids lists the processes directly in the cgroup.
func (c cgroup) pids() []int {
	text, _ := os.ReadFile(filepath.Join(string(c), "cgroup.procs"))
	var pids []int
	for _, f := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// remove deletes the cgroup and all below it, also its shadow in the old name=systemd hierarchy, which systemd-nspawn
// makes on machines that still have one. It must be empty.
func (c cgroup) remove(ctx context.Context) error {
	trees := []string{string(c)}
	if dir, name, ok := strings.Cut(string(c), "/unified/"); ok {
		trees = append(trees, filepath.Join(dir, "systemd", name))
	}
	for _, tree := range trees {
		// A process that has just been reaped may hold its cgroup busy for a moment.
		err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
			removeDirectories(tree)
			_, err := os.Stat(tree)
			return errors.Is(err, fs.ErrNotExist), nil
		})
		if err != nil {
			return fmt.Errorf("unable to remove cgroup %s: %w", tree, err)
		}
	}
	return nil
}

// removeDirectories removes a tree of directories whose files cannot be removed, deepest first.
func removeDirectories(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeDirectories(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}
