package sshtest

import (
	"os"
	"os/exec"
	"testing"
)

// Require skips the test without the named programs, or fails it where the environment says that all of them are to be
// there.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Missing(t, "needs %s, which is not installed here", p)
		}
	}
}

// Missing skips the test, or fails it with RABBITMQ_LAB_REQUIRED=1.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("RABBITMQ_LAB_REQUIRED") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
