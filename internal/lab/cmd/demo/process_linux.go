package main

import (
	"os/exec"
	"syscall"
)

// inOwnGroup keeps the terminal's ctrl-C from the command, and ends it together with the providers that it started.
func inOwnGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
