// Package acceptance holds the scenarios that run on real hosts: a real Terraform or OpenTofu runs the provider's real
// binary against real brokers behind real sshds. Every check looks at the brokers, not at the state alone.
//
// All tests share one lab of three hosts with one Erlang cookie, which tests of cookies put back; each begins with blank
// brokers. One test:
//
//	RABBITMQ_TEST_CLI=$(tools/cli.sh) go test ./internal/acceptance/ -run TestClusterHealsDrift -v
//
// Environment: RABBITMQ_LAB_RELEASE (3.10) is the RabbitMQ to run, RABBITMQ_LAB_REQUIRED=1 makes what is missing a
// failure, RABBITMQ_LAB_FULL=1 runs also the parts of the stories that take longer, RABBITMQ_LAB_REUSE is the name of a
// lab that is up and stays up, for working on the tests.
package acceptance
