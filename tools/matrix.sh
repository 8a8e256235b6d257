#!/usr/bin/env bash
# Runs the real tier's matrix on every RabbitMQ in $RELEASES with OpenTofu, and with Terraform where there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

clis=("$(tools/cli.sh tofu)")
if terraform=$(tools/cli.sh terraform); then clis+=("$terraform"); fi

exec go run ./internal/build/tiers -matrix "${clis[@]}"
