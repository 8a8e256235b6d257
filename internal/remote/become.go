package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Values of [Options.BecomeMethod].
const (
	Sudo = "sudo"
	Doas = "doas"
)

func (h *Host) method() string {
	if h.options.BecomeMethod == Doas {
		return Doas
	}
	return Sudo
}

// asRootLogin is sudo for root on a host without it, and the way on from root to other accounts where only root can be
// had. runuser leaves HOME as it is.
const asRootLogin = `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH; u=$0; ` +
	`command -v runuser >/dev/null 2>&1 || { echo "rabbitmq-topology: neither sudo nor runuser" >&2; exit 1; }; h=$(getent passwd "$u" | cut -d: -f6); test -n "$h" || { echo "rabbitmq-topology: no such user" >&2; exit 1; }; ` +
	`HOME=$h; export HOME; exec runuser -u "$u" -- "$@"`

// locale is given to sudo, which passes it on and drops nearly everything else; sshd's own way for variables is refused
// by most servers.
var locale = []string{"env", "LC_ALL=C.UTF-8"}

// argv is the whole command for the login shell, without a password. The program comes right after sudo, not within a
// `sh -c`, so that sudoers can name it.
func (h *Host) argv(login loginUser, c Command) ([]string, error) {
	program := append([]string{"/bin/sh", "-c", inPath}, c.Args...)
	refuse := func(kind SudoKind) error {
		return &SudoError{Host: h.address, User: login.name, As: c.User, Kind: kind, Method: h.method(), Only: h.options.BecomeUser}
	}
	switch {
	case c.User == "" || c.User == login.name:
		return append(locale[:2:2], program...), nil
	case login.root && !login.become:
		return append(append(locale[:2:2], "/bin/sh", "-c", asRootLogin, c.User), program...), nil
	case !login.root && !h.options.Become:
		return nil, refuse(SudoDisabled)
	case !login.become:
		return nil, refuse(SudoMissing)
	}
	account, args := c.User, c.Args
	if only := h.options.BecomeUser; only != "" && only != account && !login.root {
		if only != "root" {
			return nil, refuse(SudoOnly)
		}
		account, args = only, append([]string{"/bin/sh", "-c", asRootLogin, c.User}, program...)
	}
	if h.method() == Doas {
		// doas gives the caller's PATH on, and it is often without the directories of system programs.
		return append(append(locale[:2:2], "/bin/sh", "-c", inPath, Doas, "-n", "-u", account, "--"), args...), nil
	}
	return append(append(locale[:2:2], Sudo, "-n", "-H", "-u", account, "--"), args...), nil
}

// become runs a command as its account. The password is no part of it until sudo has said that it wants one: on a host
// that wants none, `sudo -S` would leave the password to the command as its input.
func (h *Host) become(ctx context.Context, login loginUser, c Command, args []string) (Result, error) {
	able := !h.options.BecomePassword.IsZero() && h.method() == Sudo
	if !able || !h.asksFor(c.User) {
		var stdin io.Reader
		if !c.Stdin.IsZero() {
			stdin = bytes.NewReader(c.Stdin.Reveal())
		}
		result, err := h.run(ctx, "exec "+Quote(args), stdin, c.MaxOutput)
		if err == nil {
			err = h.notRun(login, c, result)
		}
		var sudo *SudoError
		if !able || !errors.As(err, &sudo) || sudo.Kind != SudoPasswordRequired {
			return result, err
		}
	}
	return h.answering(ctx, login, c)
}

func (h *Host) asksFor(user string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asks[user]
}

// promptPatience is how long sudo may take to ask, and to make up its mind about the answer.
const promptPatience = 30 * time.Second

// afterPassword runs a program once the other side has seen that sudo is through. Until then nothing but the password
// is sent, so that neither sudo takes input for another try, nor the program the password for input: "go" is all that
// lets it start. Its mark is made here of two halves, because sudo quotes the command line in its refusals.
const afterPassword = `printf "%s%s\n" "$0" "$1" >&2; shift; read -r go && test "$go" = go || exit 126; exec /bin/sh -c '` + inPath + `' "$@"`

// answering runs a command through a sudo that asks for the password.
func (h *Host) answering(ctx context.Context, login loginUser, c Command) (Result, error) {
	if h.options.BecomeUser == "root" && c.User != "root" {
		c.Args = append([]string{"/bin/sh", "-c", asRootLogin, c.User}, append([]string{"/bin/sh", "-c", inPath}, c.Args...)...)
	}
	account := c.User
	if h.options.BecomeUser != "" {
		account = h.options.BecomeUser
	}
	limit := c.MaxOutput
	if limit == 0 {
		limit = DefaultMaxOutput
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdout, stderr := &capped{limit: limit, full: cancel}, &capped{limit: limit, full: cancel}
	first, second := rand.Text(), rand.Text()
	d := newDialogue(rand.Text(), first+second, h.options.BecomePassword, c.Stdin, stderr)
	defer d.hangUp()
	impatient := time.AfterFunc(h.patience, func() {
		if !d.hasStarted() {
			d.giveUp()
			cancel()
		}
	})
	defer impatient.Stop()
	// -k: whether it asks must not depend on an earlier command.
	line := Quote(append(append(locale[:2:2], Sudo, "-k", "-S", "-H", "-p", d.prompt, "-u", account, "--", "/bin/sh", "-c", afterPassword, first, second), c.Args...))
	code, err := h.runner.Run(ctx, "exec "+line, d, stdout, d)
	result := Result{Stdout: stdout.bytes(), Stderr: stderr.bytes(), ExitCode: code}
	if d.hasStarted() {
		h.mu.Lock()
		h.asks[c.User] = true
		h.mu.Unlock()
		switch {
		case stdout.over() || stderr.over():
			return result, h.tooLarge(limit)
		case err != nil:
			return result, err
		}
		return result, h.missing(c, login, result)
	}
	result.Stderr = d.preface()
	refuse := func(kind SudoKind) error {
		return &SudoError{Host: h.address, User: login.name, As: c.User, Kind: kind, Method: Sudo, Text: lastLine(result.Stderr)}
	}
	switch {
	case d.refused():
		return result, refuse(SudoPasswordWrong)
	case d.gaveUp():
		return result, refuse(SudoNoPrompt)
	case err != nil:
		return result, &notBegunError{Host: h.address, Err: err} // "go" was never sent
	}
	if err := h.notRun(login, c, result); err != nil {
		return result, err
	}
	return result, refuse(SudoNoPrompt)
}

// lastLine is the end of what sudo said.
func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// dialogue is both ends of a command behind a sudo that asks: what it prints to stderr is read for the prompt and for
// the mark that it is through, and its input is what these call for.
type dialogue struct {
	prompt, mark      string
	password, payload Secret
	stderr            io.Writer // of the program, once it has started

	mu      sync.Mutex
	more    *sync.Cond
	input   bytes.Buffer
	ended   bool   // no more input
	said    []byte // before the program started
	asked   int    // prompts seen
	started bool   // "go" was sent
	late    bool   // nobody waits any more
}

func newDialogue(prompt, mark string, password, payload Secret, stderr io.Writer) *dialogue {
	d := &dialogue{prompt: prompt, mark: mark + "\n", password: password, payload: payload, stderr: stderr}
	d.more = sync.NewCond(&d.mu)
	return d
}

// Write takes what comes from stderr.
func (d *dialogue) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return d.stderr.Write(p)
	}
	d.said = append(d.said, p...)
	if at := bytes.Index(d.said, []byte(d.mark)); at >= 0 && !d.late && !d.ended {
		rest := d.said[at+len(d.mark):]
		d.said = d.said[:at]
		d.started = true
		d.input.WriteString("go\n")
		d.input.Write(d.payload.Reveal())
		d.end()
		_, err := d.stderr.Write(rest)
		return len(p), err
	}
	// sudo-rs puts words around the prompt. A second one is its answer to the first password; there is no third.
	switch seen := bytes.Count(d.said, []byte(d.prompt)); {
	case seen > d.asked && d.asked == 0 && seen == 1:
		d.input.Write(append(d.password.Reveal(), '\n'))
		d.more.Broadcast()
		d.asked = seen
	case seen > 1 || len(d.said) > 64<<10:
		d.asked = seen
		d.end()
	}
	return len(p), nil
}

// Read gives the command its input.
func (d *dialogue) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.input.Len() == 0 && !d.ended {
		d.more.Wait()
	}
	return d.input.Read(p)
}

func (d *dialogue) end() {
	d.ended = true
	d.more.Broadcast()
}

// hangUp frees whoever reads.
func (d *dialogue) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
}

// giveUp takes no mark any more: from here on the program is known never to start.
func (d *dialogue) giveUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.started {
		d.late = true
		d.end()
	}
}

func (d *dialogue) hasStarted() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.started }
func (d *dialogue) refused() bool    { d.mu.Lock(); defer d.mu.Unlock(); return d.asked > 1 }
func (d *dialogue) gaveUp() bool     { d.mu.Lock(); defer d.mu.Unlock(); return d.late }

// preface is what was said before, without the prompt.
func (d *dialogue) preface() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.ReplaceAll(d.said, []byte(d.prompt), nil)
}

// sudoVerdicts are the last words of sudo (and of sudo-rs) when it runs nothing. It says much else, such as "unable to
// resolve host", and goes on.
var sudoVerdicts = []struct {
	kind SudoKind
	text *regexp.Regexp
}{
	{SudoMissing, regexp.MustCompile(`(?m)^rabbitmq-topology: neither sudo nor runuser$`)},
	{SudoTTYRequired, regexp.MustCompile(`(?m)^sudo(?:\.ws)?: .*must have a tty.*$`)},
	{SudoPasswordRequired, regexp.MustCompile(`(?m)^(?:sudo(?:\.ws)?: (?:a password is required|interactive authentication is required|a terminal is required to .*)|` +
		`doas: Authenti?[a-z]* required)$`)},
	{SudoUnknownUser, regexp.MustCompile(`(?m)^(?:sudo(?:\.ws)?: (?:unknown user:? .*|user '.*' not found)|doas: unknown user.*|rabbitmq-topology: no such user)$`)},
	{SudoNotPermitted, regexp.MustCompile(`(?m)^(?:doas: (?:Operation not permitted|doas is not enabled, .*)|Sorry, user .* (?:is not allowed to execute|may not run sudo) .*|.* is not in the sudoers file.*|` +
		`sudo(?:\.ws)?: (?:I'm sorry .*|.*account validation failure.*|PAM account management error.*|Account expired.*))$`)},
}

var sudoNotFound = regexp.MustCompile(`(?m)^(?:sudo(?:\.ws)?|doas): (?:.*: command not found|'.*': command not found)$`)

// missing tells a program that is not there from one that ends with 127.
func (h *Host) missing(c Command, login loginUser, r Result) error {
	if r.ExitCode != 127 || !bytes.Contains(r.Stderr, []byte(missingMark)) {
		return nil
	}
	user := c.User
	if user == "" {
		user = login.name
	}
	return &CommandNotFoundError{Host: h.address, User: user, Program: c.Args[0]}
}

// notRun tells a program's failure from that of what was to start it.
func (h *Host) notRun(login loginUser, c Command, r Result) error {
	if err := h.missing(c, login, r); err != nil {
		return err
	}
	if r.ExitCode != 1 || c.User == "" || c.User == login.name {
		return nil
	}
	for _, verdict := range sudoVerdicts {
		if text := verdict.text.Find(r.Stderr); text != nil {
			return &SudoError{
				Host: h.address, User: login.name, As: c.User, Kind: verdict.kind, Method: h.method(), Only: h.options.BecomeUser, Text: strings.TrimSpace(string(text)),
			}
		}
	}
	if sudoNotFound.Match(r.Stderr) {
		return &CommandNotFoundError{Host: h.address, User: c.User, Program: c.Args[0]}
	}
	return nil
}
