//go:build linux

package remote

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// Two runs, each with its own connections, at a real sshd that allows one session to a connection.
func TestLockExcludesOthersUntilItsHolderIsGone(t *testing.T) {
	sshtest.Require(t, "flock")
	server := sshtest.SSHD{Settings: []string{"MaxSessions 1"}}.Start(t)
	run := func() (*Host, *ssh.Pool) {
		pool := ssh.NewPool(ssh.Options{})
		t.Cleanup(func() { _ = pool.Close() })
		config := ssh.Config{
			Host: "127.0.0.1", Port: server.Port, User: server.User, PrivateKey: ssh.Secret(server.PrivateKey), HostKey: server.HostKeys,
			KnownHostsFiles: []string{filepath.Join(server.Dir, "none")},
		}
		lasting := config
		lasting.Purpose = "lock"
		return New(pool.Host(config), "rmq1", Options{Lasting: pool.Host(lasting)}), pool
	}
	one, connections := run()
	other, _ := run()
	directory := t.TempDir()
	ctx := testContext(t)

	lock, err := one.lock(ctx, directory, "by root@ci, since noon")
	if err != nil {
		t.Fatal(err)
	}
	if got := succeed(t, one, Command{Args: []string{"echo", "works"}}); got != "works" {
		t.Errorf("beside the lock a command prints %q", got)
	}
	for range 2 {
		_, err = other.lock(ctx, directory, "by root@elsewhere")
		held := as[*LockedError](t, err)
		if !strings.HasPrefix(held.Holder, "by root@ci, since noon, as process ") || held.Host != "rmq1" {
			t.Errorf("%+v", held)
		}
		words := strings.Fields(held.Holder)
		pid, err := strconv.Atoi(words[len(words)-4])
		if err != nil {
			t.Fatal(err)
		}
		if argv, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err != nil || !strings.Contains(string(argv), "rabbitmq-topology-holds") {
			t.Errorf("process %d is %q, %v", pid, argv, err)
		}
	}
	if !lock.Held() {
		t.Error("asking for it took it away")
	}

	lock.Release()
	if lock.Held() {
		t.Error("it is held after its release")
	}
	second, err := other.lock(ctx, directory, "by root@elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	second.Release()

	lock, err = one.lock(ctx, directory, "by root@ci")
	if err != nil {
		t.Fatal(err)
	}
	_ = connections.Close() // as when the process is killed
	waitUntil(t, func() bool { return !lock.Held() })
	waitUntil(t, func() bool {
		second, err = other.lock(ctx, directory, "by root@elsewhere")
		if held := new(LockedError); err != nil && !errors.As(err, &held) {
			t.Fatal(err)
		}
		return err == nil
	})
	second.Release()
}

func TestLockIsReleasedWithoutItsHoldersWord(t *testing.T) {
	sshtest.Require(t, "flock")
	directory := t.TempDir()
	// The host gives up a holder that says nothing for its limit, which is far shorter here.
	impatient := local("/bin/sh")
	h := New(runnerFunc(func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
		return impatient(ctx, strings.Replace(line, "timeout "+lockLimit, "timeout 0.2", 1), stdin, stdout, stderr)
	}), "rmq1", Options{})
	lock, err := h.lock(testContext(t), directory, "by root@ci")
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool {
		second, err := New(local("/bin/sh"), "rmq1", Options{}).lock(testContext(t), directory, "by root@elsewhere")
		if err == nil {
			second.Release()
		}
		return err == nil
	})
	lock.Release()
}

func TestLockWithoutFlock(t *testing.T) {
	h := New(local("/bin/sh", "PATH=/nowhere"), "rmq1", Options{})
	_, err := h.Lock(testContext(t), "by root@ci")
	if got := as[*NoFlockError](t, err); got.Host != "rmq1" {
		t.Errorf("%+v", got)
	}
}
