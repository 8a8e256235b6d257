// Package acceptance holds the scenarios that run on real hosts: a real Terraform or OpenTofu runs the provider's real
// binary against real brokers behind real sshds. Every check looks at the brokers, not at the state alone.
//
// All tests share one lab of three hosts with one Erlang cookie, which tests of cookies put back; each begins with blank
// brokers. One test:
//
//	RABBITMQ_TEST_CLI=$(tools/cli.sh) go test ./internal/acceptance/ -run TestClusterHealsDrift -v
//
// There are four levels, so that `make test` stays short, and CI within its hour:
//
//   - core: what `make test` runs, the main job on one RabbitMQ. A test is core unless it says otherwise.
//   - full: also what begins with full(t), a test or a part of a story. RABBITMQ_LAB_FULL=1 runs it.
//   - long: also what begins with long(t), which walks slowly where others have been. RABBITMQ_LAB_LONG=1 runs it, together
//     with RABBITMQ_LAB_FULL=1; `make test-full` and `make test-matrix` do, CI does not.
//   - the matrix: what has OnEveryVersion in its name, on every RabbitMQ, with Terraform and with OpenTofu. It is core as
//     well, unless it begins with everyVersion(t): then it is left to the full run and to the matrix. One command line
//     runs all of it, the other one TestClusterLifeOnEveryVersion without what begins with oneCLI(t).
//
// Environment: RABBITMQ_LAB_RELEASE (3.10) is the RabbitMQ to run, RABBITMQ_LAB_REQUIRED=1 makes what is missing a
// failure, RABBITMQ_LAB_FULL=1 is a full run, RABBITMQ_LAB_LONG=1 has the long tests in it, RABBITMQ_LAB_MATRIX=1 a run of the matrix, RABBITMQ_LAB_REUSE is the name
// of a lab that is up and stays up, for working on the tests.
package acceptance
