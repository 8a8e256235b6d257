package rabbitmq

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the hash that RabbitMQ itself prints; it protects nothing
	_ "embed"    // the rotation script
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

// maxCookie is the longest cookie that Erlang takes, in bytes: it becomes an atom.
const maxCookie = 255

// CheckCookie says in a sentence why value is no Erlang cookie that can be trusted to mean the same to everybody, or
// returns nil. It never quotes the value.
func CheckCookie(value []byte) error {
	switch {
	case len(value) == 0:
		return errors.New("the cookie is empty")
	case len(value) > maxCookie:
		return fmt.Errorf("the cookie has %d characters, and Erlang takes %d at the most", len(value), maxCookie)
	}
	for i, c := range value {
		// Erlang drops a trailing newline and keeps a trailing blank (auth.erl), so neither is let in.
		if c <= ' ' || c > '~' {
			return fmt.Errorf("character %d of the cookie is a blank, a line end, a control character or not ASCII; printable ASCII is allowed", i+1)
		}
	}
	return nil
}

// CookieHash is the hash of a cookie as `rabbitmq-diagnostics erlang_cookie_hash` prints it. As Erlang does, it leaves
// out line ends after the cookie.
func CookieHash(cookie []byte) string {
	sum := md5.Sum(bytes.TrimRight(cookie, "\r\n")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Cookie is a cookie file as it was found.
type Cookie struct {
	Path  string
	Hash  string // as CookieHash; empty when the broker's account cannot read the file
	Mode  string // four octal digits
	Owner string
	value remote.Secret
}

// Value is the cookie itself, without line ends.
func (c Cookie) Value() remote.Secret {
	return remote.NewSecret(bytes.TrimRight(c.value.Reveal(), "\r\n"))
}

// usable tells whether Erlang takes the file: it belongs to the broker's account, and to nobody else.
func (c Cookie) usable(account string) bool {
	return c.Hash != "" && c.Owner == account && ModeUsable(c.Mode) && len(c.Value().Reveal()) > 0
}

// ModeUsable tells whether Erlang accepts the mode of a cookie file.
func ModeUsable(mode string) bool { return mode == "0400" || mode == "0600" }

// Account is the account on the host that the node's files belong to.
func (n *Node) Account() string { return n.account() }

// CookiePath finds where the cookie file of the host's broker is.
func (n *Node) CookiePath(ctx context.Context) (string, error) {
	facts, err := n.Facts(ctx)
	if err != nil {
		return "", err
	}
	if facts.Home == "" {
		return "", fmt.Errorf("host %s has no account called %s, so the cookie file cannot be found: install RabbitMQ there, or set `path`", n.host.Address(), Account)
	}
	return path.Join(facts.Home, ".erlang.cookie"), nil
}

// ReadCookie reads a cookie file. An absent one is fs.ErrNotExist. No rabbitmqctl runs for it.
func (n *Node) ReadCookie(ctx context.Context, file string) (Cookie, error) {
	f, err := n.host.ReadFile(ctx, n.account(), file, 4096)
	if errors.Is(err, fs.ErrPermission) && n.account() != "root" {
		// Somebody else's file: root can still tell whose.
		f, err = n.host.ReadFile(ctx, "root", file, 4096)
	}
	if err != nil {
		return Cookie{}, err
	}
	return Cookie{Path: file, Hash: CookieHash(f.Content.Reveal()), Mode: fmt.Sprintf("%04o", f.Mode.Perm()), Owner: f.Owner, value: f.Content}, nil
}

// RestartNeededError tells that a broker runs with a cookie that no file has, so that only a restart can change it.
type RestartNeededError struct{ Host, Node, Path string }

// Error implements error.
func (e *RestartNeededError) Error() string {
	return fmt.Sprintf("the broker on host %s runs with an Erlang cookie that is neither the wanted one nor the one that was in %s, so it cannot be told to change it. "+
		"The file now holds the wanted cookie, and the broker takes it at its next start: restart it when the cluster can spare it, or set restart_if_needed = true", e.Host, e.Path)
}

//go:embed rotate.sh
var rotateScript string

// SetCookie makes value the cookie of the host: in the file, whole and with the right owner and mode or not at all, and
// in the running broker, without a restart and without closing a link or a client's connection. It picks up where an
// earlier run was cut off. Only when the broker runs with a cookie that no file has is it restarted, and only when
// restart says so.
func (n *Node) SetCookie(ctx context.Context, file string, value remote.Secret, restart func(context.Context) error) error {
	want := CookieHash(value.Reveal())
	found, err := n.ReadCookie(ctx, file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && !found.usable(n.account()) && CheckCookie(found.Value().Reveal()) == nil {
		// Its content may be what the broker runs with: make it readable before anything else is written.
		if err := n.writeCookie(ctx, file, found.Value()); err != nil {
			return err
		}
		found.Owner, found.Mode = n.account(), "0400"
	}
	if err == nil && found.usable(n.account()) {
		live, err := n.liveCookie(ctx)
		if err != nil {
			return err
		}
		if live == found.Hash && live != want {
			return n.rotate(ctx, file, value)
		}
	}
	// The broker is down, or runs with the wanted cookie already, or with one that this file did not have.
	if found.Hash != want || !ModeUsable(found.Mode) || found.Owner != n.account() {
		if err := n.writeCookie(ctx, file, value); err != nil {
			return err
		}
	}
	live, err := n.liveCookie(ctx)
	if err != nil {
		return err
	}
	if live == rejected {
		if restart == nil {
			return &RestartNeededError{Host: n.host.Address(), Node: n.config.Name, Path: file}
		}
		if err := restart(ctx); err != nil {
			return err
		}
		if live, err = n.liveCookie(ctx); err != nil {
			return err
		}
	}
	if live != "" && live != want {
		return fmt.Errorf("the broker on host %s runs with cookie hash %s although %s holds %s: RABBITMQ_ERLANG_COOKIE or a -setcookie in its environment overrides the file", n.host.Address(), live, file, want)
	}
	return n.removePending(ctx, file)
}

// rejected is what liveCookie returns for a broker that does not take the file's cookie.
const rejected = "rejected"

// liveCookie gives the hash of the cookie that the broker runs with, "" when it is down, and rejected when it is another
// one than the file's. The file must be there: rabbitmqctl makes one when it is not (measured).
func (n *Node) liveCookie(ctx context.Context) (string, error) {
	status, err := n.Status(ctx, Ask{})
	switch {
	case err == nil:
		return status.CookieHash, nil
	case IsKind(err, NodeDown):
		return "", nil
	case IsKind(err, CookieRejected):
		return rejected, nil
	}
	return "", err
}

func (n *Node) writeCookie(ctx context.Context, file string, value remote.Secret) error {
	return n.host.WriteFile(ctx, n.account(), remote.File{Path: file, Content: value, Mode: 0o400})
}

// pending is where a new cookie waits until the broker has taken it.
func pending(file string) string { return file + ".new" }

// rotate makes a running broker take a new cookie and then renames the file, in one remote command, so that the time in
// which rabbitmqctl is locked out is as short as can be. The cookie goes through a file: it is in no argument list.
func (n *Node) rotate(ctx context.Context, file string, value remote.Secret) error {
	if err := n.writeCookie(ctx, pending(file), value); err != nil {
		return err
	}
	// Works on OTP 23 to 29, and erlang:set_cookie/1 is not needed (measured).
	expression := fmt.Sprintf(`{ok,C}=file:read_file("%s"),K=binary_to_atom(C,latin1),true=erlang:set_cookie(node(),K),K=:=erlang:get_cookie().`, pending(file))
	argv := append([]string{pending(file), file}, n.tool("rabbitmqctl", "-q", "eval", expression)...)
	result, err := n.host.Script(ctx, n.account(), rotateScript, argv...)
	if err != nil {
		return err
	}
	if result.ExitCode != 0 {
		text := string(result.Stderr) + "\n" + string(result.Stdout)
		return &CommandError{Host: n.host.Address(), Node: n.config.Name, Command: []string{"rabbitmqctl", "eval", "…set_cookie…"}, Exit: result.ExitCode, Kind: classify(text), Text: cause(result.Stdout, result.Stderr)}
	}
	live, err := n.liveCookie(ctx)
	if err == nil && live != CookieHash(value.Reveal()) {
		err = fmt.Errorf("the broker on host %s was told its new cookie and does not run with it", n.host.Address())
	}
	return err
}

func (n *Node) removePending(ctx context.Context, file string) error {
	_, err := n.host.Run(ctx, remote.Command{Args: []string{"rm", "-f", "--", pending(file)}, User: n.account(), Timeout: readTimeout})
	return err
}

// Restart restarts the broker's unit and returns when its boot ended.
func (n *Node) Restart(ctx context.Context) error {
	result, err := n.host.Run(ctx, remote.Command{Args: []string{"systemctl", "restart", n.config.Service}, User: "root"})
	if err != nil {
		return err
	}
	if result.ExitCode != 0 {
		return &ServiceError{Host: n.host.Address(), Unit: n.config.Service, Text: excerpt(string(result.Stderr))}
	}
	return nil
}

// CookieFileName tells whether p can be the path of a cookie file: absolute, and without characters that the expression
// which reads it could misread.
func CookieFileName(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.ContainsAny(p, "\"\\$`!'\n")
}
