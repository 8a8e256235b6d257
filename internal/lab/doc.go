// Package lab boots whole Debian hosts on one Linux machine: systemd, sshd, sudo, rabbitmq-server as a real unit,
// a network and a hostname of their own. Tests and the demo run the product on them as an operator would.
//
// A host is a systemd-nspawn container. Its disk is an overlay over a base image that all hosts of a release
// share, so a second host costs nothing and a wiped one has a blank disk. Its network is a namespace of its own
// with one cable to the lab's bridge, and it lives in a cgroup of its own, so it can be frozen, killed like a pulled
// plug, and its CPU time read.
//
//	l, err := lab.Up(ctx, lab.Options{Release: lab.V4_0, Hosts: 3})
//	defer l.Down()
//	out, err := l.Hosts()[0].Rabbitmqctl(ctx, "cluster_status")
//
// What a lab made is named after the lab, so any later process finds it again and can remove it: see state.go for
// what happens when the owner dies. Everything needs root on Linux: [Preflight] says what is missing.
package lab
