#!/usr/bin/env bash
# Makes the images' SBOMs and checks them against the schema that CycloneDX's Python library carries. Needs no build: stand-ins for the
# programs give the images their digests.
set -euo pipefail
cd "$(dirname "$0")/.."
package='cyclonedx-python-lib[json-validation]==11.12.0'
cache=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/sbom
# Some of it is compiled for one version of Python.
complete="$package $(python3 --version)"
if [ "$(cat "$cache/complete" 2>/dev/null)" != "$complete" ]; then
    rm -rf "$cache"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action ignore --target "$cache/packages" "$package"
    echo "$complete" >"$cache/complete"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/programs"
for name in textnlp textnlp-operator; do cp "$(type -P true)" "$work/programs/$name"; done
images/assemble "$work/images" --binaries "$work/programs" --version test >/dev/null
for run in first second; do
    images/sbom "$work/$run" textnlp textnlp-operator --images "$work/images" --version test >/dev/null
done
PYTHONPATH=$cache/packages PYTHONDONTWRITEBYTECODE=1 python3 tests/sbom/check.py "$work/first" "$work/second"
