#!/bin/sh
# pod start NAME | pod stop NAME | pod exec -i [--user ACCOUNT] NAME ARGV...
# A broker in a mount, host name, IPC, process and network namespace of its own. Its volume is /srv/pods/NAME; names and
# addresses of all are in /srv/pods/hosts.
set -eu

init() { # the first process of a pod: it puts the root together and becomes the broker
	n=$1 r=/run/pods/$1/root
	mount --make-rprivate /
	hostname "$n"
	mount --bind / "$r"
	mount -t proc proc "$r/proc"
	mount --rbind /dev "$r/dev"
	for d in run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$r/$d"; done
	mount -t tmpfs -o mode=0755 tmpfs "$r/var/log/rabbitmq"
	chown rabbitmq:rabbitmq "$r/var/log/rabbitmq"
	mount --bind "/srv/pods/$n" "$r/var/lib/rabbitmq"
	mount --bind /srv/pods/hosts "$r/etc/hosts"
	cd "$r"
	: >"$r/run/ready"
	exec chroot "$r" setpriv --reuid rabbitmq --regid rabbitmq --init-groups env -i PATH="$PATH" HOME=/var/lib/rabbitmq LANG=C.UTF-8 /usr/lib/rabbitmq/bin/rabbitmq-server
}

pid() { # the pod's first process, as this process table has it
	pgrep -P "$(cat "/run/pods/$1/unshare" 2>/dev/null || echo 999999999)" | head -n 1
}

case $1 in
init) init "$2" ;;
start)
	n=$2
	test -z "$(pid "$n")" || exit 0
	mkdir -p "/run/pods/$n/root"
	ip link show pods >/dev/null 2>&1 || { ip link add pods type bridge; ip addr add 172.30.0.1/24 dev pods; ip link set pods up; }
	ip netns del "$n" 2>/dev/null || :
	ip netns add "$n"
	ip link add "v-$n" type veth peer name eth0 netns "$n"
	ip link set "v-$n" master pods up
	address=$(sed -n "s/ $n\$//p" /srv/pods/hosts)
	nsenter --net="/run/netns/$n" sh -c "ip link set lo up; ip addr add $address/24 dev eth0; ip link set eth0 up"
	setsid nsenter --net="/run/netns/$n" unshare --mount --uts --ipc --pid --fork --kill-child "$0" init "$n" </dev/null >"/srv/pods/$n.log" 2>&1 &
	echo $! >"/run/pods/$n/unshare"
	;;
stop)
	p=$(pid "$2")
	test -z "$p" || { kill "$p"; timeout 60 tail --pid "$p" -f /dev/null || kill -KILL "$p"; }
	ip netns del "$2" 2>/dev/null || :
	;;
exec)
	shift 2 # -i
	as=root
	test "$1" != --user || { as=$2; shift 2; }
	n=$1
	shift
	p=$(pid "$n")
	test -n "$p" || { echo "Error response from daemon: container $n is not running" >&2; exit 1; }
	if test "$as" != root; then
		set -- setpriv --reuid "$as" --regid "$as" --init-groups env HOME=/var/lib/rabbitmq "$@"
	fi
	exec nsenter --target "$p" --mount --uts --ipc --net --pid -- sh -c 'test -e "$0/run/ready" || { echo "Error response from daemon: container is not running" >&2; exit 1; }; exec chroot "$0" "$@"' "/run/pods/$n/root" "$@"
	;;
esac
