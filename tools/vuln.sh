#!/usr/bin/env bash
# Runs govulncheck; says so and goes on where its database cannot be reached.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

status=0
output=$(timeout 300 go tool -modfile=tools/go.mod govulncheck ./... 2>&1) || status=$?

case $output in
*"fetching vulnerabilities"*)
	echo "govulncheck: not run, its database cannot be reached from here"
	exit 0
	;;
esac

printf '%s\n' "$output"
exit "$status"
