package simulation

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

func (b *Broker) closedDoor() bool {
	up, shut := b.door()
	return !up || shut
}

// door tells whether the host is there, and whether its sshd takes no connections.
func (b *Broker) door() (up, shut bool) {
	b.fleet.mu.Lock()
	defer b.fleet.mu.Unlock()
	return b.up, b.shut
}

// Servers are real SSH servers, one before each host of a fleet.
type Servers struct {
	fleet  *Fleet
	byName map[string]*sshtest.Server
}

// Serve puts an SSH server before each host.
func Serve(t testing.TB, f *Fleet) *Servers {
	t.Helper()
	s := &Servers{fleet: f, byName: map[string]*sshtest.Server{}}
	for _, name := range f.Names() {
		b := f.Broker(name)
		var server *sshtest.Server
		server = sshtest.New(t, func(made *sshtest.Server) {
			server = made
			made.Anyone = true
			made.Exec = func(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
				if b.closedDoor() {
					made.Disconnect()
					return 255
				}
				if isLock(line) {
					code, _ := b.lock(ctx, line, stdin, stdout)
					return code
				}
				o := b.exec(ctx, user, line, stdin)
				// The door may have been shut meanwhile; nobody gets in as long as it is.
				if shut := b.closedDoor(); shut || o.cut {
					if shut {
						s.shut(made, b)
					}
					made.Disconnect()
					return 255
				}
				_, _ = io.WriteString(stdout, o.out)
				_, _ = io.WriteString(stderr, o.err)
				return o.code
			}
		})
		s.byName[name] = server
	}
	return s
}

// shut turns connections away until the host takes some again.
func (s *Servers) shut(server *sshtest.Server, b *Broker) {
	server.Set(func(server *sshtest.Server) { server.HangUps = 1 << 30 })
	s.fleet.background.Go(func() {
		for b.closedDoor() {
			select {
			case <-s.fleet.closed:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		server.Set(func(server *sshtest.Server) { server.HangUps = 0 })
	})
}

// Close ends all servers, and the fleet.
func (s *Servers) Close() {
	for _, server := range s.byName {
		server.Disconnect()
	}
	s.fleet.Close()
	for _, server := range s.byName {
		server.Close()
	}
}

// PowerOff is Broker.PowerOff, for connections as well.
func (s *Servers) PowerOff(name string) {
	b := s.fleet.Broker(name)
	b.PowerOff()
	s.shut(s.byName[name], b)
	s.byName[name].Disconnect()
}

// Provider is a provider configuration that reaches the hosts, and does not wait long for one that is gone.
func (s *Servers) Provider() map[string]any {
	return map[string]any{"ssh": map[string]any{"user": login, "agent": false, "timeout": "2s", "connect_timeout": "2s", "strict_host_key_checking": "no"}}
}

// Port is where the SSH server before a host listens.
func (s *Servers) Port(name string) int { return s.byName[name].Port() }

// Host is how a host is reached, as arguments of a resource.
func (s *Servers) Host(name string) map[string]any {
	return map[string]any{"host": "127.0.0.1", "ssh": map[string]any{"port": s.byName[name].Port(), "host_key": s.byName[name].HostKeyLine()}}
}

// Members is the members argument of rabbitmq_cluster for some nodes.
func (s *Servers) Members(names ...string) map[string]any {
	members := map[string]any{}
	for _, name := range names {
		members[name] = s.Host(name)
	}
	return members
}

// Seen counts what reached all hosts so far: connections, and commands of any kind.
func (s *Servers) Seen() (connections, commands int) {
	for _, server := range s.byName {
		stats := server.Stats()
		connections += stats.Connections
		commands += stats.Commands
	}
	return connections, commands
}
