#!/usr/bin/env bash
# Builds what a release consists of, without publishing or signing anything: a zip for each platform, the manifest, SHA256SUMS
# and a list of what is in it (SBOM), in dist/.
#
#   tools/release.sh          all platforms of the registries: minutes
#   tools/release.sh single   this machine's alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool() { go tool -modfile=tools/release/go.mod "$@"; }

config=.goreleaser.yml
if [ "${1:-}" = single ]; then
	config=$(mktemp --suffix=.yml)
	trap 'rm -f "$config"' EXIT
	sed -e "s/^    goos: .*/    goos: [$(go env GOOS)]/" -e "s/^    goarch: .*/    goarch: [$(go env GOARCH)]/" .goreleaser.yml >"$config"
fi

tool goreleaser check --config "$config"
tool goreleaser release --snapshot --clean --skip=sign,publish,sbom --config "$config"
tool cyclonedx-gomod mod -licenses=false -json -output dist/sbom.cdx.json . 2>/dev/null

cd dist
sums=$(echo terraform-provider-rabbitmq_*_SHA256SUMS)
cp ../terraform-registry-manifest.json "${sums%_SHA256SUMS}_manifest.json" # as it is when it is published
sha256sum --check --quiet "$sums"
manifests=$(grep -c '_manifest.json$' "$sums")
zips=$(grep -c '\.zip$' "$sums")
[ "$manifests" = 1 ] || { echo "SHA256SUMS has $manifests manifests" >&2; exit 1; }
for zip in terraform-provider-rabbitmq_*.zip; do
	# Without -q: grep would end first, and unzip with a broken pipe.
	unzip -Z1 "$zip" | grep '^terraform-provider-rabbitmq_v' >/dev/null || { echo "$zip has no program of the right name in it" >&2; exit 1; }
done
grep -q '"bomFormat": "CycloneDX"' sbom.cdx.json
echo "$zips platforms, a manifest, SHA256SUMS and an SBOM are in dist/"
