package rabbitmq

import (
	"strings"
	"testing"
)

func TestProbeExpressionSurvivesEveryShell(t *testing.T) {
	text := Ask{Inventory: true, Of: []string{"rabbit@rmq1"}, Peers: true, Resolve: []string{"rmq1"}}.expression()
	if at := strings.IndexAny(text, "$`\\!'\n"); at >= 0 {
		t.Errorf("the expression holds %q, which some shell reads: …%s…", text[at], text[max(0, at-30):at+1])
	}
	for _, left := range []string{"WANT", "HOSTS", "MARKER", "= OF"} {
		if strings.Contains(text, left) {
			t.Errorf("%s was not replaced", left)
		}
	}
}
