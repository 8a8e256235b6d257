package provider

import (
	"slices"
	"testing"
)

// Who leaves in the same run may leave before another one, but never with more consent than its own resource gives.
func TestDeparturesKeepConsentApart(t *testing.T) {
	var d departures
	end := d.begin("rabbit@rmq3 on rmq3", departure{node: "rabbit@rmq3"})
	d.begin("rabbit@rmq2 on rmq2", departure{node: "rabbit@rmq2", allowDataLoss: true})
	d.begin("rabbit@rmq1 on elsewhere", departure{node: "rabbit@rmq1"})
	all := []string{"rabbit@rmq1 on rmq1", "rabbit@rmq2 on rmq2", "rabbit@rmq3 on rmq3"}
	if got, want := d.among(all, false), []string{"rabbit@rmq2", "rabbit@rmq3"}; !slices.Equal(got, want) {
		t.Errorf("without consent: %v, want %v", got, want)
	}
	if got, want := d.among(all, true), []string{"rabbit@rmq2"}; !slices.Equal(got, want) {
		t.Errorf("with consent: %v, want %v", got, want)
	}
	end()
	if got, want := d.among(all, false), []string{"rabbit@rmq2"}; !slices.Equal(got, want) {
		t.Errorf("after one has left: %v, want %v", got, want)
	}
}
