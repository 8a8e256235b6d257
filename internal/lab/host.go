package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Host is one Debian host.
type Host struct {
	lab     *Lab
	name    string
	number  int
	release Release
	image   string
	cookie  string
	node    string
	ipv6    bool
	cgroup  cgroup

	noBroker bool

	mu    sync.Mutex
	ended chan struct{} // closed when the systemd-nspawn that this process started has ended
}

func newHost(l *Lab, s hostState) *Host {
	root, _ := cgroupRoot() // Preflight has said it is there
	return &Host{
		lab: l, name: s.Name, number: s.Number, release: s.Release, image: s.Image, cookie: s.Cookie, node: s.Node, ipv6: s.IPv6, noBroker: s.NoBroker,
		cgroup: cgroup(root).child(l.state.Network.bridge()).child(s.Name),
	}
}

// Name is the host name, "rmq1".
func (h *Host) Name() string { return h.name }

// Release is the RabbitMQ version it runs.
func (h *Host) Release() Release { return h.release }

// Address is its only address: IPv4, unless it was added with [HostSpec.IPv6]. It stays the same for the host's life,
// wiped or not.
func (h *Host) Address() string {
	if h.ipv6 {
		return h.lab.state.Network.address6(h.number)
	}
	return h.lab.state.Network.address(h.number)
}

// SSHPort is where its sshd listens.
func (h *Host) SSHPort() int { return 22 }

// NodeName is its broker's Erlang node name: "rabbit@rmq1", unless it was added with another.
func (h *Host) NodeName() string {
	if h.node != "" {
		return h.node
	}
	return "rabbit@" + h.name
}

// names are what the host is known as to all hosts: its name, and before it the one that its node's name has, if that is
// another.
func (h *Host) names() string {
	if _, host, _ := strings.Cut(h.NodeName(), "@"); host != h.name {
		return host + " " + h.name
	}
	return h.name
}

// settings are the lines that the host has in rabbitmq-env.conf beside the image's.
func (h *Host) settings() string {
	var lines string
	if h.release.FeatureFlags != "" {
		lines += "FEATURE_FLAGS=" + h.release.FeatureFlags + "\n"
	}
	if h.node != "" {
		lines += "NODENAME=" + h.node + "\n"
	}
	if _, host, _ := strings.Cut(h.node, "@"); strings.Contains(host, ".") {
		lines += "USE_LONGNAME=true\n"
	}
	if h.ipv6 { // as RabbitMQ's networking guide has it
		lines += "SERVER_ADDITIONAL_ERL_ARGS=\"$SERVER_ADDITIONAL_ERL_ARGS -kernel inetrc '" + inetrc + "' -proto_dist inet6_tcp\"\nCTL_ERL_ARGS=\"-proto_dist inet6_tcp\"\n"
	}
	return lines
}

// inetrc is where a host with IPv6 only has Erlang look names up as IPv6 addresses: before it starts, a broker asks for
// itself by its name.
const inetrc = "/etc/rabbitmq/erl_inetrc"

// HostKey is its SSH host key as a line of authorized_keys has it.
func (h *Host) HostKey() string {
	text, err := os.ReadFile(h.hostKeyFile() + ".pub")
	f := strings.Fields(string(text))
	if err != nil || len(f) < 2 {
		return ""
	}
	return f[0] + " " + f[1]
}

// remember makes a cookie the one the host gets with a blank disk.
func (h *Host) remember(cookie string) error {
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	h.cookie = cookie
	for i := range h.lab.state.Hosts {
		if h.lab.state.Hosts[i].Name == h.name {
			h.lab.state.Hosts[i].Cookie = cookie
		}
	}
	return h.lab.state.write()
}

func (h *Host) dir() string         { return filepath.Join(h.lab.dir(), h.name) }
func (h *Host) root() string        { return filepath.Join(h.dir(), "root") }
func (h *Host) hostKeyFile() string { return filepath.Join(h.dir(), "ssh_host_ed25519_key") }
func (h *Host) consoleLog() string  { return filepath.Join(h.dir(), "console.log") }
func (h *Host) machineName() string { return h.lab.state.Network.space(h.name) }

// Boot starts the host with the disk it has and its cable plugged in, and returns when its sshd answers. The broker
// may take longer, or wait for its peers: see WaitBroker.
func (h *Host) Boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	if h.Running() {
		return fmt.Errorf("%s is running", h.name)
	}
	if err := errors.Join(h.cgroup.remove(ctx), h.cgroup.create()); err != nil {
		return err
	}
	if err := h.HealNetwork(ctx); err != nil {
		return err
	}
	if err := h.nspawn(); err != nil {
		return fmt.Errorf("unable to start systemd-nspawn for %s: %w", h.name, err)
	}
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		if !h.Running() {
			return false, errors.New("systemd-nspawn ended")
		}
		return h.answersSSH(ctx), nil
	})
	if err != nil {
		return fmt.Errorf("%s did not come up: sshd does not answer: %w%s", h.name, err, h.lastWords(ctx))
	}
	return nil
}

// nspawn starts the host in its cgroup. It is told to keep out of the cgroups and registers of the machine's own
// systemd, which need not be there.
func (h *Host) nspawn() error {
	log, err := os.OpenFile(h.consoleLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	argv := h.cgroup.entering("systemd-nspawn", "--quiet", "--boot",
		"--directory="+h.root(), "--machine="+h.machineName(), "--hostname="+h.name,
		"--register=no", "--keep-unit",
		"--network-namespace-path=/run/netns/"+h.machineName(), "--capability=CAP_NET_ADMIN",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(),
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", // systemd 258 and later, in the newest suite, refuse cgroup v1
		"TMPDIR="+filepath.Join(h.dir(), "tmp"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	h.mu.Lock()
	h.ended = ended
	h.mu.Unlock()
	// From the wrapping shell to the moment it is in the cgroup, nothing is in there.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return poll(ctx, time.Millisecond, func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New(lastLines(h.console(), 5))
		default:
			return h.Running(), nil
		}
	})
}

// listens tells whether something on the host takes connections on a port.
func (h *Host) listens(ctx context.Context, port int) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(h.Address(), strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func (h *Host) answersSSH(ctx context.Context) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(h.Address(), strconv.Itoa(h.SSHPort())))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	banner := make([]byte, 4)
	_, err = io.ReadFull(conn, banner)
	return err == nil && bytes.Equal(banner, []byte("SSH-"))
}

// Running tells whether the host is on. A frozen one is.
func (h *Host) Running() bool { return !h.cgroup.empty() }

// Stop powers the host off as systemctl poweroff does, and returns when it is off.
func (h *Host) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	pids := h.cgroup.child("supervisor").pids()
	if len(pids) == 0 {
		return nil
	}
	if err := terminate(pids[0]); err != nil {
		return err
	}
	if err := h.cgroup.child("payload").waitEmpty(ctx); err != nil {
		return fmt.Errorf("%s does not power off: %w%s", h.name, err, h.lastWords(ctx))
	}
	return h.PullPlug(ctx) // of what Run may have left, and of the cable
}

// PullPlug ends the host at once: no shutdown, no goodbye to its peers, as a power cut. The disk stays as it is.
func (h *Host) PullPlug(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// Without the cable no peer sees the connections of the killed processes end.
	if err := h.CutNetwork(ctx); err != nil {
		return err
	}
	if err := h.cgroup.kill(ctx); err != nil {
		return fmt.Errorf("unable to pull the plug of %s: %w", h.name, err)
	}
	h.reapChild()
	return removeNspawnLeftovers(h.machineName(), h.root())
}

// reapChild waits for the systemd-nspawn this process started, which is dead.
func (h *Host) reapChild() {
	h.mu.Lock()
	ended := h.ended
	h.ended = nil
	h.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// Wipe pulls the plug and gives the host a blank disk, as after a reinstallation: same name, same address, and the
// same SSH host key or a new one. Its cookie is the lab's shared one, or a new random one. It stays off: Boot it.
func (h *Host) Wipe(ctx context.Context, key KeyChoice) error {
	if err := h.PullPlug(ctx); err != nil {
		return err
	}
	if err := unmountBelow(h.root()); err != nil {
		return err
	}
	for _, dir := range []string{"upper", "work"} {
		if err := os.RemoveAll(filepath.Join(h.dir(), dir)); err != nil {
			return err
		}
	}
	cookie := h.lab.state.Cookie
	if cookie == "" {
		cookie = rand.Text()
	}
	if err := h.remember(cookie); err != nil {
		return err
	}
	if err := h.layDisk(ctx, key); err != nil {
		return err
	}
	return h.lab.writeKnownHosts()
}

// Freeze stops every process on the host where it stands. Its connections stay open and nobody answers.
func (h *Host) Freeze(ctx context.Context) error { return h.setFrozen(ctx, true) }

// Thaw lets a frozen host go on. On any other it does nothing.
func (h *Host) Thaw(ctx context.Context) error { return h.setFrozen(ctx, false) }

func (h *Host) setFrozen(ctx context.Context, frozen bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if !h.Running() {
		return fmt.Errorf("%s is off", h.name)
	}
	return h.cgroup.freeze(ctx, frozen)
}

// CutNetwork pulls the network cable out.
func (h *Host) CutNetwork(ctx context.Context) error {
	return h.lab.state.Network.setCable(ctx, h.number, false)
}

// HealNetwork plugs the network cable in.
func (h *Host) HealNetwork(ctx context.Context) error {
	return h.lab.state.Network.setCable(ctx, h.number, true)
}

// CutMachine drops what comes from this machine: SSH to the host times out, and its peers still reach it. Lab.Heal
// ends it.
func (h *Host) CutMachine(ctx context.Context) error {
	return h.lab.state.Network.drop(ctx, h.name, []string{h.lab.MachineAddress()})
}

// CPUSeconds is the CPU time all processes of the host have used since it booted.
func (h *Host) CPUSeconds() (float64, error) {
	used, err := h.cgroup.stat("cpu.stat", "usage_usec")
	return float64(used) / 1e6, err
}

func (h *Host) console() string {
	text, _ := os.ReadFile(h.consoleLog())
	return string(text)
}

// lastWords is what a host said before something went wrong: its journal, or its console when nothing can be run.
// When the caller called it off, nothing went wrong.
func (h *Host) lastWords(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	journal, err := h.Run(ctx, "journalctl", "--no-pager", "--lines=30", "--output=short-monotonic")
	if err != nil {
		return fmt.Sprintf("\nlast lines of the console of %s:\n%s", h.name, lastLines(h.console(), 30))
	}
	return fmt.Sprintf("\nlast lines of the journal of %s:\n%s", h.name, journal)
}
