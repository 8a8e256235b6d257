package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// tools are the programs a lab calls on the machine, each with the Debian package that has it.
var tools = []struct{ name, pkg string }{
	{"systemd-nspawn", "systemd-container"},
	{"debootstrap", "debootstrap"},
	{"ip", "iproute2"},
	{"nft", "nftables"},
	{"nsenter", "util-linux"},
	{"ssh-keygen", "openssh-client"},
}

// Preflight says in one sentence what this machine lacks to host a lab, or returns nil.
func Preflight() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a lab boots Debian hosts with systemd-nspawn, which needs Linux: this is %s", runtime.GOOS)
	}
	if !isRoot() {
		return errors.New("a lab needs root: it mounts disks, makes network bridges and boots hosts")
	}
	var missing, packages []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.name); err != nil {
			missing = append(missing, t.name)
			packages = append(packages, t.pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a lab needs %s on this machine: apt-get install %s",
			strings.Join(missing, ", "), strings.Join(packages, " "))
	}
	if _, err := cgroupRoot(); err != nil {
		return fmt.Errorf("a lab needs a writable cgroup v2 hierarchy with cgroup.kill (Linux 5.14): %w", err)
	}
	if err := tryOverlay(); err != nil {
		return fmt.Errorf("a lab needs overlayfs, and this machine refuses to mount one: %w", err)
	}
	if err := tryBridge(); err != nil {
		return fmt.Errorf("a lab needs a network bridge, and this machine refuses to make one: %w", err)
	}
	return nil
}

// tryOverlay mounts one where the disks of the hosts will be.
func tryOverlay() error {
	if err := os.MkdirAll(stateRoot, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(stateRoot, ".preflight-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, sub := range []string{"lower", "upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	root := filepath.Join(dir, "root")
	if err := mountOverlay(dir+"/lower", dir+"/upper", dir+"/work", root); err != nil {
		return err
	}
	return unmount(root)
}
