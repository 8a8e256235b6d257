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
	"time"

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
	Owner string // a name, or a number that has none
	UID   string
	value remote.Secret
}

// CookieAt is a cookie file and whose it is. Only Path must be given.
type CookieAt struct {
	Path   string
	Inside string   // its path as the broker sees it, where that is another: in a container
	Owner  string   // the account it belongs to; default: the broker's, in a container whoever has it already
	Nodes  []string // the nodes that run with it; default: the one that rabbitmqctl talks to
}

// owner is the account that the file is to belong to.
func (n *Node) owner(file CookieAt, found Cookie) string {
	switch {
	case file.Owner != "" && file.Owner == found.UID:
		return found.Owner // the same, by its name
	case file.Owner != "":
		return file.Owner
	case !n.packaged() && found.Owner != "":
		return found.Owner
	}
	return n.account()
}

// FileOwner is the account that a cookie file belongs to where nothing else is said; it is not known beforehand for a
// broker in a container.
func (n *Node) FileOwner() (account string, known bool) { return n.account(), n.packaged() }

// takers are the nodes that take the cookie of a file.
func (n *Node) takers(file CookieAt) []*Node {
	if len(file.Nodes) == 0 {
		return []*Node{n}
	}
	var nodes []*Node
	for _, name := range file.Nodes {
		nodes = append(nodes, n.Through(name))
	}
	return nodes
}

// Value is the cookie itself, without line ends.
func (c Cookie) Value() remote.Secret {
	return remote.NewSecret(bytes.TrimRight(c.value.Reveal(), "\r\n"))
}

// usable tells whether Erlang takes the file: it belongs to the broker's account, and to nobody else.
func (c Cookie) usable(account string) bool {
	return c.Hash != "" && c.Owner == account && ModeUsable(c.Mode) && len(c.Value().Reveal()) > 0
}

// cookieName is the name of the cookie file in the home of an account.
const cookieName = ".erlang.cookie"

// ModeUsable tells whether Erlang accepts the mode of a cookie file.
func ModeUsable(mode string) bool { return mode == "0400" || mode == "0600" }

// CookiePath finds where the cookie file of the host's broker is.
func (n *Node) CookiePath(ctx context.Context) (string, error) {
	facts, err := n.Facts(ctx)
	if err != nil {
		return "", err
	}
	if facts.Home == "" {
		return "", fmt.Errorf("host %s has no account called %s, so the cookie file cannot be found: install RabbitMQ there, or set `path`", n.host.Address(), Account)
	}
	return path.Join(facts.Home, cookieName), nil
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
	return Cookie{Path: file, Hash: CookieHash(f.Content.Reveal()), Mode: fmt.Sprintf("%04o", f.Mode.Perm()), Owner: f.Owner, UID: f.UID, value: f.Content}, nil
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
// in the running brokers, without a restart and without closing a link or a client's connection. It picks up where an
// earlier run was cut off. Only when a broker runs with a cookie that no file has is it restarted, and only when
// restart says so.
func (n *Node) SetCookie(ctx context.Context, file CookieAt, value remote.Secret, restart func(context.Context) error) error {
	if err := n.awaitRotation(ctx); err != nil {
		return err
	}
	want := CookieHash(value.Reveal())
	found, err := n.ReadCookie(ctx, file.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	owner := n.owner(file, found)
	if err == nil && !found.usable(owner) && CheckCookie(found.Value().Reveal()) == nil {
		// Its content may be what the broker runs with: make it readable before anything else is written.
		if err := n.writeCookie(ctx, file.Path, owner, found.Value()); err != nil {
			return err
		}
		found.Owner, found.Mode = owner, "0400"
	}
	rest := n.takers(file)
	if err == nil && found.usable(owner) {
		var old, others []*Node
		for _, node := range rest {
			live, err := node.liveCookie(ctx)
			if err != nil {
				return err
			}
			if live == found.Hash && live != want {
				old = append(old, node)
			} else {
				others = append(others, node)
			}
		}
		if len(old) > 0 {
			if err := n.rotate(ctx, file, owner, old, value); err != nil || len(others) == 0 {
				return err
			}
			found.Hash, rest = want, others
		}
	}
	// What is left is down, or runs with the wanted cookie already, or with one that this file did not have.
	if found.Hash != want || !ModeUsable(found.Mode) || found.Owner != owner {
		if err := n.writeCookie(ctx, file.Path, owner, value); err != nil {
			return err
		}
	}
	for _, node := range rest {
		if err := node.checkTaken(ctx, file, want, restart); err != nil {
			return err
		}
	}
	return n.removePending(ctx, file.Path)
}

// awaitRotation waits until no broker of the host is being told a cookie any more. A run that was killed leaves such a
// command behind: it would take the file that the next one makes, or tell the broker its own cookie afterwards.
func (n *Node) awaitRotation(ctx context.Context) error {
	for {
		facts, err := n.Facts(ctx)
		if err != nil || !facts.Rotating {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("an earlier run still rotates the Erlang cookie of host %s: wait for the end of its rabbitmqctl there, then apply again: %w", n.host.Address(), context.Cause(ctx))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// checkTaken makes sure that the node, if it runs, runs with the cookie that its file has now.
func (n *Node) checkTaken(ctx context.Context, file CookieAt, want string, restart func(context.Context) error) error {
	live, err := n.liveCookie(ctx)
	if err != nil {
		return err
	}
	if live == rejected {
		if restart == nil {
			return &RestartNeededError{Host: n.host.Address(), Node: n.config.Name, Path: file.Path}
		}
		if err := restart(ctx); err != nil {
			return err
		}
		if live, err = n.liveCookie(ctx); err != nil {
			return err
		}
	}
	if live != "" && live != want {
		return fmt.Errorf("the broker on host %s runs with cookie hash %s although %s holds %s: RABBITMQ_ERLANG_COOKIE or a -setcookie in its environment overrides the file", n.host.Address(), live, file.Path, want)
	}
	return nil
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

func (n *Node) writeCookie(ctx context.Context, file, owner string, value remote.Secret) error {
	f, user := remote.File{Path: file, Content: value, Mode: 0o400}, n.account()
	if owner != user {
		f.Owner, user = owner, "root" // nobody else may give a file away
	}
	return n.host.WriteFile(ctx, user, f)
}

// pending is where a new cookie waits until the broker has taken it.
func pending(file string) string { return file + ".new" }

// setCookie tells the expression that rotates, also among the processes of a host.
const setCookie = "true=erlang:set_cookie("

// rotate makes running brokers take a new cookie, one after the other, and then renames the file, in the same remote
// command as the last of them, so that the time in which rabbitmqctl is locked out is as short as can be. The cookie goes
// through a file: it is in no argument list.
func (n *Node) rotate(ctx context.Context, file CookieAt, owner string, nodes []*Node, value remote.Secret) error {
	if err := n.writeCookie(ctx, pending(file.Path), owner, value); err != nil {
		return err
	}
	inside := file.Path
	if file.Inside != "" {
		inside = file.Inside
	}
	// Works on OTP 23 to 29, and erlang:set_cookie/1 is not needed (measured).
	expression := fmt.Sprintf(`{ok,C}=file:read_file("%s"),K=binary_to_atom(C,latin1),`+setCookie+`node(),K),K=:=erlang:get_cookie().`, pending(inside))
	for i, node := range nodes {
		renamed := ""
		if i == len(nodes)-1 {
			renamed = file.Path
		}
		argv := append([]string{pending(file.Path), renamed}, node.tool("rabbitmqctl", "-q", "eval", expression)...)
		result, err := n.host.Script(ctx, n.account(), rotateScript, argv...)
		if err != nil {
			return err
		}
		if result.ExitCode != 0 {
			text := string(result.Stderr) + "\n" + string(result.Stdout)
			return &CommandError{Host: n.host.Address(), Node: node.config.Name, Command: []string{"rabbitmqctl", "eval", "…set_cookie…"}, Exit: result.ExitCode, Kind: classify(text), Text: cause(result.Stdout, result.Stderr)}
		}
	}
	for _, node := range nodes {
		live, err := node.liveCookie(ctx)
		if err == nil && live != CookieHash(value.Reveal()) {
			err = fmt.Errorf("the broker on host %s was told its new cookie and does not run with it", n.host.Address())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) removePending(ctx context.Context, file string) error {
	_, err := n.host.Run(ctx, remote.Command{Args: []string{"rm", "-f", "--", pending(file)}, User: n.account(), Timeout: readTimeout})
	return err
}

// Restart restarts the broker by its unit or its commands and returns when its boot ended. As with a start, the newest
// units refuse the sixth within ten minutes unless they are told to forget the others.
func (n *Node) Restart(ctx context.Context) error {
	if n.config.Commands != nil {
		return n.restartByCommand(ctx)
	}
	if _, err := n.host.Run(ctx, remote.Command{Args: []string{"systemctl", "reset-failed", n.config.Service}, User: "root", Timeout: readTimeout}); err != nil {
		return err
	}
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
