package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// ownerVariable makes TestMain a process that owns a lab and waits to be killed.
const ownerVariable = "LAB_TEST_OWNER"

func TestMain(m *testing.M) {
	if name := os.Getenv(ownerVariable); name != "" {
		l, err := lab.Up(context.Background(), lab.Options{Name: name, Hosts: 1})
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		fmt.Println("up", l.Hosts()[0].Address())
		select {}
	}
	os.Exit(m.Run())
}

// TestLab goes through a lab's life on one set of hosts: each step leaves them as the next one needs them.
func TestLab(t *testing.T) {
	labtest.Full(t)
	const name = "selftest"
	l := labtest.Up(t, lab.Options{Name: name, Hosts: 3})
	ctx := t.Context()
	rmq1, rmq2, rmq3 := l.Host("rmq1"), l.Host("rmq2"), l.Host("rmq3")
	parts := partsOf(t, l)

	t.Run("every host has a cookie of its own", func(t *testing.T) {
		seen := map[string]string{}
		for _, h := range l.Hosts() {
			cookie := must(h.Cookie())(t)
			if other := seen[cookie]; other != "" || len(cookie) < 20 {
				t.Errorf("%s has cookie %q, %q has the same", h.Name(), cookie, other)
			}
			seen[cookie] = h.Name()
		}
	})

	t.Run("names resolve", func(t *testing.T) {
		out := must(rmq1.Run(ctx, "getent", "hosts", "rmq3"))(t)
		if !strings.HasPrefix(out, rmq3.Address()+" ") {
			t.Errorf("rmq3 on rmq1: %q", out)
		}
		if got := must(rmq2.Run(ctx, "hostname"))(t); got != "rmq2\n" {
			t.Errorf("hostname of rmq2: %q", got)
		}
	})

	t.Run("ssh lets all three users in, and sudo tells them apart", func(t *testing.T) {
		withPassword := "echo " + lab.Password + " | sudo -S -p '' id -un"
		for _, c := range []struct{ user, command, want string }{
			{lab.User, "sudo -n id -un", "root\n"},
			{lab.User, "sudo -n -u rabbitmq rabbitmqctl -q eval 'node().'", "rabbit@rmq1\n"},
			{lab.UserSudoPassword, "sudo -n id -un", ""},
			{lab.UserSudoPassword, withPassword, "root\n"},
			{lab.UserNoSudo, "id -un", "nosudo\n"},
			{lab.UserNoSudo, withPassword, ""},
		} {
			out, err := ssh(t, l, rmq1, c.user, c.command)
			if out != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%s: %s: %q, %v; want %q", c.user, c.command, out, err, c.want)
			}
		}
	})

	t.Run("a command has its own stdin, stdout, exit status and time", func(t *testing.T) {
		if got := must(rmq1.RunInput(ctx, strings.NewReader("spoken"), "cat"))(t); got != "spoken" {
			t.Errorf("stdin: %q", got)
		}
		_, err := rmq1.Run(ctx, "sh", "-c", "echo said; echo complained >&2; exit 7")
		var failed *lab.CommandError
		if !errors.As(err, &failed) || failed.ExitCode != 7 || failed.Stdout != "said\n" || failed.Stderr != "complained\n" {
			t.Errorf("got %#v", err)
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := rmq1.Run(short, "sleep", "987654"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a command past its time: %v", err)
		}
		if out, err := rmq1.Run(ctx, "pgrep", "-f", "sleep 987654"); err == nil {
			t.Errorf("it still runs: %s", out)
		}
		before := must(rmq1.CPUSeconds())(t)
		must(rmq1.Run(ctx, "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"))(t)
		if after := must(rmq1.CPUSeconds())(t); after-before < 0.1 {
			t.Errorf("a busy loop took %.2f CPU seconds", after-before)
		}
	})

	t.Run("a service that stops on one host runs on the others", func(t *testing.T) {
		ok(t, rmq1.StopBroker(ctx))
		for h, want := range map[*lab.Host]string{rmq1: "inactive", rmq2: "active", rmq3: "active"} {
			if got := must(h.BrokerState(ctx))(t); got != want {
				t.Errorf("%s: %s, want %s", h.Name(), got, want)
			}
		}
		ok(t, rmq1.StartBroker(ctx))
	})

	t.Run("sshd stops and starts", func(t *testing.T) {
		ok(t, rmq1.StopSSHD(ctx))
		if _, err := net.DialTimeout("tcp", rmq1.Address()+":22", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
		ok(t, rmq1.StartSSHD(ctx))
	})

	t.Run("a frozen host takes connections and says nothing", func(t *testing.T) {
		ok(t, rmq1.Freeze(ctx))
		if _, err := rmq1.Run(ctx, "true"); err == nil || !strings.Contains(err.Error(), "frozen") {
			t.Errorf("a command on it: %v", err)
		}
		if banner, err := greeting(rmq1); err == nil {
			t.Errorf("sshd of a frozen host said %q", banner)
		}
		ok(t, rmq1.Thaw(ctx))
		ok(t, eventually(ctx, func() error { _, err := greeting(rmq1); return err }))
	})

	t.Run("a cut cable cuts the host off", func(t *testing.T) {
		ok(t, rmq1.CutNetwork(ctx))
		if err := reach(ctx, rmq2, rmq1); err == nil {
			t.Error("rmq2 reaches rmq1")
		}
		must(rmq1.Run(ctx, "true"))(t)
		ok(t, rmq1.HealNetwork(ctx))
		ok(t, eventually(ctx, func() error { return reach(ctx, rmq2, rmq1) }))
	})

	t.Run("a partition splits hosts, not this machine from them", func(t *testing.T) {
		ok(t, l.Partition(ctx, []*lab.Host{rmq1, rmq2}, []*lab.Host{rmq3}))
		for _, c := range []struct {
			from, to *lab.Host
			want     bool
		}{{rmq1, rmq2, true}, {rmq1, rmq3, false}, {rmq3, rmq2, false}} {
			if err := reach(ctx, c.from, c.to); (err == nil) != c.want {
				t.Errorf("%s to %s: %v", c.from.Name(), c.to.Name(), err)
			}
		}
		if _, err := greeting(rmq3); err != nil {
			t.Error(err)
		}
		ok(t, rmq2.CutMachine(ctx))
		if _, err := greeting(rmq2); err == nil {
			t.Error("this machine reaches rmq2")
		}
		ok(t, reach(ctx, rmq1, rmq2))
		ok(t, l.Heal(ctx))
		ok(t, reach(ctx, rmq1, rmq3))
		ok(t, eventually(ctx, func() error { _, err := greeting(rmq2); return err }))
	})

	t.Run("a pulled plug keeps the disk", func(t *testing.T) {
		must(rmq3.Rabbitmqctl(ctx, "add_vhost", "kept"))(t)
		must(rmq3.Run(ctx, "touch", "/home/deploy/kept"))(t)
		cookie := must(rmq3.Cookie())(t)
		ok(t, rmq3.PullPlug(ctx))
		if rmq3.Running() {
			t.Error("it runs")
		}
		if _, err := rmq3.Run(ctx, "true"); err == nil {
			t.Error("a command runs on a host that is off")
		}
		ok(t, rmq3.Boot(ctx))
		ok(t, rmq3.WaitBroker(ctx))
		must(rmq3.Run(ctx, "ls", "/home/deploy/kept"))(t)
		if got := must(rmq3.Rabbitmqctl(ctx, "list_vhosts", "-q"))(t); !strings.Contains(got, "kept") {
			t.Errorf("vhosts: %q", got)
		}
		if got := must(rmq3.Cookie())(t); got != cookie {
			t.Errorf("cookie %q, was %q", got, cookie)
		}
	})

	t.Run("one cookie makes a cluster possible, a blank broker is out of it", func(t *testing.T) {
		ok(t, l.ShareCookie(ctx, "SHAREDSHAREDSHAREDSHARED"))
		must(rmq2.Rabbitmqctl(ctx, "stop_app"))(t)
		must(rmq2.Rabbitmqctl(ctx, "join_cluster", rmq1.NodeName()))(t)
		must(rmq2.Rabbitmqctl(ctx, "start_app"))(t)
		members := func(h *lab.Host) string { return must(h.Rabbitmqctl(ctx, "-q", "eval", "nodes()."))(t) }
		if got := members(rmq2); !strings.Contains(got, "rabbit@rmq1") {
			t.Errorf("rmq2 runs with %q", got)
		}
		ok(t, l.BlankAll(ctx))
		for _, h := range l.Hosts() {
			if got := members(h); strings.TrimSpace(got) != "[]" {
				t.Errorf("%s runs with %q", h.Name(), got)
			}
		}
		if got := must(rmq3.Rabbitmqctl(ctx, "list_vhosts", "-q"))(t); strings.Contains(got, "kept") {
			t.Errorf("vhosts of a blank broker: %q", got)
		}
		if got := must(rmq2.Cookie())(t); got != "SHAREDSHAREDSHAREDSHARED" {
			t.Errorf("cookie after blanking: %q", got)
		}
	})

	t.Run("a wiped host comes back blank at its old address", func(t *testing.T) {
		key, address := rmq3.HostKey(), rmq3.Address()
		must(rmq3.Run(ctx, "touch", "/home/deploy/kept"))(t)
		must(rmq3.Rabbitmqctl(ctx, "add_vhost", "lost"))(t)
		ok(t, rmq3.Wipe(ctx, lab.NewHostKey))
		ok(t, rmq3.Boot(ctx))
		ok(t, rmq3.WaitBroker(ctx))
		if rmq3.HostKey() == key || rmq3.Address() != address {
			t.Errorf("key or address wrong: %s %s", rmq3.HostKey(), rmq3.Address())
		}
		if _, err := rmq3.ReadFile("/home/deploy/kept"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is there: %v", err)
		}
		if got := must(rmq3.Rabbitmqctl(ctx, "list_vhosts", "-q"))(t); strings.Contains(got, "lost") {
			t.Errorf("vhosts: %q", got)
		}
		if out, err := ssh(t, l, rmq3, lab.User, "hostname"); out != "rmq3\n" || err != nil {
			t.Errorf("ssh with the new key: %q, %v", out, err)
		}
	})

	t.Run("a host joins the lab and leaves it", func(t *testing.T) {
		rogue := must(l.AddHost(ctx, lab.HostSpec{Name: "rogue"}))(t)
		parts = append(parts, partsOf(t, l)...)
		must(rmq1.Run(ctx, "getent", "hosts", "rogue"))(t)
		must(rogue.Run(ctx, "getent", "hosts", "rmq1"))(t)
		ok(t, l.RemoveHost(rogue))
		if _, err := rmq1.Run(ctx, "getent", "hosts", "rogue"); err == nil || l.Host("rogue") != nil {
			t.Error("rogue is still known")
		}
	})

	t.Run("a host powers off cleanly", func(t *testing.T) {
		ok(t, rmq2.Stop(ctx))
		if rmq2.Running() {
			t.Error("it runs")
		}
		ok(t, rmq2.Boot(ctx))
		ok(t, rmq2.WaitBroker(ctx))
	})

	t.Run("another process finds it and may not end it", func(t *testing.T) {
		seen := must(lab.Open(name))(t)
		if got := seen.Host("rmq2").Running(); !got {
			t.Error("rmq2 looks off")
		}
		if err := seen.Down(); err == nil {
			t.Error("it was taken down")
		}
		if _, err := lab.Up(ctx, lab.Options{Name: name}); err == nil || !strings.Contains(err.Error(), "is up") {
			t.Errorf("a second one of the name: %v", err)
		}
	})

	ok(t, l.Down())
	nothingLeft(t, parts)
}

// TestKilledOwner kills the process that owns a lab without warning.
func TestKilledOwner(t *testing.T) {
	labtest.Require(t)
	const name = "selftest-owner"
	owner := exec.Command("/proc/self/exe", "-test.run=^$")
	owner.Env = append(os.Environ(), ownerVariable+"="+name)
	out := must(owner.StdoutPipe())(t)
	ok(t, owner.Start())
	said := bufio.NewScanner(out)
	said.Scan()
	if !strings.HasPrefix(said.Text(), "up ") {
		t.Fatalf("the owner said %q", said.Text())
	}
	parts := partsOf(t, must(lab.Open(name))(t))
	ok(t, owner.Process.Kill())
	_ = owner.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	ok(t, eventually(ctx, func() error {
		if left := leftOf(parts); len(left) > 0 {
			return errors.New(strings.Join(left, ", "))
		}
		return nil
	}))
	nothingLeft(t, parts)
}

// TestNoHalfImage takes two processes' place that want the same image at once, with a builder that is called off.
func TestNoHalfImage(t *testing.T) {
	labtest.Require(t)
	t.Setenv("RABBITMQ_LAB_CACHE", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var said heard
	said.when("Retrieving", cancel)
	if _, err := lab.Image(ctx, lab.V3_10, &said); !errors.Is(err, context.Canceled) {
		t.Errorf("an image that was called off: %v", err)
	}
	entries := must(os.ReadDir(os.Getenv("RABBITMQ_LAB_CACHE")))(t)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// heard is a progress writer that calls back at a word.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
	word string
	call func()
}

func (h *heard) when(word string, call func()) { h.word, h.call = word, call }

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.text.Write(p); strings.Contains(h.text.String(), h.word) {
		h.call()
	}
	return len(p), nil
}

// partsOf lists what a lab has on this machine: bridge, cables, namespaces, mounts, cgroups, directories, processes.
func partsOf(t *testing.T, l *lab.Lab) []string {
	t.Helper()
	link := must(bridgeOf(l.MachineAddress()))(t)
	parts := []string{"link " + link, "route " + strings.TrimSuffix(l.MachineAddress(), ".1") + ".0/24"}
	for _, pattern := range []string{
		"/sys/class/net/" + link + "h*", "/run/netns/" + link + "-*", "/run/systemd/nspawn/*/" + link + "-*",
		"/sys/fs/cgroup/" + link, "/sys/fs/cgroup/*/" + link, filepath.Dir(l.PrivateKeyFile()) + "*",
	} {
		found, _ := filepath.Glob(pattern)
		for _, file := range found {
			parts = append(parts, "file "+file)
		}
	}
	for _, kind := range []string{"/sys/class/net/", "/run/netns/", "/sys/fs/cgroup/", "/var/lib/rabbitmq-lab/"} {
		if !strings.Contains(strings.Join(parts, "\n"), kind) {
			t.Fatalf("found no part of the lab in %s: %q", kind, parts)
		}
	}
	hosts := 0
	for _, pid := range processes(link) {
		parts = append(parts, "process "+strconv.Itoa(pid))
		hosts++
	}
	if hosts == 0 {
		t.Fatal("found no process of the lab")
	}
	return parts
}

func bridgeOf(address string) (string, error) {
	links, err := net.Interfaces()
	for _, link := range links {
		addresses, _ := link.Addrs()
		for _, a := range addresses {
			if strings.HasPrefix(a.String(), address+"/") {
				return link.Name, nil
			}
		}
	}
	return "", errors.Join(err, fmt.Errorf("no interface has %s", address))
}

// processes lists those whose cgroup is the lab's.
func processes(cgroup string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "/"+cgroup+"/") {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// leftOf lists the parts that are still there.
func leftOf(parts []string) []string {
	mounts, _ := os.ReadFile("/proc/mounts")
	routes, _ := exec.Command("ip", "route").Output()
	var left []string
	for _, part := range parts {
		kind, what, _ := strings.Cut(part, " ")
		there := false
		switch kind {
		case "file":
			_, err := os.Lstat(what)
			there = err == nil || strings.Contains(string(mounts), " "+what+"/")
		case "link":
			_, err := net.InterfaceByName(what)
			there = err == nil
		case "route":
			there = strings.Contains(string(routes), what)
		case "process":
			// A dead one that its parent has not asked about is dead.
			status, err := os.ReadFile("/proc/" + what + "/status")
			there = err == nil && !strings.Contains(string(status), "State:\tZ")
		}
		if there {
			left = append(left, part)
		}
	}
	return left
}

func nothingLeft(t *testing.T, parts []string) {
	t.Helper()
	for _, part := range leftOf(parts) {
		t.Errorf("left behind: %s", part)
	}
}

func ssh(t *testing.T, l *lab.Lab, h *lab.Host, user, command string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-n", "-p", strconv.Itoa(h.SSHPort()), "-i", l.PrivateKeyFile(),
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile="+l.KnownHostsFile(), user+"@"+h.Address(), command)
	out, err := cmd.Output()
	return string(out), err
}

// greeting is what sshd says first, to this machine.
func greeting(h *lab.Host) (string, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address(), strconv.Itoa(h.SSHPort())), time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return line, err
}

// reach opens a TCP connection from one host to another's broker.
func reach(ctx context.Context, from, to *lab.Host) error {
	_, err := from.Run(ctx, "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+to.Name()+"/5672")
	return err
}

func eventually(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		ok(t, err)
		return v
	}
}
