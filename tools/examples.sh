#!/usr/bin/env bash
# Fails when an example is not formatted, or is not valid for the provider as it is in this checkout. A file that the
# documentation quotes is a configuration of its own; any other folder with .tf files is one as a whole.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cli=$(tools/cli.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export TF_CLI_CONFIG_FILE=$work/cli.tfrc CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
mkdir "$work/bin"
# hashicorp/rabbitmq is what a configuration without required_providers asks for.
cat >"$TF_CLI_CONFIG_FILE" <<EOF
provider_installation {
  dev_overrides {
    "rabbitmq-topology/rabbitmq" = "$work/bin"
    "hashicorp/rabbitmq"         = "$work/bin"
  }
}
EOF
go build -o "$work/bin/terraform-provider-rabbitmq" .

failed=0
"$cli" fmt -check -recursive -diff examples || failed=1

validate() { # validate NAME FILE...
	rm -rf "$work/config"
	mkdir "$work/config"
	cp "${@:2}" "$work/config"
	"$cli" -chdir="$work/config" validate -no-color >"$work/log" 2>&1 || {
		printf '%s is not valid:\n' "$1"
		sed -n "/^Error/,\$p" "$work/log" # after the warning that overrides are in effect
		failed=1
	}
}

# Left out: import blocks need the resource they import to, and actions need Terraform 1.14.
while read -r file; do
	validate "$file" "$file"
done < <(find examples/{provider,resources,data-sources,ephemeral-resources,functions} -name '*.tf' -not -name 'import*.tf' 2>/dev/null | sort)

while read -r folder; do
	validate "$folder" "$folder"/*.tf
done < <(find examples -name '*.tf' -exec dirname {} + |
	grep -vE '^examples/(provider|resources|data-sources|ephemeral-resources|functions|actions|list-resources)(/|$)' | sort -u)

exit "$failed"
