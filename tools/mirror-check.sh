#!/usr/bin/env bash
# Fails when the provider cannot be installed: init takes it from a filesystem mirror as it would from a registry, without
# dev_overrides, writes it into the lock file, and the schema of what was installed holds an example valid.
#
#   tools/mirror-check.sh              builds the mirror with tools/mirror.sh
#   tools/mirror-check.sh dist         takes the archives of tools/release.sh, as the registries hand them out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cli=$(tools/cli.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -n "${1:-}" ]; then
	zip=$(echo "$1"/terraform-provider-rabbitmq_*_"$(go env GOOS)_$(go env GOARCH)".zip)
	version=$(basename "$zip" | cut -d_ -f2)
	for registry in registry.terraform.io registry.opentofu.org; do
		mkdir -p "$work/mirror/$registry/rabbitmq-topology/rabbitmq"
		cp "$zip" "$work/mirror/$registry/rabbitmq-topology/rabbitmq"
	done
else
	version=0.0.1
	VERSION=$version tools/mirror.sh "$work/mirror" >/dev/null
fi

export TF_CLI_CONFIG_FILE=$work/cli.tfrc CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
unset TF_REATTACH_PROVIDERS TF_PLUGIN_CACHE_DIR
cat >"$TF_CLI_CONFIG_FILE" <<END
provider_installation {
  filesystem_mirror {
    path = "$work/mirror"
  }
}
END

mkdir "$work/config"
cat >"$work/config/main.tf" <<END
terraform {
  required_providers {
    rabbitmq = {
      source  = "rabbitmq-topology/rabbitmq"
      version = "$version"
    }
  }
}

resource "rabbitmq_cluster" "this" {
  members = {
    "rabbit@rmq1" = {}
    "rabbit@rmq2" = {}
  }
}
END
run() {
	"$cli" -chdir="$work/config" "$@" -no-color >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
}
run init -input=false
grep -q "version *= \"$version\"" "$work/config/.terraform.lock.hcl"
run validate
"$work"/config/.terraform/providers/*/rabbitmq-topology/rabbitmq/"$version"/*/terraform-provider-rabbitmq_v* -version
echo "$(basename "$cli") installs version $version from the mirror"
