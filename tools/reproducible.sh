#!/usr/bin/env bash
# Fails when two builds of the same sources differ: from two folders, with two build caches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

build() { # build FOLDER prints the hash of what it builds there
	mkdir -p "$work/$1"
	git ls-files -z -- go.mod go.sum main.go internal | xargs -0 cp --parents -t "$work/$1"
	(cd "$work/$1" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=0.0.0 -X main.commit=none' -o provider . && sha256sum <provider)
}

one=$(build one)
two=$(GOCACHE=$work/cache build another/and-deeper)
if [ "$one" != "$two" ]; then
	echo "two builds differ: $one and $two" >&2
	exit 1
fi
echo "two builds are the same: ${one%% *}"
