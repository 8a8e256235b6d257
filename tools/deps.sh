#!/usr/bin/env bash
# Installs the Debian packages that the tests use and this machine lacks: a line for each, nothing when all are there.
# Arguments are packages that are wanted besides.
set -euo pipefail

packages=(
	# the lab: whole hosts on one machine
	systemd-container debootstrap iproute2 nftables
	# the transport tests: a real sshd, what changes accounts, and every shell a login may have
	openssh-server openssh-client sudo opendoas fish tcsh zsh dash
	"$@"
)

command -v dpkg-query >/dev/null || {
	echo "not a Debian machine: tests that need any of ${packages[*]} are skipped where it is missing"
	exit 0
}

missing=()
for package in "${packages[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "missing, and only root can install: ${missing[*]}; tests that need them are skipped"
	exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
{
	apt-get -q update && apt-get -q install -y --no-install-recommends "${missing[@]}"
} </dev/null >"$log" 2>&1 || {
	cat "$log" >&2
	exit 1
}
printf 'installed %s\n' "${missing[@]}"
