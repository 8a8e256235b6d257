package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Run runs a command as root on the host, without SSH: a process enters the host's namespaces and its cgroup. It
// returns what the command printed to stdout; the error, a *CommandError, has the rest.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	return h.RunInput(ctx, nil, argv...)
}

// RunInput is Run with something to read on stdin. Without it stdin is empty.
func (h *Host) RunInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	return h.run(ctx, func(cmd *exec.Cmd) { cmd.Stdin = stdin }, argv)
}

// Shell runs a command, or root's login shell, on this process's own terminal.
func (h *Host) Shell(ctx context.Context, argv ...string) error {
	if len(argv) == 0 {
		argv = []string{"script", "--quiet", "--return", "--command", "bash --login", "/dev/null"} // gives it a terminal of the host
	}
	inside, group, err := h.inside(argv)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(string(group)) }()
	cmd := exec.CommandContext(ctx, inside[0], inside[1:]...)
	cmd.Env = append(hostEnvironment(), "TERM="+os.Getenv("TERM"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func (h *Host) run(ctx context.Context, prepare func(*exec.Cmd), argv []string) (string, error) {
	inside, group, err := h.inside(argv)
	if err != nil {
		return "", err
	}
	// Stays when the command left something running in the background; it goes with the host.
	defer func() { _ = os.Remove(string(group)) }()
	return finish(ctx, h.name, argv, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, inside[0], inside[1:]...)
		cmd.Env = hostEnvironment()
		cmd.SysProcAttr = apart()
		// nsenter's child would outlive nsenter.
		cmd.Cancel = func() error { return group.write("cgroup.kill", "1") }
		prepare(cmd)
		return cmd
	})
}

var runs atomic.Int64

// inside is argv wrapped to run on the host, and the cgroup it will be in.
func (h *Host) inside(argv []string) ([]string, cgroup, error) {
	if frozen, err := h.cgroup.stat("cgroup.events", "frozen"); err == nil && frozen == 1 {
		return nil, "", fmt.Errorf("%s is frozen: nothing can run on it", h.name)
	}
	leader, err := h.leader()
	if err != nil {
		return nil, "", err
	}
	group := h.cgroup.child("run").child(fmt.Sprintf("%d-%d", os.Getpid(), runs.Add(1)))
	if err := group.create(); err != nil {
		return nil, "", err
	}
	enter := []string{
		"nsenter", "--target", strconv.Itoa(leader),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--",
	}
	return group.entering(append(enter, argv...)...), group, nil
}

// leader is the host's PID 1, by its number on this machine.
func (h *Host) leader() (int, error) {
	var pid int
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if !h.Running() {
			return false, fmt.Errorf("%s is off", h.name)
		}
		for _, group := range []cgroup{h.cgroup.child("payload").child("init.scope"), h.cgroup.child("payload")} {
			for _, p := range group.pids() {
				if isInit(p) {
					pid = p
					return true, nil
				}
			}
		}
		return false, nil // systemd-nspawn has not come that far
	})
	if err != nil {
		return 0, fmt.Errorf("%s has no init to run under: %w", h.name, err)
	}
	return pid, nil
}

func isInit(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(list)
			return len(f) == 2 && f[1] == "1"
		}
	}
	return false
}

// hostEnvironment is what a command on a host, or in an image, finds in its environment: nothing of the machine's.
func hostEnvironment() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8",
	}
}
