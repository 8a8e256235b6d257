# Runs as root inside a fresh Debian tree (chroot) and turns it into the lab's base image.
# Its text is part of the image's recipe: a change here makes a new image.
set -eu

# --- people. deploy has sudo without a password, operator needs one, nosudo has no right at all.
useradd -m -u 2001 -s /bin/bash deploy
useradd -m -u 2002 -s /bin/bash -g operator operator # Debian has a group of that name
useradd -m -u 2003 -s /bin/bash nosudo
for u in deploy operator nosudo; do
	printf '%s:%s\n' "$u" "$PASSWORD" | chpasswd
	install -d -m 0700 -o "$u" -g "$u" "/home/$u/.ssh"
done
printf 'deploy ALL=(ALL:ALL) NOPASSWD: ALL\noperator ALL=(ALL:ALL) ALL\n' >/etc/sudoers.d/lab
chmod 0440 /etc/sudoers.d/lab

touch /etc/default/locale # pam_env complains of its absence at every login

# --- sshd. One host key, so that known_hosts is complete. The newest sshd makes a source address wait after failed
# logins; every test of a lab comes from one address.
rm -f /etc/ssh/ssh_host_*
mkdir -p /etc/ssh/sshd_config.d
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication yes\nUseDNS no\n' >/etc/ssh/sshd_config.d/lab.conf
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
mkdir -p /run/sshd
if /usr/sbin/sshd -T 2>/dev/null | grep -qi '^persourcepenalties'; then
	printf 'PerSourcePenalties no\n' >>/etc/ssh/sshd_config.d/lab.conf
fi
rm -f /etc/ssh/ssh_host_*

# --- systemd. What a container does not need, or what would run by the clock in the middle of a test.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer logrotate.timer man-db.timer cron.service systemd-tmpfiles-clean.timer \
	getty.target console-getty.service systemd-logind.service systemd-logind-varlink.socket systemd-pstore.service systemd-firstboot.service \
	sshd-keygen.service systemd-hwdb-update.service systemd-journal-catalog-update.service ldconfig.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-networkd-wait-online.service \
	sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
	ln -sf /dev/null "/etc/systemd/system/$unit"
done
ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
# Without this sshd answers for a moment with "System is booting up", and a login right after boot fails.
mkdir -p /etc/tmpfiles.d
ln -sf /dev/null /etc/tmpfiles.d/systemd-nologin.conf
# The journal of a crashed host is wanted after its next boot.
mkdir -p /var/log/journal

# --- RabbitMQ. Scheduler threads that spin a little before they sleep: on a virtual machine every wake-up of a
# sleeping core costs more than the work it wakes up for, and a broker boots in 3 s where it took 9.
mkdir -p /etc/rabbitmq
printf 'SERVER_ADDITIONAL_ERL_ARGS="+sbwt medium +sbwtdio medium"\n' >>/etc/rabbitmq/rabbitmq-env.conf
# The package made a cookie at install time: with it every host had the same one, and nothing were tested.
rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia/* /var/log/rabbitmq/*
rm -rf /usr/share/lab && mkdir -p /usr/share/lab && cp -a /etc/rabbitmq /usr/share/lab/etc-rabbitmq

# --- what every host gets of its own, and what only takes space.
rm -f /etc/machine-id /var/lib/dbus/machine-id /etc/resolv.conf /etc/hostname
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /tmp/* /run/*
