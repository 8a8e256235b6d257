#!/usr/bin/env bash
# Prints the path of the Terraform or OpenTofu that the tests and the docs run.
#
#   tools/cli.sh             RABBITMQ_TEST_CLI; else terraform or tofu on PATH, from version 1.11; else OpenTofu, built
#   tools/cli.sh terraform   terraform on PATH; else fails
#   tools/cli.sh tofu        tofu on PATH; else OpenTofu, built
#
# OpenTofu is built from the module in tools/opentofu, once, into the user's cache: some four minutes on two cores.
set -euo pipefail

oldest=1.11.0 # the first with write-only attributes, in both
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }

# on_path NAME prints where NAME is when it is new enough.
on_path() {
	local path version
	path=$(command -v "$1") || return 1
	# A TF_CLI_CONFIG_FILE that does not exist would add a warning to the version.
	version=$(TF_CLI_CONFIG_FILE=/dev/null CHECKPOINT_DISABLE=1 "$path" version -json 2>/dev/null |
		sed -n 's/.*"terraform_version": *"\([^"]*\)".*/\1/p') || return 1
	if [ -z "$version" ] || [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" != "$oldest" ]; then
		say "$path is version ${version:-unknown}, older than $oldest: not used"
		return 1
	fi
	printf '%s\n' "$path"
}

built_tofu() {
	local version dir tofu
	version=$(sed -n 's|^.*github.com/opentofu/opentofu v\([^ ]*\).*|\1|p' "$here/opentofu/go.mod")
	dir=${XDG_CACHE_HOME:-$HOME/.cache}/terraform-provider-rabbitmq/opentofu-$version
	tofu=$dir/tofu
	if [ ! -x "$tofu" ]; then
		say "building OpenTofu $version into $dir: some minutes, once"
		mkdir -p "$dir"
		# Another make may be at it too: each builds its own file, and the last rename wins.
		go -C "$here/opentofu" build -trimpath -ldflags='-s -w -X github.com/opentofu/opentofu/version.dev=no' \
			-o "$tofu.$$" github.com/opentofu/opentofu/cmd/tofu >&2
		mv "$tofu.$$" "$tofu"
	fi
	printf '%s\n' "$tofu"
}

case ${1:-any} in
any)
	if [ -n "${RABBITMQ_TEST_CLI:-}" ]; then
		command -v "$RABBITMQ_TEST_CLI" || { say "RABBITMQ_TEST_CLI=$RABBITMQ_TEST_CLI is no command"; exit 1; }
	else
		on_path terraform || on_path tofu || built_tofu
	fi
	;;
terraform) on_path terraform || { say "no terraform from version $oldest on PATH"; exit 1; } ;;
tofu) on_path tofu || built_tofu ;;
*) say "usage: tools/cli.sh [terraform|tofu]"; exit 2 ;;
esac
