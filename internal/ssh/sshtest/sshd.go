//go:build unix

package sshtest

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Account is a user of a real sshd that exists only there.
type Account struct {
	Name  string
	Shell string            // a program's path
	Files map[string]string // in the home directory
	Hash  string            // of the password, as in /etc/shadow; empty: none fits
}

// SSHD configures a real sshd.
type SSHD struct {
	// Settings are lines of sshd_config.
	Settings []string
	// Accounts need root and a mount namespace: the server gets an /etc of its own. Without any, the test's own user
	// logs in.
	Accounts []Account
	// Sudoers are lines of a file in that /etc's sudoers.d.
	Sudoers []string
	// Doas are lines of that /etc's doas.conf.
	Doas []string
	// HostKeyTypes are ssh-keygen's names. Default: ed25519.
	HostKeyTypes []string
}

// RealServer is a running sshd.
type RealServer struct {
	Port       int
	User       string   // the test's own user
	PrivateKey string   // lets every account in
	HostKeys   []string // public keys as authorized_keys lines
	Dir        string   // its files: host_ed25519, authorized_keys, ...
	Home       string   // the accounts' home directories are in here
}

// Start runs the server on a loopback port until the test ends.
func (c SSHD) Start(t testing.TB) *RealServer {
	t.Helper()
	binary := "/usr/sbin/sshd" // it insists on its full path
	Require(t, binary, "ssh-keygen")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sshd") // not t.TempDir: other accounts must be able to enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755)) //nolint:gosec // G302: see above
	s := &RealServer{User: me.Username, Dir: dir, Home: filepath.Join(dir, "home")}
	key, public := NewPrivateKey(t, "")
	s.PrivateKey = key
	write(t, filepath.Join(dir, "authorized_keys"), Line(public)+"\n", 0o644)

	lines := []string{
		"UsePAM no", "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PrintMotd no", "PrintLastLog no",
		"AuthorizedKeysFile " + filepath.Join(dir, "authorized_keys"), "PidFile none", "LogLevel VERBOSE",
	}
	types := c.HostKeyTypes
	if types == nil {
		types = []string{"ed25519"}
	}
	for _, typ := range types {
		path := filepath.Join(dir, "host_"+typ)
		output(t, "ssh-keygen", "-q", "-t", typ, "-N", "", "-f", path)
		lines = append(lines, "HostKey "+path)
		line, err := os.ReadFile(path + ".pub")
		must(t, err)
		s.HostKeys = append(s.HostKeys, strings.TrimSpace(string(line)))
	}
	config := filepath.Join(dir, "sshd_config")
	write(t, config, strings.Join(append(c.Settings, lines...), "\n")+"\n", 0o644) // the first value of a setting counts

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	s.Port, err = strconv.Atoi(port)
	must(t, err)
	must(t, listener.Close())

	command := []string{binary, "-D", "-e", "-f", config, "-o", "ListenAddress=127.0.0.1", "-p", port}
	if os.Getuid() == 0 {
		must(t, os.MkdirAll("/run/sshd", 0o755)) //nolint:gosec // G301: sshd's own directory, made by its unit
	}
	if len(c.Accounts) > 0 {
		command = append(c.ownEtc(t, s), command...)
	}
	s.run(t, command)
	return s
}

// ownEtc prepares an /etc with the accounts, and gives the command that puts it in place for what it runs.
func (c SSHD) ownEtc(t testing.TB, s *RealServer) []string {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "needs root, to give a server accounts of its own")
	}
	Require(t, "unshare", "mount")
	etc := filepath.Join(s.Dir, "etc")
	output(t, "cp", "-a", "/etc", etc)
	must(t, os.Mkdir(s.Home, 0o755)) //nolint:gosec // G301: home directories are entered by their owners
	var passwd, shadow, group strings.Builder
	for i, a := range c.Accounts {
		id := 60001 + i
		home := filepath.Join(s.Home, a.Name)
		must(t, os.Mkdir(home, 0o755)) //nolint:gosec // G301: as above
		must(t, os.Chown(home, id, id))
		for name, content := range a.Files {
			path := filepath.Join(home, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755)) //nolint:gosec // G301: as above
			write(t, path, content, 0o644)
		}
		fmt.Fprintf(&passwd, "%s:x:%d:%d::%s:%s\n", a.Name, id, id, home, a.Shell)
		fmt.Fprintf(&shadow, "%s:%s:19000:0:99999:7:::\n", a.Name, cmp.Or(a.Hash, "*"))
		fmt.Fprintf(&group, "%s:x:%d:\n", a.Name, id)
	}
	add(t, filepath.Join(etc, "passwd"), passwd.String())
	add(t, filepath.Join(etc, "shadow"), shadow.String())
	add(t, filepath.Join(etc, "group"), group.String())
	if len(c.Sudoers) > 0 {
		Require(t, "sudo")
		write(t, filepath.Join(etc, "sudoers.d", "test"), strings.Join(c.Sudoers, "\n")+"\n", 0o440)
		output(t, "visudo", "-c", "-q", "-f", filepath.Join(etc, "sudoers.d", "test"))
	}
	if len(c.Doas) > 0 {
		Require(t, "doas")
		write(t, filepath.Join(etc, "doas.conf"), strings.Join(c.Doas, "\n")+"\n", 0o400)
		output(t, "doas", "-C", filepath.Join(etc, "doas.conf"))
	}
	check := exec.Command("unshare", "-m", "mount", "--bind", etc, "/etc")
	if text, err := check.CombinedOutput(); err != nil {
		Missing(t, "cannot give a server an /etc of its own: %v: %s", err, text)
	}
	return []string{"unshare", "-m", "/bin/sh", "-c", `mount --bind "$0" /etc && exec "$@"`, etc}
}

// run starts the server and waits until it says that it listens.
func (s *RealServer) run(t testing.TB, command []string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // G204: a test's own command
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	var log strings.Builder
	var mu sync.Mutex
	listening, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		told := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			mu.Lock()
			log.WriteString(lines.Text() + "\n")
			mu.Unlock()
			if !told && strings.HasPrefix(lines.Text(), "Server listening on") {
				told = true
				close(listening)
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = stderr.Close() // what outlives the server may keep it open
		<-ended
		_ = cmd.Wait()
		if t.Failed() {
			mu.Lock()
			defer mu.Unlock()
			t.Logf("sshd: %s", log.String())
		}
	})
	select {
	case <-listening:
	case <-ended:
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("sshd did not start: %s", log.String())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), mode))
}

func add(t testing.TB, path, content string) {
	t.Helper()
	old, err := os.ReadFile(path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	write(t, path, string(old)+content, info.Mode().Perm())
}

func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	text, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, text)
	}
	return string(text)
}
