// Package ssh is the transport: it opens, keeps and shares one authenticated SSH connection per host and runs
// single command lines over it. It knows nothing of sudo, shells or RabbitMQ.
//
// A failure is always one of a few kinds, found with [errors.As]: [ConfigError] (a setting is wrong, nothing was
// dialled), [DialError], [AuthError] and [HostKeyError] (no connection, so no command ran), [SessionRefusedError]
// (connected, but the command was not started), [InterruptedError] and [ConnectionLostError] (the command may have
// run, or may still be running).
package ssh
