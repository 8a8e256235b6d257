package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// hasDisk tells whether the disk is laid: an overlay is mounted at root.
func (h *Host) hasDisk() bool {
	_, err := os.Stat(filepath.Join(h.root(), "etc/hostname"))
	return err == nil
}

// KeyChoice says whether a wiped host comes back with its old SSH host key.
type KeyChoice bool

// What a reinstalled host answers SSH with.
const (
	KeepHostKey KeyChoice = false
	NewHostKey  KeyChoice = true
)

// layDisk mounts a blank disk over the base image and writes on it what makes the host itself.
func (h *Host) layDisk(ctx context.Context, key KeyChoice) error {
	for _, dir := range []string{"upper", "work", "root", "tmp"} {
		if err := os.MkdirAll(filepath.Join(h.dir(), dir), 0o755); err != nil {
			return err
		}
	}
	err := mountOverlay(h.image, filepath.Join(h.dir(), "upper"), filepath.Join(h.dir(), "work"), h.root())
	if err != nil {
		return fmt.Errorf("unable to mount the disk of %s: %w", h.name, err)
	}
	if key == NewHostKey {
		for _, file := range []string{h.hostKeyFile(), h.hostKeyFile() + ".pub"} {
			if err := ignore(os.Remove(file), fs.ErrNotExist); err != nil {
				return err
			}
		}
		if _, err := machine(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", h.name, "-f", h.hostKeyFile()); err != nil {
			return err
		}
	}

	hostKey, err1 := os.ReadFile(h.hostKeyFile())
	hostKeyPublic, err2 := os.ReadFile(h.hostKeyFile() + ".pub")
	userKey, err3 := os.ReadFile(h.lab.PrivateKeyFile() + ".pub")
	names, err4 := h.lab.names()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	// An id of its own, not an empty file: with that systemd takes the boot for the first one ever and presets all units.
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	files := []struct {
		path, content string
		mode          fs.FileMode
		owner         string
	}{
		{"/etc/hostname", h.name + "\n", 0o644, "root"},
		{"/etc/hosts", string(names), 0o644, "root"},
		{"/etc/machine-id", hex.EncodeToString(id) + "\n", 0o444, "root"},
		{"/etc/ssh/ssh_host_ed25519_key", string(hostKey), 0o600, "root"},
		{"/etc/ssh/ssh_host_ed25519_key.pub", string(hostKeyPublic), 0o644, "root"},
		{"/home/" + User + "/.ssh/authorized_keys", string(userKey), 0o600, User},
		{"/home/" + UserSudoPassword + "/.ssh/authorized_keys", string(userKey), 0o600, UserSudoPassword},
		{"/home/" + UserNoSudo + "/.ssh/authorized_keys", string(userKey), 0o600, UserNoSudo},
	}
	for _, f := range files {
		if err := h.WriteFile(f.path, []byte(f.content), f.mode, f.owner); err != nil {
			return err
		}
	}
	if err := h.writeSettings(); err != nil {
		return err
	}
	return h.SetCookie(h.cookie)
}

// writeSettings writes settings, also into the copy that BlankBroker goes back to.
func (h *Host) writeSettings() error {
	settings := h.settings()
	if settings == "" {
		return nil
	}
	for _, dir := range []string{"/etc/rabbitmq", "/usr/share/lab/etc-rabbitmq"} {
		text, err := h.ReadFile(dir + "/rabbitmq-env.conf")
		if err != nil {
			return err
		}
		if err := h.WriteFile(dir+"/rabbitmq-env.conf", append(text, settings...), 0o644, "root"); err != nil {
			return err
		}
		if !h.ipv6 {
			continue
		}
		if err := h.WriteFile(filepath.Join(dir, filepath.Base(inetrc)), []byte("{inet6, true}.\n"), 0o644, "root"); err != nil {
			return err
		}
	}
	return nil
}

// WriteFile writes a file on the host's disk, whether the host runs or not, without a process on the host. The file
// gets this mode and the owner of that name, with the owner's own group.
func (h *Host) WriteFile(path string, content []byte, mode fs.FileMode, owner string) error {
	root, err := os.OpenRoot(h.root())
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	uid, gid, err := lookupUser(root, owner)
	if err != nil {
		return err
	}
	path = strings.TrimPrefix(path, "/")
	// Made anew beside the old file and renamed: a reader sees the old one or the new one.
	fresh := path + ".lab-new"
	if err := root.WriteFile(fresh, content, 0o600); err != nil {
		return err
	}
	if err := errors.Join(root.Chown(fresh, uid, gid), root.Chmod(fresh, mode)); err != nil {
		return err
	}
	return root.Rename(fresh, path)
}

// ReadFile reads a file from the host's disk, whether the host runs or not.
func (h *Host) ReadFile(path string) ([]byte, error) {
	root, err := os.OpenRoot(h.root())
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.ReadFile(strings.TrimPrefix(path, "/"))
}

func lookupUser(root *os.Root, name string) (uid, gid int, err error) {
	if name == "root" {
		return 0, 0, nil
	}
	text, err := root.ReadFile("etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 3 && f[0] == name {
			uid, err1 := strconv.Atoi(f[2])
			gid, err2 := strconv.Atoi(f[3])
			return uid, gid, errors.Join(err1, err2)
		}
	}
	return 0, 0, fmt.Errorf("no user %s on this host", name)
}
