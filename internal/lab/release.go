package lab

import (
	"fmt"
	"strings"
)

// Release is a RabbitMQ version together with the Debian suite that ships it.
type Release struct {
	// RabbitMQ is the version line, "3.10".
	RabbitMQ string
	// Suite is the Debian suite whose rabbitmq-server package it is.
	Suite string
	// FeatureFlags are the only ones that a blank node enables, separated by commas. Empty is RabbitMQ's own choice: all
	// that are stable.
	FeatureFlags string `json:",omitempty"`
}

// The releases a lab can run. 3.8 to 4.0 keep their metadata in Mnesia, 4.3 in Khepri.
var (
	V3_8  = Release{RabbitMQ: "3.8", Suite: "bullseye"}
	V3_10 = Release{RabbitMQ: "3.10", Suite: "bookworm"}
	V4_0  = Release{RabbitMQ: "4.0", Suite: "trixie"}
	V4_3  = Release{RabbitMQ: "4.3", Suite: "sid"}

	// V4_0Khepri is 4.0 with its nodes on Khepri from their first boot, which 4.0 does only when it is told to.
	V4_0Khepri = Release{
		RabbitMQ: "4.0-khepri", Suite: V4_0.Suite,
		FeatureFlags: "khepri_db,message_containers_deaths_v2,quorum_queue_non_voters,rabbit_exchange_type_local_random,rabbitmq_4.0.0",
	}
)

// Releases lists them all, oldest first.
var Releases = []Release{V3_8, V3_10, V4_0, V4_0Khepri, V4_3}

// DefaultRelease is what runs where nobody asked for a version.
var DefaultRelease = V3_10

// ParseRelease finds a release by its RabbitMQ version ("3.10") or its suite ("bookworm").
func ParseRelease(name string) (Release, error) {
	var known []string
	for _, r := range Releases {
		if name == r.RabbitMQ || name == r.Suite {
			return r, nil
		}
		known = append(known, r.RabbitMQ)
	}
	return Release{}, fmt.Errorf("no release %q: the lab knows %s", name, strings.Join(known, ", "))
}

// String returns the name people use, "RabbitMQ 3.10 (bookworm)".
func (r Release) String() string { return fmt.Sprintf("RabbitMQ %s (%s)", r.RabbitMQ, r.Suite) }
