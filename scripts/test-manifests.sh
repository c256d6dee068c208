#!/usr/bin/env bash
# Tests what is no Rust: the chart (with Helm and helm-unittest), deploy/ (overlays, Argo CD, Flux, Compose), Argo CD's health scripts, the
# kstatus of our kinds, rules, dashboards and runbooks (with promtool), the workflows,
# Terraform's files as text. Manifests are validated by kubeconform.
# Results are not cached: the tests read files outside their modules.
# usage: test-manifests.sh [GO TEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "error: Go 1.26 or newer is needed (go is not in PATH)" >&2; exit 1; }
HELM=${HELM:-$(tests/cluster/tool helm)}
PROMTOOL=${PROMTOOL:-$(tests/cluster/tool promtool)}
KUBECONFORM=${KUBECONFORM:-$(tests/cluster/tool kubeconform)}
export HELM PROMTOOL KUBECONFORM
# As tests/cluster/tool builds: the packages that both need are compiled once.
export GOFLAGS=-trimpath CGO_ENABLED=0

failed=()
unittest=$(tests/cluster/tool helm-unittest)
"$unittest" --strict charts/textnlp-operator || failed+=("charts/textnlp-operator/tests")
for module in kubeconform chart deploy argocd kstatus prometheus workflows terraform; do
    (cd "tests/$module" && go vet ./... && go test -count=1 "$@" ./...) || failed+=("tests/$module")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "error: failed: ${failed[*]} (alone: cd tests/chart && HELM=$HELM PROMTOOL=$PROMTOOL KUBECONFORM=$KUBECONFORM go test -count=1 -run NAME ./..., or $unittest charts/textnlp-operator)" >&2
    exit 1
fi
