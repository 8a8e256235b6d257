package labtest

import (
	"os"
	"strings"
	"testing"
)

// LeftToFullRun begins what a test says that only a full run carries out, and LeftToLongRun what one says that only those
// carry out who have hours. The test runner counts by them.
const (
	LeftToFullRun = "left to the full run"
	LeftToLongRun = "left to the long run"
)

// OnEveryVersion is in the name of a test that the matrix runs, on every RabbitMQ that the lab knows.
const OnEveryVersion = "OnEveryVersion"

// Cookie is the Erlang cookie of all hosts of a lab that acceptance tests run on.
const Cookie = "ACCEPTANCESHARED"

// Full leaves a test, or a part of one, to the full run: RABBITMQ_LAB_FULL=1.
func Full(t testing.TB) {
	t.Helper()
	if os.Getenv("RABBITMQ_LAB_FULL") != "1" {
		t.Skip(LeftToFullRun + ": RABBITMQ_LAB_FULL=1")
	}
}

// Long leaves a test, or a part of one, to those who have hours: RABBITMQ_LAB_LONG=1, as `make test-full` and
// `make test-matrix` set it, and CI does not.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("RABBITMQ_LAB_LONG") != "1" {
		t.Skip(LeftToLongRun + ": RABBITMQ_LAB_LONG=1")
	}
}

// EveryVersion leaves a test, or a part of one, to the full run and to the matrix.
func EveryVersion(t testing.TB) {
	t.Helper()
	if !strings.Contains(t.Name(), OnEveryVersion) {
		t.Fatalf("the matrix finds tests with %s in their names", OnEveryVersion)
	}
	if os.Getenv("RABBITMQ_LAB_MATRIX") != "1" {
		Full(t)
	}
}

// OneCLI leaves a part of a story to the command line that runs the whole of it: -short.
func OneCLI(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip(LeftToFullRun + ": -short")
	}
}
