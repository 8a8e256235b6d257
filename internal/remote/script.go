package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Script runs a fixed script of /bin/sh as an account (empty: the login user), with args as $1 and on. The script
// travels on the input, so that no login shell reads it, and its commands have an empty input. A connection that breaks
// while it travels runs none of it. It must hold no secret.
func (h *Host) Script(ctx context.Context, user, script string, args ...string) (Result, error) {
	return h.script(ctx, user, script, 0, args...)
}

func (h *Host) script(ctx context.Context, user, script string, limit int, args ...string) (Result, error) {
	if strings.Contains(script, "\x00") {
		return Result{}, errors.New("a script holds a NUL byte")
	}
	// The shell runs a group only once it has read the closing brace.
	group := fmt.Sprintf("{\n%s\n} </dev/null\nexit\n", script)
	return h.Run(ctx, Command{
		Args: append([]string{"/bin/sh", "-s", "--"}, args...), User: user, Stdin: NewSecret(group), MaxOutput: limit,
	})
}
