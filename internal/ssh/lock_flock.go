//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package ssh

import (
	"os"
	"syscall"
)

// lockFile keeps other processes from writing f until it is closed.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
