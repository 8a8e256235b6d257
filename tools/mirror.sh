#!/usr/bin/env bash
# Builds the provider for this machine into a filesystem mirror, from which `terraform init` and `tofu init` install it as
# they would from a registry.
#
#   tools/mirror.sh [DIR]   default dist/mirror; VERSION (0.0.1) is the version that it gets
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=${1:-dist/mirror}
version=${VERSION:-0.0.1}
case $version in
dev | '') version=0.0.1 ;; # init takes nothing that is no version
esac
platform=$(go env GOOS)_$(go env GOARCH)

rm -rf "$dir"
for registry in registry.terraform.io registry.opentofu.org; do
	target=$dir/$registry/rabbitmq-topology/rabbitmq/$version/$platform
	mkdir -p "$target"
	program=$target/terraform-provider-rabbitmq_v$version$(go env GOEXE)
	if [ -z "${built:-}" ]; then
		CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version -X main.commit=${COMMIT:-unknown}" -o "$program" .
		built=$program
	else
		cp "$built" "$program"
	fi
done

cat <<END
The mirror is in $dir. A command line takes the provider from it with this in ~/.terraformrc or ~/.tofurc:

provider_installation {
  filesystem_mirror {
    path    = "$(cd "$dir" && pwd)"
    include = ["rabbitmq-topology/rabbitmq"]
  }
  direct {
    exclude = ["rabbitmq-topology/rabbitmq"]
  }
}
END
