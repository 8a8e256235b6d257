package remote

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrOutputTooLarge is found in the error of a command that printed more than it may. The command was ended.
var ErrOutputTooLarge = errors.New("the output is larger than expected")

// SudoKind is why the wanted account could not be had.
type SudoKind string

// Kinds of [SudoError].
const (
	SudoPasswordRequired SudoKind = "password required"
	SudoNotPermitted     SudoKind = "not permitted"
	SudoTTYRequired      SudoKind = "tty required"
	SudoMissing          SudoKind = "sudo missing"
	SudoUnknownUser      SudoKind = "unknown user"
	SudoDisabled         SudoKind = "become is false"
	SudoPasswordWrong    SudoKind = "wrong password"
	SudoNoPrompt         SudoKind = "no prompt"
	SudoOnly             SudoKind = "become_user is another account"
)

// SudoError says that the command did not run, because the login user may not, or cannot, run it as the wanted account.
type SudoError struct {
	Host string
	User string // the login user
	As   string // the wanted account
	Kind SudoKind
	Text string // in sudo's words

	Method string // sudo or doas
	Only   string // the one account that may be changed to, if that is so
}

func (e *SudoError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s cannot run commands as %s on %s: %s", e.User, e.As, e.Host, e.Kind)
	if e.Text != "" {
		fmt.Fprintf(&b, " (%s)", e.Text)
	}
	as := e.As
	if e.Only != "" {
		as = e.Only
	}
	allow := fmt.Sprintf("Allow it with a line in /etc/sudoers.d such as: %s ALL=(%s) NOPASSWD: ALL", e.User, as)
	if e.Method == Doas {
		allow = fmt.Sprintf("Allow it with a line in /etc/doas.conf such as: permit nopass %s as %s", e.User, as)
	}
	switch e.Kind {
	case SudoPasswordRequired:
		if e.Method == Doas {
			fmt.Fprintf(&b, ". doas takes a password from a terminal only. %s", allow)
			break
		}
		// sudo asks before it looks whether its rules name the command.
		fmt.Fprintf(&b, ". Either sudo asks %s for a password, or its rules do not list this command. %s. Or set become_password", e.User, allow)
	case SudoNotPermitted:
		fmt.Fprintf(&b, ". %s", allow)
	case SudoTTYRequired:
		fmt.Fprintf(&b, ". Commands run without a terminal: add to /etc/sudoers.d: Defaults:%s !requiretty", e.User)
	case SudoMissing:
		fmt.Fprintf(&b, ". Install %s on %s, or log in as %s", e.Method, e.Host, e.As)
	case SudoUnknownUser:
		fmt.Fprintf(&b, ". There is no account %s on %s: is RabbitMQ installed there?", as, e.Host)
	case SudoDisabled:
		fmt.Fprintf(&b, ". Set become = true, or log in as %s", e.As)
	case SudoPasswordWrong:
		fmt.Fprintf(&b, ". sudo does not take become_password from %s: it is the password of %s on that host, unless sudoers says rootpw or targetpw", e.User, e.User)
	case SudoNoPrompt:
		b.WriteString(". sudo neither asked for a password in a way that can be answered nor ran the command. A second factor cannot be given, and sudo-rs may want a terminal " +
			"(where it is installed beside it, the original is sudo.ws). " + allow)
	case SudoOnly:
		fmt.Fprintf(&b, ". become_user allows %s alone: set it to root, from where every account is reached, or leave it out", e.Only)
	}
	return b.String()
}

// CommandStarted is false: sudo ran nothing.
func (*SudoError) CommandStarted() bool { return false }

// CommandNotFoundError says that the host has no such program, or not where it is looked for.
type CommandNotFoundError struct {
	Host    string
	User    string // the account it was to run as
	Program string
}

func (e *CommandNotFoundError) Error() string {
	return fmt.Sprintf("%s has no program %s that %s can run: install it there, or set its full path", e.Host, e.Program, e.User)
}

// CommandStarted is false: there was nothing to run.
func (*CommandNotFoundError) CommandStarted() bool { return false }

// NoisyShellError says that the login shell prints on its own, so that no output could be told from the shell's.
type NoisyShellError struct {
	Host string
	User string
	Text string // the beginning of what it prints
}

func (e *NoisyShellError) Error() string {
	user := e.User
	if user == "" {
		user = "the login user"
	}
	return fmt.Sprintf("the login shell of %s on %s prints on non-interactive sessions: %q. Make its start-up files (.bashrc, .cshrc, config.fish, .zshenv) silent when there is no terminal",
		user, e.Host, e.Text)
}

// CommandStarted is false: only the probe ran.
func (*NoisyShellError) CommandStarted() bool { return false }

// TimeoutError says that a command was not waited for any longer. Ending our end of it does not end it on the host: it
// may still be running, and what it began may still take effect. The outcome has to be read from the host.
type TimeoutError struct {
	Host    string
	Args    []string
	Timeout time.Duration // the command's own bound; 0 when the caller's context ended
	Err     error
}

func (e *TimeoutError) Error() string {
	why := "was interrupted"
	if e.Timeout > 0 {
		why = fmt.Sprintf("did not end within %s", e.Timeout)
	}
	return fmt.Sprintf("%q on %s %s: the command may still be running on the host, and what it began may still take effect (%v)",
		strings.Join(e.Args, " "), e.Host, why, e.Err)
}

func (e *TimeoutError) Unwrap() error { return e.Err }

// CommandStarted is true: its outcome is unknown.
func (*TimeoutError) CommandStarted() bool { return true }

// notStarted says whether an error proves that the command was never begun on the host.
func notStarted(err error) bool {
	var s interface{ CommandStarted() bool }
	return errors.As(err, &s) && !s.CommandStarted()
}
