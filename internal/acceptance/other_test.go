//go:build !linux

package acceptance

import (
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab/labtest"
)

// TestRealTierNeedsLinux says why nothing else is here.
func TestRealTierNeedsLinux(t *testing.T) { labtest.Require(t) }
