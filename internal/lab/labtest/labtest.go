// Package labtest is the lab for tests: hosts that end with the test, and one rule for machines that have none.
package labtest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// Require skips a test on a machine that cannot host a lab and says why. With RABBITMQ_LAB_REQUIRED=1, as in CI, it
// fails the test instead.
func Require(t testing.TB) {
	t.Helper()
	err := lab.Preflight()
	switch {
	case err == nil:
	case os.Getenv("RABBITMQ_LAB_REQUIRED") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// Release is the RabbitMQ version tests run on: RABBITMQ_LAB_RELEASE ("4.0"), or else the lab's default.
func Release(t testing.TB) lab.Release {
	t.Helper()
	name := os.Getenv("RABBITMQ_LAB_RELEASE")
	if name == "" {
		return lab.DefaultRelease
	}
	r, err := lab.ParseRelease(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Up brings up a lab that goes down when the test ends. Its name, if none is given, follows from the test's; its
// release, if none is given, is Release.
func Up(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	Require(t)
	if o.Name == "" {
		o.Name = name(t.Name())
	}
	if o.Release == (lab.Release{}) {
		o.Release = Release(t)
	}
	if o.Progress == nil {
		o.Progress = t.Output()
	}
	// The time is for a machine that has to build the image first.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func name(test string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(test))
	return name[:min(len(name), 30)]
}
