package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	s := NewSecret("s3cret")
	if string(s.Reveal()) != "s3cret" || s.Len() != 6 || s.IsZero() || !NewSecret([]byte(nil)).IsZero() {
		t.Error("does not hold what it was given")
	}
	f, c := File{Path: "/x", Content: s}, Command{Args: []string{"cat"}, Stdin: s}
	text, err := json.Marshal([]any{s, f, c, &s, map[string]Secret{"x": s}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "a", s, "b", f, "c", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", s, "b", f, "c", c)
	all := string(text) + log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b"} {
		all += fmt.Sprintf(verb+verb+verb+verb, s, f, c, []Secret{s})
	}
	for _, form := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), fmt.Sprintf("%X", "s3cret"), "115 51", "czNjcmV0"} {
		if strings.Contains(all, form) {
			t.Errorf("%q shows in %s", form, all)
		}
	}
}

func TestRunOnThisMachine(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			sshtest.Require(t, shell)
			h := New(local(shell), "here", Options{})
			result, err := h.Run(testContext(t), Command{
				Args: []string{"sh", "-c", `cat; echo "$0|$LC_ALL|$1" >&2; exit 9`, "it's", "a\nb!\\"}, Stdin: NewSecret("in\x00put\n"),
			})
			if err != nil || result.ExitCode != 9 || string(result.Stdout) != "in\x00put\n" || string(result.Stderr) != "it's|C.UTF-8|a\nb!\\\n" {
				t.Errorf("%+v %v", result, err)
			}
			if got := succeed(t, h, Command{Args: []string{"cat"}}); got != "" { // an empty input ends at once
				t.Errorf("%q", got)
			}
			_, err = h.Run(testContext(t), Command{Args: []string{"no-such-program", "x"}})
			if got := as[*CommandNotFoundError](t, err); got.Program != "no-such-program" || got.Host != "here" {
				t.Errorf("%+v", got)
			}
			if result, err := h.Run(testContext(t), Command{Args: []string{"sh", "-c", "exit 127"}}); err != nil || result.ExitCode != 127 {
				t.Errorf("a program's own 127: %+v %v", result, err)
			}
		})
	}
}

func TestSystemProgramsAreFound(t *testing.T) {
	h := New(local("/bin/sh", "PATH=/usr/bin:/bin"), "here", Options{})
	if got := succeed(t, h, Command{Args: []string{"sh", "-c", "echo $PATH"}}); !strings.HasSuffix(got, ":/usr/sbin:/sbin") {
		t.Errorf("PATH is %s", got)
	}
}

func TestArgumentsThatCannotBe(t *testing.T) {
	h := New(answers(says("", 0)), "rmq1", Options{})
	for _, args := range [][]string{nil, {""}, {"a", "b\x00"}} {
		if _, err := h.Run(testContext(t), Command{Args: args}); err == nil {
			t.Errorf("%q ran", args)
		}
	}
}

func TestRootLoginWithoutSudoUsesOtherAccounts(t *testing.T) {
	if os.Getuid() != 0 {
		sshtest.Missing(t, "needs root")
	}
	bin, err := os.MkdirTemp("", "bin") // not t.TempDir: the other account must see into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	if err := os.Chmod(bin, 0o755); err != nil { //nolint:gosec // G302: see above
		t.Fatal(err)
	}
	for _, program := range []string{"env", "id", "sh", "getent", "cut", "runuser", "cat"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	h := New(local("/bin/sh", "PATH="+bin, "HOME=/root"), "here", Options{})
	if got := succeed(t, h, Command{Args: []string{"sh", "-c", `id -un; echo "$HOME $LC_ALL"; cat`}, User: "nobody", Stdin: NewSecret("x")}); got != "nobody\n/nonexistent C.UTF-8\nx" {
		t.Errorf("%q", got)
	}
	_, err = h.Run(testContext(t), Command{Args: []string{"id"}, User: "no-such-user"})
	if got := as[*SudoError](t, err); got.Kind != SudoUnknownUser {
		t.Errorf("%+v", got)
	}
	_, err = h.Run(testContext(t), Command{Args: []string{"no-such-program"}, User: "nobody"})
	as[*CommandNotFoundError](t, err)
}

// The words of sudo 1.8 and 1.9, of sudo-rs, and of nobody.
func TestWhatSudoSays(t *testing.T) {
	for text, want := range map[string]SudoKind{
		"sudo: a password is required":                                                                    SudoPasswordRequired,
		"sudo: interactive authentication is required":                                                    SudoPasswordRequired,
		"sudo: a terminal is required to read the password; either use the -S option to read from":        SudoPasswordRequired,
		"sudo: sorry, you must have a tty to run sudo":                                                    SudoTTYRequired,
		"sudo: sorry, you must have a tty":                                                                SudoTTYRequired,
		"sudo: unknown user: rabbitmq":                                                                    SudoUnknownUser,
		"sudo: unknown user rabbitmq":                                                                     SudoUnknownUser,
		"sudo: user 'rabbitmq' not found":                                                                 SudoUnknownUser,
		"Sorry, user deploy is not allowed to execute '/usr/bin/id' as rabbitmq on rmq1.":                 SudoNotPermitted,
		"Sorry, user deploy may not run sudo on rmq1.":                                                    SudoNotPermitted,
		"deploy is not in the sudoers file.":                                                              SudoNotPermitted,
		"sudo: I'm sorry deploy. I'm afraid I can't do that":                                              SudoNotPermitted,
		"sudo: account validation failure, is your account locked?":                                       SudoNotPermitted,
		"bash: warning: setlocale\nsudo: unable to resolve host rmq1: Name\nsudo: a password is required": SudoPasswordRequired,
	} {
		h := New(answers(says(text+"\n", 1)), "rmq1", Options{Become: true})
		_, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: "rabbitmq"})
		if got := as[*SudoError](t, err); got.Kind != want || got.User != "deploy" || got.As != "rabbitmq" {
			t.Errorf("%q: %+v", text, got)
		}
		contains(t, err.Error(), "rmq1", "deploy", "rabbitmq")
		if want == SudoPasswordRequired || want == SudoNotPermitted {
			contains(t, err.Error(), "deploy ALL=(rabbitmq) NOPASSWD: ALL")
		}
		if want == SudoTTYRequired {
			contains(t, err.Error(), "Defaults:deploy !requiretty")
		}
	}
	h := New(answers(says("sudo: id: command not found\n", 1)), "rmq1", Options{Become: true})
	_, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: "rabbitmq"})
	as[*CommandNotFoundError](t, err)
	for _, c := range []struct {
		text string
		code int
	}{{"sudo: unable to resolve host rmq1: Name or service not known", 1}, {"sudo: a password is required", 64}, {"Error: not allowed", 1}} {
		h := New(answers(says(c.text, c.code)), "rmq1", Options{Become: true})
		if result, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: "rabbitmq"}); err != nil || result.ExitCode != c.code {
			t.Errorf("%q is the program's own failure: %v", c.text, err)
		}
	}
}

func TestBecomeFalseUsesNoOtherAccount(t *testing.T) {
	ran := false
	h := New(answers(func(context.Context, string, io.Reader, io.Writer, io.Writer) (int, error) { ran = true; return 0, nil }), "rmq1", Options{})
	_, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: "rabbitmq"})
	if got := as[*SudoError](t, err); got.Kind != SudoDisabled || ran {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "become = true")
	for _, user := range []string{"", "deploy"} {
		if _, err := h.Run(testContext(t), Command{Args: []string{"id"}, User: user}); err != nil {
			t.Error(err)
		}
	}
}

func TestTooMuchOutputIsAnErrorAndNoHang(t *testing.T) {
	for _, stream := range []string{"", " >&2"} {
		h := New(local("/bin/sh"), "here", Options{})
		result, err := h.Run(testContext(t), Command{Args: []string{"sh", "-c", "exec yes" + stream}, MaxOutput: 1000})
		if !errors.Is(err, ErrOutputTooLarge) || len(result.Stdout)+len(result.Stderr) != 1000 {
			t.Errorf("%d and %d bytes, %v", len(result.Stdout), len(result.Stderr), err)
		}
		contains(t, err.Error(), "here", "1000 bytes")
	}
	h := New(local("/bin/sh"), "here", Options{})
	if got := succeed(t, h, Command{Args: []string{"printf", "%01000d", "0"}, MaxOutput: 1000}); len(got) != 1000 {
		t.Error("exactly as much as is allowed is too much")
	}
}

func TestTimeoutSaysThatTheCommandMayGoOn(t *testing.T) {
	hang := answers(func(ctx context.Context, _ string, _ io.Reader, _, _ io.Writer) (int, error) {
		<-ctx.Done()
		return -1, fmt.Errorf("gave up: %w", ctx.Err())
	})
	h := New(hang, "rmq1", Options{Become: true})
	_, err := h.Run(testContext(t), Command{Args: []string{"rabbitmqctl", "stop_app"}, User: "rabbitmq", Timeout: time.Millisecond})
	if got := as[*TimeoutError](t, err); got.Timeout != time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v", got)
	}
	contains(t, err.Error(), "rabbitmqctl stop_app", "rmq1", "did not end within 1ms", "may still be running")
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := h.Run(testContext(t), Command{Args: []string{"x"}, Timeout: time.Nanosecond}); err == nil {
		t.Error("no error")
	}
	earlier, cancelEarlier := context.WithTimeout(testContext(t), time.Millisecond)
	defer cancelEarlier()
	_, err = h.Run(earlier, Command{Args: []string{"x"}, Timeout: time.Hour})
	contains(t, as[*TimeoutError](t, err).Error(), "was interrupted")
	_, err = h.Run(ctx, Command{Args: []string{"x"}})
	if got := as[*TimeoutError](t, err); got.Timeout != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v", got)
	}
}

type refused struct{ error }

func (refused) CommandStarted() bool { return false }

func TestRunnersErrorsPassUntouched(t *testing.T) {
	never, broken := refused{errors.New("no way in")}, errors.New("the line broke")
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	for _, want := range []error{never, broken} {
		runner := func(context.Context, string, io.Reader, io.Writer, io.Writer) (int, error) { return -1, want }
		for what, h := range map[string]*Host{"command": New(answers(runner), "rmq1", Options{}), "probe": New(runnerFunc(runner), "rmq1", Options{})} {
			if _, err := h.Run(testContext(t), Command{Args: []string{"x"}}); err != want { //nolint:errorlint // untouched
				t.Errorf("%s: %v", what, err)
			}
			_, err := h.Run(ctx, Command{Args: []string{"x"}})
			var timeout *TimeoutError
			if got := errors.As(err, &timeout); got != (want == broken && what == "command") { //nolint:errorlint // as above
				t.Errorf("%s: %v: only a command that may have begun times out", what, err)
			}
		}
	}
}

func TestProbeIsMadeOnce(t *testing.T) {
	var mu sync.Mutex
	probes := 0
	h := New(runnerFunc(func(_ context.Context, line string, _ io.Reader, stdout, _ io.Writer) (int, error) {
		nonce, ok := isProbe(line)
		if !ok {
			return 0, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if probes++; probes == 1 {
			return -1, errors.New("not yet")
		}
		_, _ = io.WriteString(stdout, nonce+"\ndeploy\n1000\n"+nonce+"\n")
		return 0, nil
	}), "rmq1", Options{})
	if _, err := h.Run(testContext(t), Command{Args: []string{"x"}}); err == nil {
		t.Error("the failed probe is not told")
	}
	var commands sync.WaitGroup
	for range 16 {
		commands.Go(func() {
			if _, err := h.Run(testContext(t), Command{Args: []string{"x"}}); err != nil {
				t.Error(err)
			}
		})
	}
	commands.Wait()
	if probes != 2 {
		t.Errorf("%d probes", probes)
	}
}

func TestShellThatPrintsIsRefused(t *testing.T) {
	for _, c := range []struct{ before, after, shows string }{{before: "Welcome!\n", shows: "Welcome!"}, {after: "Bye\n", shows: "Bye"}, {before: "\x1b[0m", shows: "x1b[0m"}} {
		h := New(runnerFunc(func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
			_, _ = io.WriteString(stdout, c.before)
			code, err := answers(says("", 0))(ctx, line, stdin, stdout, stderr)
			_, _ = io.WriteString(stdout, c.after)
			return code, err
		}), "rmq1", Options{})
		_, err := h.Run(testContext(t), Command{Args: []string{"x"}})
		if got := as[*NoisyShellError](t, err); got.User != "deploy" {
			t.Errorf("%+v", got)
		}
		contains(t, err.Error(), "the login shell of deploy on rmq1 prints on non-interactive sessions", c.shows)
	}
	h := New(says("This account is currently not available.\n", 1), "rmq1", Options{})
	_, err := h.Run(testContext(t), Command{Args: []string{"x"}})
	contains(t, err.Error(), "rmq1", "not available", "exit code 1")
}

func TestLogHoldsArgumentsAndNeitherInputNorOutput(t *testing.T) {
	var log strings.Builder
	h := New(local("/bin/sh"), "rmq1", Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	succeed(t, h, Command{Args: []string{"sh", "-c", "cat; echo loud", "visible"}, Stdin: NewSecret("s3cret")})
	contains(t, log.String(), "visible", "rmq1", "duration=", "exit=0")
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("the log holds input: %s", &log)
	}
}

func TestScript(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			sshtest.Require(t, shell)
			h := New(local(shell), "here", Options{})
			result, err := h.Script(testContext(t), "", `
# its commands cannot eat the script
cat
for a; do printf '<%s>' "$a"; done
if ! false; then echo "it's \$fine"; fi
cat <<'EOF'
heredoc
EOF
exit 4`, "a\nb", "!", "", `it's \`, "-n")
			if err != nil || result.ExitCode != 4 || string(result.Stdout) != "<a\nb><!><><it's \\><-n>it's $fine\nheredoc\n" {
				t.Errorf("%q %q %d %v", result.Stdout, result.Stderr, result.ExitCode, err)
			}
		})
	}
}

// A connection that breaks looks to the shell like the script's end.
func TestHalfAScriptDoesNothing(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	script := "echo > " + mark + "\necho > " + mark + "\n"
	for cut := 0; cut < len(script)+3; cut += 7 {
		h := New(runnerFunc(func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
			if stdin != nil {
				stdin = io.LimitReader(stdin, int64(cut))
			}
			return local("/bin/sh")(ctx, line, stdin, stdout, stderr)
		}), "here", Options{})
		_, _ = h.Script(testContext(t), "", script)
		if _, err := os.Stat(mark); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("with %d bytes of it, the script did something: %v", cut, err)
		}
	}
}

func TestFilesOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			sshtest.Require(t, shell)
			h := New(local(shell), "here", Options{})
			ctx := testContext(t)
			for i, content := range []string{"", "\x00\xff\n\n", strings.Repeat("x", 1<<20)} {
				name := filepath.Join(dir, shell+fmt.Sprint(i)+` it's "a" \ file!`)
				if err := h.WriteFile(ctx, "", File{Path: name, Content: NewSecret(content), Mode: 0o640}); err != nil {
					t.Fatal(err)
				}
				f, err := h.ReadFile(ctx, "", name, 1<<20)
				if err != nil || string(f.Content.Reveal()) != content || f.Mode != 0o640 || f.Path != name || f.Owner == "" || f.Group == "" {
					t.Fatalf("%+v %v", f, err)
				}
				info, err := os.Stat(name)
				if err != nil || info.Mode() != 0o640 {
					t.Errorf("%v %v", info, err)
				}
			}
		})
	}
	left, err := filepath.Glob(filepath.Join(dir, ".tmp*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReadFileTellsAbsentFromUnreadable(t *testing.T) {
	h := New(local("/bin/sh"), "here", Options{})
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("file"), []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{{"file", "link"}, {"nothing", "dangling"}, {"loop", "loop"}} {
		if err := os.Symlink(path(link[0]), path(link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		want error
		says string
	}{
		{path("absent"), fs.ErrNotExist, "absent"},
		{path("absent/below"), fs.ErrNotExist, "absent/below"},
		{path("dangling"), fs.ErrNotExist, "dangling"},
		{path("loop"), nil, "symbolic links"},
		{path("file/below"), nil, "Not a directory"},
		{dir, nil, "not a regular file"},
		{"/dev/zero", nil, "not a regular file"},
		{"relative", nil, "not absolute"},
		{path("file"), ErrOutputTooLarge, "5 bytes, 4 are allowed"},
	} {
		_, err := h.ReadFile(testContext(t), "", c.path, 4)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || c.want == nil && errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		contains(t, err.Error(), c.says, c.path, "here")
	}
	if f, err := h.ReadFile(testContext(t), "", path("link"), 5); err != nil || f.Mode != 0o600 {
		t.Errorf("%+v %v", f, err)
	}
}

func TestWriteFileRefusesAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cookie")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	short := New(runnerFunc(func(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
		if stdin != nil {
			stdin = io.LimitReader(stdin, 3)
		}
		return local("/bin/sh")(ctx, line, stdin, stdout, stderr)
	}), "here", Options{})
	h := New(local("/bin/sh"), "here", Options{})
	for _, c := range []struct {
		h    *Host
		f    File
		want error
		says string
	}{
		{short, File{Path: path, Content: NewSecret("s3cret"), Mode: 0o400}, nil, "the content was cut off"},
		{h, File{Path: path, Content: NewSecret("s3cret"), Mode: 0o400, Owner: "no-such-user"}, nil, "no-such-user"},
		{h, File{Path: filepath.Join(dir, "none", "x"), Content: NewSecret("s3cret"), Mode: 0o400}, fs.ErrNotExist, "No such file"},
		{h, File{Path: path, Content: NewSecret("s3cret"), Mode: 0o400, Replaces: NewSecret("what was read")}, ErrChanged, "changed meanwhile"},
		{h, File{Path: "cookie", Mode: 0o400}, nil, "not that of a file"},
		{h, File{Path: dir + "/", Mode: 0o400}, nil, "not that of a file"},
		{h, File{Path: path}, nil, "mode"},
		{h, File{Path: path, Mode: fs.ModeDir | 0o700}, nil, "mode"},
	} {
		err := c.h.WriteFile(testContext(t), "", c.f)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.says, err)
			continue
		}
		contains(t, err.Error(), c.says, c.f.Path, "here")
		if strings.Contains(err.Error(), "s3c") {
			t.Errorf("the error quotes content: %v", err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("%q %v", text, err)
	}
}

func TestWriteFileReplacesWhatItWasMadeFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := New(local("/bin/sh"), "here", Options{})
	if err := h.WriteFile(testContext(t), "", File{Path: path, Content: NewSecret("new"), Mode: 0o600, Replaces: NewSecret("old")}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("%q %v", text, err)
	}
}

func TestWriteFileFollowsALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	h := New(local("/bin/sh"), "here", Options{})
	if err := h.WriteFile(testContext(t), "", File{Path: link, Content: NewSecret("x"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "x" {
		t.Errorf("%q %v", text, err)
	}
}
