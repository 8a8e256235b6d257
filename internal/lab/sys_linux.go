package lab

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mountOverlay mounts upper over lower at target. "volatile" makes fsync free: the upper directory lives on in the
// page cache whatever is killed inside the host, and no host here outlives the kernel it runs on.
func mountOverlay(lower, upper, work, target string) error {
	options := "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	err := unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) { // kernels before 5.10
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	return err
}

// unmount lets go of a mount, at once if nothing uses it and else as soon as nothing does.
func unmount(target string) error {
	err := unix.Unmount(target, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(target, unix.MNT_DETACH)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // not mounted
		return nil
	}
	return err
}

// lockFile takes an exclusive lock on f; without wait it reports errLocked where another process has it.
func lockFile(f *os.File, wait bool) error {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		}
		return err
	}
}

// sameFile tells whether the open file is still the one at its path.
func sameFile(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, now)
}

// apart starts a process in a session of its own: ctrl-C in the terminal is for the owner, not for the hosts.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// inode is the identity of a file that systemd-nspawn names its locks after.
func inode(path string) (device, number uint64, err error) {
	var s unix.Stat_t
	err = unix.Stat(path, &s)
	return s.Dev, s.Ino, err
}

func isRoot() bool { return os.Geteuid() == 0 }

func terminate(pid int) error { return unix.Kill(pid, unix.SIGTERM) }
