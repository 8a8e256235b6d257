#!/usr/bin/env bash
# Writes docs/, or with `check` fails when it is stale.
#
#   tools/docs.sh generate|check
#
# The schema comes from the provider itself (internal/build/schemajson), so no Terraform is needed and the pages are the
# same on every machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pages() { # pages COMMAND [FLAG...] runs the generator on the copy
	go tool -modfile=tools/go.mod tfplugindocs "$1" --provider-name rabbitmq --providers-schema "$work/schema.json" \
		--provider-dir "$work/copy" "${@:2}" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
}

mkdir "$work/copy"
cp -R examples templates "$work/copy"
go run ./internal/build/schemajson >"$work/schema.json"
pages generate --rendered-provider-name RabbitMQ
pages validate

case ${1:-} in
generate)
	rm -rf docs
	cp -R "$work/copy/docs" docs
	;;
check)
	diff -ru docs "$work/copy/docs" || {
		echo "docs/ is stale: run make generate" >&2
		exit 1
	}
	;;
*)
	echo "usage: tools/docs.sh generate|check" >&2
	exit 2
	;;
esac
