//go:build linux

package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// sesameHash is sesame as /etc/shadow has it.
const sesameHash = "$6$labsalt$.Yi6KBz8/krVmNyEtEEnG.mL/sp1x8iWIlD7VTes5pCpnFzkmSh0scGDyn9cqIeXgktIM.Cpy7UlPWduu9p00/"

// TestOnRealHost goes through a real sshd, real login shells and a real sudo.
func TestOnRealHost(t *testing.T) {
	sshtest.Require(t, append(shells, "sudo", "doas")...)
	config := sshtest.SSHD{
		Accounts: []sshtest.Account{
			{Name: "rabbitmq", Shell: "/usr/sbin/nologin"}, {Name: "stranger", Shell: "/bin/bash"}, {Name: "asked", Shell: "/bin/bash"},
			{Name: "limited", Shell: "/bin/bash"}, {Name: "tty", Shell: "/bin/bash"}, {Name: "forbidden", Shell: "/bin/bash"},
			{Name: "noisy", Shell: "/bin/bash", Files: map[string]string{".bashrc": "echo Welcome\n"}},
			{Name: "typist", Shell: "/bin/bash", Hash: sesameHash}, {Name: "viaroot", Shell: "/bin/bash"}, {Name: "doer", Shell: "/bin/bash"}, {Name: "doubtful", Shell: "/bin/bash"},
			{Name: "muttering", Shell: "/bin/bash", Files: map[string]string{".bashrc": "echo mumble >&2\n"}},
		},
		Sudoers: []string{
			"asked ALL=(ALL) ALL", "typist ALL=(ALL) ALL", "viaroot ALL=(root) NOPASSWD: ALL", "limited ALL=(rabbitmq) NOPASSWD: /usr/bin/id -un", "tty ALL=(ALL) NOPASSWD: ALL", "Defaults:tty requiretty",
			"forbidden ALL=(rabbitmq) /usr/bin/id", "Defaults:forbidden !authenticate", "muttering ALL=(ALL) NOPASSWD: ALL",
		},
	}
	config.Doas = []string{"permit nopass doer as rabbitmq", "permit doubtful as rabbitmq"}
	for _, shell := range shells {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Fatal(err)
		}
		config.Accounts = append(config.Accounts, sshtest.Account{Name: "via-" + shell, Shell: path})
		config.Sudoers = append(config.Sudoers, "via-"+shell+" ALL=(ALL) NOPASSWD: ALL")
	}
	server := config.Start(t)
	pool := ssh.NewPool(ssh.Options{})
	t.Cleanup(func() { _ = pool.Close() })
	with := func(user string, port int, o Options) *Host {
		o.Become = true
		return New(pool.Host(ssh.Config{
			Host: "127.0.0.1", Port: port, User: user, PrivateKey: ssh.Secret(server.PrivateKey), HostKey: server.HostKeys, KnownHostsFiles: []string{filepath.Join(server.Dir, "none")},
		}), "rmq1", o)
	}
	at := func(user string, port int) *Host { return with(user, port, Options{}) }
	login := func(user string) *Host { return at(user, server.Port) }

	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			h := login("via-" + shell)
			ctx := testContext(t)
			odd := []string{"", "it's", `"\!$(id)`, "a\nb", "é", "-n", "*"}
			for _, user := range []string{"", "via-" + shell, "root", "rabbitmq"} {
				is := user
				if is == "" {
					is = "via-" + shell
				}
				out := succeed(t, h, Command{Args: append([]string{"sh", "-c", `id -un; echo "$HOME $LC_ALL"; command -v runuser; printf '<%s>' "$@"; cat`, "sh"}, odd...), User: user, Stdin: NewSecret("input")})
				home := map[string]string{"root": "/root"}[is]
				if home == "" {
					home = filepath.Join(server.Home, is)
				}
				if want := is + "\n" + home + " C.UTF-8\n/usr/sbin/runuser\n<" + strings.Join(odd, "><") + ">input"; out != want {
					t.Errorf("as %q: %q, want %q", user, out, want)
				}
			}
			result, err := h.Script(ctx, "rabbitmq", "id -un\nexit 5", odd...)
			if err != nil || result.ExitCode != 5 || string(result.Stdout) != "rabbitmq\n" {
				t.Errorf("%+v %v", result, err)
			}
			_, err = h.Run(ctx, Command{Args: []string{"no-such-program"}, User: "rabbitmq"})
			as[*CommandNotFoundError](t, err)
			_, err = h.Run(ctx, Command{Args: []string{"id"}, User: "no-such-user"})
			if got := as[*SudoError](t, err); got.Kind != SudoUnknownUser {
				t.Errorf("%+v", got)
			}
			if result, err := h.Run(ctx, Command{Args: []string{"false"}, User: "root"}); err != nil || result.ExitCode != 1 {
				t.Errorf("a program's own failure: %+v %v", result, err)
			}

			cookie := filepath.Join(server.Home, "rabbitmq", ".erlang "+shell+"'s \\!cookie")
			for _, content := range []string{"FIRST", "SECOND\n"} {
				if err := h.WriteFile(ctx, "root", File{Path: cookie, Content: NewSecret(content), Mode: 0o400, Owner: "rabbitmq", Group: "rabbitmq"}); err != nil {
					t.Fatal(err)
				}
				f, err := h.ReadFile(ctx, "rabbitmq", cookie, 100)
				if err != nil || string(f.Content.Reveal()) != content || f.Mode != 0o400 || f.Owner != "rabbitmq" || f.Group != "rabbitmq" {
					t.Errorf("%+v %v", f, err)
				}
			}
			if _, err := h.ReadFile(ctx, "", cookie, 100); !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("somebody else's cookie: %v", err)
			}
			if _, err := h.ReadFile(ctx, "", "/root/.cookie", 100); !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a file in a directory that is closed to us: %v", err)
			}
			if err := h.WriteFile(ctx, "", File{Path: "/etc/x", Content: NewSecret("x"), Mode: 0o644}); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%v", err)
			}
		})
	}

	for user, kind := range map[string]SudoKind{"stranger": SudoPasswordRequired, "asked": SudoPasswordRequired, "limited": SudoPasswordRequired, "forbidden": SudoNotPermitted, "tty": SudoTTYRequired} {
		_, err := login(user).Run(testContext(t), Command{Args: []string{"/usr/bin/true"}, User: "rabbitmq"})
		if got := as[*SudoError](t, err); got.Kind != kind {
			t.Errorf("%s: %+v", user, got)
		}
		contains(t, err.Error(), user, "rmq1", "rabbitmq")
	}
	if got := succeed(t, login("limited"), Command{Args: []string{"id", "-un"}, User: "rabbitmq"}); got != "rabbitmq" {
		t.Errorf("what the sudoers file lists should run: %q", got)
	}
	if got := succeed(t, login("muttering"), Command{Args: []string{"id", "-un"}, User: "rabbitmq"}); got != "rabbitmq" {
		t.Errorf("a shell that writes to stderr only: %q", got)
	}
	_, err := login("noisy").Run(testContext(t), Command{Args: []string{"true"}})
	contains(t, as[*NoisyShellError](t, err).Error(), "the login shell of noisy on rmq1 prints on non-interactive sessions", "Welcome")

	t.Run("a password for those who ask", func(t *testing.T) {
		password := Options{BecomePassword: NewSecret(sesame)}
		// What the host shows everybody while the command runs, and what the command gets.
		watch := Command{Args: []string{"sh", "-c", `cat; id -un; ps axeww -o args=`, "it's a mark!"}, User: "rabbitmq", Stdin: NewSecret("payload\n")}
		for _, user := range []string{"typist", "via-fish", "via-tcsh"} { // the latter two are not asked
			for range 2 {
				got := succeed(t, with(user, server.Port, password), watch)
				if !strings.HasPrefix(got, "payload\nrabbitmq\n") || !strings.Contains(got, "it's a mark!") || strings.Contains(got, sesame) {
					t.Errorf("%s: %s", user, got)
				}
			}
		}
		h := with("typist", server.Port, password)
		file := filepath.Join(server.Home, "rabbitmq", "by typist")
		if err := h.WriteFile(testContext(t), "root", File{Path: file, Content: NewSecret("x!\n"), Mode: 0o400, Owner: "rabbitmq"}); err != nil {
			t.Fatal(err)
		}
		if f, err := h.ReadFile(testContext(t), "rabbitmq", file, 100); err != nil || string(f.Content.Reveal()) != "x!\n" {
			t.Errorf("%v", err)
		}
		_, err := h.Run(testContext(t), Command{Args: []string{"no-such-program"}, User: "rabbitmq"})
		as[*CommandNotFoundError](t, err)
		_, err = with("typist", server.Port, Options{BecomePassword: NewSecret("wrong")}).Run(testContext(t), watch)
		if got := as[*SudoError](t, err); got.Kind != SudoPasswordWrong {
			t.Errorf("%+v", got)
		}
	})
	t.Run("root, and no further", func(t *testing.T) {
		const who = `id -un; echo "$HOME $LC_ALL"; cat`
		h := with("viaroot", server.Port, Options{BecomeUser: "root"})
		if got, want := succeed(t, h, Command{Args: []string{"sh", "-c", who}, User: "rabbitmq", Stdin: NewSecret("x")}), "rabbitmq\n"+filepath.Join(server.Home, "rabbitmq")+" C.UTF-8\nx"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := succeed(t, h, Command{Args: []string{"id", "-un"}, User: "root"}); got != "root" {
			t.Errorf("%q", got)
		}
		_, err := login("viaroot").Run(testContext(t), Command{Args: []string{"id"}, User: "rabbitmq"})
		as[*SudoError](t, err)
		h = with("typist", server.Port, Options{BecomeUser: "root", BecomePassword: NewSecret(sesame)})
		if got := succeed(t, h, Command{Args: []string{"sh", "-c", who}, User: "rabbitmq", Stdin: NewSecret("x")}); !strings.HasPrefix(got, "rabbitmq\n") || !strings.HasSuffix(got, "\nx") {
			t.Errorf("%q", got)
		}
	})
	t.Run("doas", func(t *testing.T) {
		doas := func(user string) *Host { return with(user, server.Port, Options{BecomeMethod: Doas}) }
		h := doas("doer")
		if got := succeed(t, h, Command{Args: []string{"sh", "-c", `id -un; echo "$HOME"; command -v runuser >/dev/null && cat`}, User: "rabbitmq", Stdin: NewSecret("x")}); got != "rabbitmq\n"+filepath.Join(server.Home, "rabbitmq")+"\nx" {
			t.Errorf("%q", got)
		}
		for _, c := range []struct {
			user, as string
			kind     SudoKind
		}{{"doer", "root", SudoNotPermitted}, {"stranger", "rabbitmq", SudoNotPermitted}, {"doubtful", "rabbitmq", SudoPasswordRequired}, {"doer", "no-such-user", SudoUnknownUser}} {
			_, err := doas(c.user).Run(testContext(t), Command{Args: []string{"id"}, User: c.as})
			if got := as[*SudoError](t, err); got.Kind != c.kind {
				t.Errorf("%+v: %+v", c, got)
			}
		}
		_, err := h.Run(testContext(t), Command{Args: []string{"no-such-program"}, User: "rabbitmq"})
		as[*CommandNotFoundError](t, err)
	})

	t.Run("a broken upload installs nothing", func(t *testing.T) {
		path := filepath.Join(server.Home, "via-bash", "upload")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		proxy := sshtest.NewProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
		h := at("via-bash", proxy.Port())
		succeed(t, h, Command{Args: []string{"true"}})
		proxy.CutAfter(300_000)
		err := h.WriteFile(testContext(t), "root", File{Path: path, Content: NewSecret(strings.Repeat("x", 1<<20)), Mode: 0o600})
		if lost := as[*ssh.ConnectionLostError](t, err); !lost.Started {
			t.Error("it had started")
		}
		waitUntil(t, func() bool { // the script ends by itself, a moment later
			entries, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".tmp*"))
			return err == nil && len(entries) == 0
		})
		if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
			t.Errorf("%d bytes are there now: %v", len(text), err)
		}
		if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 { //nolint:forcetypeassert // on Linux it is
			t.Errorf("%v %v", info, err)
		}
	})
}
