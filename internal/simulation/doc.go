// Package simulation is a fleet of simulated RabbitMQ brokers, each on a host of its own, with the faults that real
// ones have. It answers exactly the command lines that internal/remote sends, with the texts, exit codes and effects
// that were measured on real brokers (testdata), and it is loud about every line that it does not know.
//
// It stands beside the tests on real hosts, never in their place: what it knows about RabbitMQ it was told.
//
// Read it in this order: Fleet (the world), Broker (one node and what its commands do to the world), shell (how a line
// becomes a command), rabbitmqctl and systemctl (what a command prints), Fault (what goes wrong), Terraform (a core
// that drives the provider without a command-line tool).
//
// Time is simulated: a join takes a simulated second, a hung command minutes. Within a testing/synctest bubble a
// simulated second is a second of the bubble's clock and costs nothing; behind real SSH servers it is a millisecond.
package simulation
