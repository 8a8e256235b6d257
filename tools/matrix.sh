#!/usr/bin/env bash
# Runs the real tier on every RabbitMQ in $RELEASES with OpenTofu, and with Terraform where there is one: hours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

clis=("$(tools/cli.sh tofu)")
if terraform=$(tools/cli.sh terraform); then clis+=("$terraform"); fi

failed=()
for release in $RELEASES; do
	for cli in "${clis[@]}"; do
		printf '=== RabbitMQ %s with %s\n' "$release" "$cli"
		RABBITMQ_LAB_RELEASE=$release RABBITMQ_TEST_CLI=$cli go run ./internal/build/tiers real ||
			failed+=("RabbitMQ $release with $cli")
	done
done

[ ${#failed[@]} -eq 0 ] || { printf 'FAILED %s\n' "${failed[@]}"; exit 1; }
