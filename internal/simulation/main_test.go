package simulation

import (
	"os"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv("SSH_AUTH_SOCK") // a developer's agent is no part of a test
	debug.SetGCPercent(400)          // short lives, little memory: collecting costs a fifth of the time
	goleak.VerifyTestMain(m)
}
