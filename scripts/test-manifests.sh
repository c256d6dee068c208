#!/usr/bin/env bash
# Tests what is no Rust: the chart and what is made from it (with Helm), Argo CD's health scripts, the kstatus of our kinds,
# Terraform's files as text.
# Results are not cached: the tests read files outside their modules.
# usage: test-manifests.sh [GO TEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "error: Go 1.26 or newer is needed (go is not in PATH)" >&2; exit 1; }
HELM=${HELM:-$(tests/cluster/tool helm)}
export HELM

failed=()
for module in chart argocd kstatus terraform; do
    (cd "tests/$module" && go vet ./... && go test -count=1 "$@" ./...) || failed+=("tests/$module")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "error: failed: ${failed[*]} (run one with: cd ${failed[0]} && HELM=$HELM go test -count=1 -run NAME ./...)" >&2
    exit 1
fi
