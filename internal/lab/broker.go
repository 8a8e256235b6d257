package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	brokerUnit = "rabbitmq-server"
	brokerPort = 5672
	cookieFile = "/var/lib/rabbitmq/.erlang.cookie"
)

// maskBroker keeps the broker of a host that is off from ever starting.
func (h *Host) maskBroker() error {
	return os.Symlink("/dev/null", filepath.Join(h.root(), "etc/systemd/system", brokerUnit+".service"))
}

// Rabbitmqctl runs rabbitmqctl as the broker's user, with an empty stdin.
func (h *Host) Rabbitmqctl(ctx context.Context, args ...string) (string, error) {
	return h.Run(ctx, append([]string{"runuser", "-u", "rabbitmq", "--", "rabbitmqctl"}, args...)...)
}

// WaitBroker returns when the broker's unit is active, which is when the broker has booted.
func (h *Host) WaitBroker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	// Asking systemd costs a process. The broker opens its port last, so that is asked first, and systemd only now and
	// then in case the port is another one.
	var asked time.Time
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if !h.listens(ctx, brokerPort) && time.Since(asked) < 2*time.Second {
			return false, nil
		}
		asked = time.Now()
		now, err := h.BrokerState(ctx)
		if err == nil && now == "failed" {
			return false, errors.New("its unit has failed")
		}
		return now == "active", nil
	})
	if err != nil {
		return fmt.Errorf("the broker on %s does not run: %w%s%s", h.name, err, h.brokerLog(), h.lastWords(ctx))
	}
	return nil
}

// BrokerState is what systemd says of the broker's unit: active, activating, inactive, failed, ...
func (h *Host) BrokerState(ctx context.Context) (string, error) {
	out, err := h.Run(ctx, "systemctl", "show", "--property=ActiveState", brokerUnit)
	return strings.TrimPrefix(strings.TrimSpace(out), "ActiveState="), err
}

func (h *Host) brokerLog() string {
	log, err := h.ReadFile("/var/log/rabbitmq/" + h.NodeName() + ".log")
	if err != nil {
		return ""
	}
	return "\nlast lines of the broker's log:\n" + lastLines(string(log), 20)
}

// StopBroker stops the broker's unit.
func (h *Host) StopBroker(ctx context.Context) error {
	_, err := h.Run(ctx, "systemctl", "stop", brokerUnit)
	return err
}

// StartBroker starts the broker's unit and returns when the broker has booted. It forgets earlier starts, which the
// newest release's unit counts and limits.
func (h *Host) StartBroker(ctx context.Context) error {
	if _, err := h.Run(ctx, "systemctl", "reset-failed", brokerUnit); err != nil {
		return err
	}
	if _, err := h.Run(ctx, "systemctl", "start", "--no-block", brokerUnit); err != nil {
		return err
	}
	// One that fails its first boot is started again by systemd after ten seconds.
	return h.WaitBroker(ctx)
}

// KillBroker ends the broker at once, like the kernel short of memory would, and keeps systemd from starting it again.
func (h *Host) KillBroker(ctx context.Context) error {
	_, err := h.Run(ctx, "sh", "-c", killBroker)
	return err
}

// A kill of the unit while systemd is told to stop it, so that it neither runs the slow ExecStop nor restarts. What is
// left of the broker's user then is a broker that a test started by hand, or a rabbitmqctl that hangs.
const killBroker = `
systemctl kill --signal=KILL rabbitmq-server 2>/dev/null
systemctl stop rabbitmq-server
pkill -KILL -u rabbitmq beam.smp
systemctl reset-failed rabbitmq-server 2>/dev/null
true`

// BlankBroker makes the broker a blank standalone node, as freshly installed, without a reboot: killed, its data, logs
// and configuration removed, started. It also starts sshd and gives /etc/hosts its lines back. The cookie stays the one
// the host has.
func (h *Host) BlankBroker(ctx context.Context) error {
	_, err := h.Run(ctx, "sh", "-c", killBroker+`
rm -rf /var/lib/rabbitmq/mnesia /var/log/rabbitmq/* /etc/rabbitmq
cp -a /usr/share/lab/etc-rabbitmq /etc/rabbitmq
install -d -m 0750 -o rabbitmq -g rabbitmq /var/lib/rabbitmq/mnesia
systemctl start ssh`)
	if err != nil {
		return err
	}
	names, err := h.lab.names()
	if err != nil {
		return err
	}
	if err := h.WriteFile("/etc/hosts", names, 0o644, "root"); err != nil {
		return err
	}
	if _, err := h.Cookie(); err != nil { // a test took it away
		if err := h.SetCookie(h.cookie); err != nil {
			return err
		}
	}
	return h.StartBroker(ctx)
}

// Cookie reads the host's Erlang cookie file.
func (h *Host) Cookie() (string, error) {
	text, err := h.ReadFile(cookieFile)
	return strings.TrimRight(string(text), "\n"), err
}

// SetCookie writes the host's Erlang cookie file. A running broker keeps the cookie it started with.
func (h *Host) SetCookie(cookie string) error {
	return h.WriteFile(cookieFile, []byte(cookie), 0o400, "rabbitmq")
}

// StopSSHD stops sshd: new connections are refused, open ones go on.
func (h *Host) StopSSHD(ctx context.Context) error {
	_, err := h.Run(ctx, "systemctl", "stop", "ssh")
	return err
}

// StartSSHD starts sshd and returns when it answers.
func (h *Host) StartSSHD(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := h.Run(ctx, "systemctl", "start", "ssh"); err != nil {
		return err
	}
	return poll(ctx, 50*time.Millisecond, func() (bool, error) { return h.answersSSH(ctx), nil })
}
