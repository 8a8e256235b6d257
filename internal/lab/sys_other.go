//go:build !linux

package lab

import (
	"errors"
	"os"
	"syscall"
)

// Elsewhere the package compiles, so that what uses it does, and Preflight says why it cannot run.
var errNotLinux = errors.New("a lab needs Linux")

func mountOverlay(_, _, _, _ string) error  { return errNotLinux }
func unmount(string) error                  { return errNotLinux }
func lockFile(*os.File, bool) error         { return errNotLinux }
func sameFile(*os.File) bool                { return false }
func apart() *syscall.SysProcAttr           { return nil }
func inode(string) (_, _ uint64, err error) { return 0, 0, errNotLinux }
func isRoot() bool                          { return false }
func terminate(int) error                   { return errNotLinux }
