package simulation

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv("SSH_AUTH_SOCK") // a developer's agent is no part of a test
	goleak.VerifyTestMain(m)
}
