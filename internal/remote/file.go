package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// File is a regular file.
type File struct {
	Path    string
	Content Secret
	Mode    fs.FileMode // permission bits
	Owner   string      // a name, or a number that has none; empty when written: whoever writes it
	Group   string
	UID     string // the owner's number, when read
	// Replaces is the content that the file must still have when it is written; zero: whatever it has.
	Replaces Secret
}

// ErrChanged is found in the error of a write whose file no longer has the content that it was to replace.
var ErrChanged = errors.New("the file was changed meanwhile by somebody else")

// Exit codes of the scripts below, apart from those that shells and the programs in them use.
const (
	exitAbsent    = 41
	exitStat      = 42
	exitIrregular = 43
	exitTooLarge  = 44
	exitShort     = 45
	exitChanged   = 46
)

// readFile prints one line about the file and then its content. stat's words, not `test -e`, tell an absent file from
// one in a directory that may not be searched.
const readFile = `f=$1; max=$2
s=$(stat -L -c '%a %u %g %U %G %s %F' -- "$f" 2>&1) || {
	case $s in
	*"No such file or directory"*) exit 41 ;;
	esac
	printf '%s\n' "$s" >&2
	exit 42
}
test -f "$f" || { printf '%s\n' "$s" >&2; exit 43; }
set -- $s
test "$6" -le "$max" || { printf '%s bytes\n' "$6" >&2; exit 44; }
printf '%s\n' "$s"
exec head -c "$((max + 1))" -- "$f"`

// ReadFile reads a file of at most limit bytes as an account, with what belongs to it, in one command. An absent file is
// [fs.ErrNotExist]; one that may not be read is [fs.ErrPermission]; neither is ever taken for the other. A larger file
// is [ErrOutputTooLarge].
func (h *Host) ReadFile(ctx context.Context, user, name string, limit int) (File, error) {
	if !path.IsAbs(name) {
		return File{}, fmt.Errorf("read %s on %s: the path is not absolute", name, h.address)
	}
	result, err := h.script(ctx, user, readFile, limit+4096, name, strconv.Itoa(limit))
	if err != nil {
		return File{}, fmt.Errorf("read %s on %s: %w", name, h.address, err)
	}
	fail := func(cause error) (File, error) {
		return File{}, fmt.Errorf("read %s on %s as %s: %w", name, h.address, h.account(user), cause)
	}
	text := strings.TrimSpace(string(result.Stderr))
	switch result.ExitCode {
	case 0:
	case exitAbsent:
		return fail(fs.ErrNotExist)
	case exitIrregular:
		return fail(fmt.Errorf("it is not a regular file (%s)", text))
	case exitTooLarge:
		return fail(fmt.Errorf("%w: %s, %d are allowed", ErrOutputTooLarge, text, limit))
	default:
		return fail(fileError(text, result.ExitCode))
	}
	line, content, _ := bytes.Cut(result.Stdout, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 6 {
		return fail(fmt.Errorf("stat prints %q", line))
	}
	mode, err := strconv.ParseUint(fields[0], 8, 32)
	if err != nil {
		return fail(fmt.Errorf("stat prints %q", line))
	}
	if len(content) > limit { // it grew since
		return fail(fmt.Errorf("%w: %d bytes are allowed", ErrOutputTooLarge, limit))
	}
	return File{
		Path: name, Content: NewSecret(content), Mode: fs.FileMode(mode) & fs.ModePerm,
		Owner: named(fields[3], fields[1]), UID: fields[1], Group: named(fields[4], fields[2]),
	}, nil
}

func named(name, number string) string {
	if name == "UNKNOWN" {
		return number
	}
	return name
}

// writeFile is one line without ! for the sake of tcsh. A broken connection looks to cat like the end of the file, so
// the length is checked before anything takes the file's place. The temporary file stands in the same directory: a
// rename is atomic there, and keeps the directory's SELinux type.
const writeFile = `set -eu; umask 077; f=$1; n=$2; m=$3; o=$4; t=; ` +
	`clean() { test -z "$t" || rm -f -- "$t"; }; trap clean EXIT; trap "exit 143" HUP INT TERM PIPE; ` +
	`if test -L "$f"; then f=$(readlink -f -- "$f"); fi; ` +
	`t=$(mktemp "${f%/*}/.tmp.XXXXXXXXXX"); cat >"$t"; ` +
	`test "$(wc -c <"$t")" -eq "$n" || { echo "the content was cut off" >&2; exit 45; }; ` +
	`test -z "${5-}" || test "$(sha256sum <"$f" | cut -c1-64)" = "$5" || { echo "changed" >&2; exit 46; }; ` +
	`test -z "$o" || chown -- "$o" "$t"; chmod -- "$m" "$t"; sync "$t" 2>/dev/null || :; ` +
	`mv -f -- "$t" "$f"; t=; sync "${f%/*}/" 2>/dev/null || :; ` +
	`if command -v restorecon >/dev/null 2>&1; then restorecon "$f" || :; fi`

// WriteFile puts a file in place as an account, whole or not at all: it has its content, owner and mode before it gets
// its name. A symbolic link is followed. The content travels on the input only.
func (h *Host) WriteFile(ctx context.Context, user string, f File) error {
	if !path.IsAbs(f.Path) || path.Base(f.Path) == "/" || strings.HasSuffix(f.Path, "/") {
		return fmt.Errorf("write %s on %s: the path is not that of a file", f.Path, h.address)
	}
	if f.Mode&^fs.ModePerm != 0 || f.Mode == 0 {
		return fmt.Errorf("write %s on %s: mode %v is not made of permission bits", f.Path, h.address, f.Mode)
	}
	owner := f.Owner
	if f.Group != "" {
		owner += ":" + f.Group
	}
	args := []string{"/bin/sh", "-c", writeFile, "sh", f.Path, strconv.Itoa(f.Content.Len()), fmt.Sprintf("%04o", f.Mode), owner}
	if !f.Replaces.IsZero() {
		args = append(args, fmt.Sprintf("%x", sha256.Sum256(f.Replaces.Reveal())))
	}
	result, err := h.Run(ctx, Command{
		Args:  args,
		User:  user,
		Stdin: f.Content,
	})
	if err != nil {
		return fmt.Errorf("write %s on %s: %w", f.Path, h.address, err)
	}
	if result.ExitCode == exitChanged {
		return fmt.Errorf("write %s on %s: %w", f.Path, h.address, ErrChanged)
	}
	if result.ExitCode != 0 {
		return fmt.Errorf("write %s on %s as %s: %w", f.Path, h.address, h.account(user), fileError(strings.TrimSpace(string(result.Stderr)), result.ExitCode))
	}
	return nil
}

// fileError gives the words of the program that failed, with the kind they tell of.
func fileError(text string, code int) error {
	kind := error(nil)
	switch {
	case strings.Contains(text, "Permission denied"), strings.Contains(text, "Operation not permitted"):
		kind = fs.ErrPermission
	case strings.Contains(text, "No such file or directory"):
		kind = fs.ErrNotExist
	}
	if text == "" {
		text = "no message"
	}
	err := fmt.Errorf("%s (exit code %d)", text, code)
	if kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// account is what errors call a user.
func (h *Host) account(user string) string {
	if user != "" {
		return user
	}
	if login := h.probed(); login != nil {
		return login.name
	}
	return "the login user"
}
