package provider

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/cluster"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
)

// session is what all resources of one run share: the connections, the defaults, and who may change what now.
type session struct {
	unknown     bool // the provider's configuration is not known yet: no host can be reached
	defaults    sshSettings
	profiles    map[string]sshSettings
	configs     sshConfigs
	rabbitmqctl []string
	pool        *ssh.Pool
	locks       nodeLocks
	memory      cluster.Memory
	claims      claims
	leaving     departures
	restarting  chan struct{} // holds one token: whoever has it may restart a broker
}

// sessionOf takes the session out of what the provider hands its resources; before it is configured there is none.
func sessionOf(data any, diags *diagnostics) *session {
	if data == nil {
		return nil
	}
	s, ok := data.(*session)
	if !ok {
		diags.AddError("Unexpected provider data", fmt.Sprintf("Expected *session, got %T. Please report this to the provider's developers.", data))
	}
	return s
}

func newSession() *session {
	return &session{
		pool:  ssh.NewPool(ssh.Options{Logger: logger()}),
		locks: nodeLocks{held: map[string]bool{}, changed: make(chan struct{})},

		restarting: make(chan struct{}, 1),
	}
}

// patience is how long a host that does not accept connections is waited for when it need not be there, and
// shortPatience how long one whose port refuses them, which is time enough for an sshd that restarts, and how long one
// that was waited for in vain before: a change comes back to each host after every step.
const (
	patience      = 15 * time.Second
	shortPatience = 3 * time.Second
)

// host is one host as a resource describes it.
type host struct {
	Address     string
	SSH         types.Object
	Rabbitmqctl []string
	Service     string
	Commands    *rabbitmq.Commands // in the place of Service
	// Wait says to wait for the host as long as its settings say, because it may still be booting.
	Wait bool
}

// settings resolves a host's SSH settings and checks them without touching the network.
func (s *session) settings(h host) (sshSettings, error) {
	defaults := s.defaults
	if name, set := plain(h.SSH.Attributes()["profile"]); set {
		profile, found := s.profiles[name]
		if !found {
			return defaults, fmt.Errorf("ssh settings for %s: profile %q is none of the provider's ssh_profiles", h.Address, name)
		}
		defaults = profile
	}
	settings, err := defaults.over(h.SSH)
	if err != nil {
		return settings, err
	}
	settings.Host = h.Address
	if settings.ConfigFile != "" {
		if settings, err = s.configs.fill(settings); err != nil {
			return settings, err
		}
	}
	if settings.LateKey = h.Wait; !h.Wait && (settings.Timeout == 0 || settings.Timeout > patience) {
		settings.Timeout = patience
	}
	if !h.Wait {
		settings.RefusedTimeout, settings.SilentTimeout = shortPatience, shortPatience
	}
	return settings, settings.Validate()
}

// addProfiles resolves the profiles: each over the defaults.
func (s *session) addProfiles(profiles types.Map) diagnostics {
	var diags diagnostics
	s.profiles = map[string]sshSettings{}
	for name, value := range profiles.Elements() {
		object, _ := value.(types.Object)
		settings, more := s.defaults.profileSSH(name, object)
		diags.Append(more...)
		s.profiles[name] = settings
	}
	return diags
}

// machine gives a host, undialled.
func (s *session) machine(h host) (*remote.Host, error) {
	settings, err := s.settings(h)
	if err != nil {
		return nil, err
	}
	address := h.Address
	if settings.Port != 0 && settings.Port != ssh.DefaultPort {
		address = net.JoinHostPort(address, strconv.Itoa(settings.Port)) // several hosts may share an address
	}
	lasting := settings.Config
	lasting.Purpose = "lock"
	return remote.New(s.pool.Host(settings.Config), address, remote.Options{
		Become: settings.Become, BecomeMethod: settings.BecomeMethod, BecomeUser: settings.BecomeUser,
		BecomePassword: remote.NewSecret(settings.BecomePassword), Lasting: s.pool.Host(lasting), Logger: logger(),
	}), nil
}

// node gives the node of a host, undialled.
func (s *session) node(name string, h host) (*rabbitmq.Node, error) {
	machine, err := s.machine(h)
	if err != nil {
		return nil, fmt.Errorf("the host of %s: %w", name, err)
	}
	cli := h.Rabbitmqctl
	if len(cli) == 0 {
		cli = s.rabbitmqctl
	}
	return rabbitmq.New(machine, rabbitmq.Config{Name: name, CLI: cli, Service: h.Service, Commands: h.Commands}), nil
}

// oneRestart gives a restart of node's broker that waits for its turn: brokers of one run restart one at a time.
func (s *session) oneRestart(node *rabbitmq.Node) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case s.restarting <- struct{}{}:
			defer func() { <-s.restarting }()
			return node.Restart(ctx)
		case <-ctx.Done():
			return fmt.Errorf("waiting for another broker of this run to restart: %w", context.Cause(ctx))
		}
	}
}

// fleet gives nodes as a fleet, and those in before that are not among them, reached as they were. Any other member that
// turns up is reached under the host part of its name. With wait, a host of nodes that does not answer yet is waited for.
func (s *session) fleet(nodes, before map[string]memberModel, wait bool) (*cluster.Fleet, error) {
	f := &cluster.Fleet{
		Nodes:    map[string]*rabbitmq.Node{},
		Stranger: func(node string) (*rabbitmq.Node, error) { return s.node(node, memberModel{}.host(node)) },
		Memory:   &s.memory,
		Report:   func(ctx context.Context, message string) { tflog.Info(ctx, message) },
	}
	all := maps.Clone(nodes)
	for node, m := range before {
		if _, stays := nodes[node]; !stays {
			all[node] = m
		}
	}
	if wait {
		f.Again = func(node string) (*rabbitmq.Node, error) { return s.node(node, all[node].host(node)) }
	}
	for node, m := range all {
		_, stays := nodes[node]
		h := m.host(node)
		h.Wait = wait && stays
		built, err := s.node(node, h)
		if err != nil {
			return nil, err
		}
		f.Nodes[node] = built
	}
	return f, nil
}

// discover asks a node for the other members of its cluster, the cluster's name, and where the others are: by the addresses that it has for them
// when it was itself named by an address, by the host parts of their names otherwise.
func (s *session) discover(ctx context.Context, node, address string) (others map[string]string, clusterName string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	asked, err := s.node(node, host{Address: address})
	if err != nil {
		return nil, "", err
	}
	o, err := asked.Observe(ctx, rabbitmq.Ask{})
	if err != nil {
		return nil, "", err
	}
	if o.Condition != rabbitmq.Running {
		return nil, "", fmt.Errorf("%s on host %s does not run, so that it cannot tell who is in its cluster: start it, or name another member", node, address)
	}
	others = map[string]string{}
	var names []string
	for _, member := range o.Status.Members() {
		if member != node {
			others[member] = rabbitmq.HostPart(member)
			if rabbitmq.HostPart(member) == rabbitmq.HostPart(node) {
				others[member] = address // the same machine, which may know itself by a loopback address
				continue
			}
			names = append(names, rabbitmq.HostPart(member))
		}
	}
	if net.ParseIP(address) == nil || len(names) == 0 {
		return others, o.Status.ClusterName, nil
	}
	status, err := asked.Status(ctx, rabbitmq.Ask{Resolve: names})
	if err != nil {
		return nil, "", err
	}
	for _, found := range status.Resolves {
		for member := range others {
			if rabbitmq.HostPart(member) == found.Host && len(found.Addresses) > 0 {
				others[member] = found.Addresses[0]
			}
		}
	}
	return others, o.Status.ClusterName, nil
}
