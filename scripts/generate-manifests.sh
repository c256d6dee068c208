#!/usr/bin/env bash
# Writes what is derived from the CRDs, the chart and the health scripts: the chart's copy of the CRDs and its README, deploy/base, and the
# reference pages of the kinds, the chart and the HTTP API; and from observability/: the chart's dashboards, and the rules of the service
# level objectives.
# With --check, writes nothing and fails if a committed file is stale.
# usage: generate-manifests.sh [--check]
set -euo pipefail
cd "$(dirname "$0")/.."
chart=charts/textnlp-operator
helm=${HELM:-$(tests/cluster/tool helm)}
work=$(mktemp -d)
json=$(mktemp -d)
trap 'rm -rf "$work" "$json"' EXIT
mkdir -p "$work/$chart/files/crds" "$work/deploy/argocd" "$work/deploy/base/crds" "$json/templates"

cp crds/*.yaml "$work/$chart/files/crds/"
scripts/chart-readme.py "$chart" >"$work/$chart/README.md"
observability/make.py "$work/$chart"

# Python reads no YAML, Helm does: a chart whose only template writes each CRD as a line of JSON.
printf 'apiVersion: v2\nname: json\nversion: 0.0.0\n' >"$json/Chart.yaml"
cp crds/*.yaml "$json/"
echo '{{ range $path, $_ := .Files.Glob "*.yaml" }}{{ with $.Files.Get $path | fromYaml }}{{ toJson . }}{{ "\n---\n" }}{{ end }}{{ end }}' >"$json/templates/crds.yaml"
"$helm" template json "$json" >"$json/crds.json"
scripts/docs/reference.py "$json/crds.json" "$work/docs/reference"

generated="# Generated. Do not edit: change the chart, then run \`make generate\`."

{
    echo "# The same as charts/textnlp-operator with crds.install, without Helm's annotation."
    for crd in crds/*.yaml; do
        echo "---"
        cat "$crd"
    done
} >"$work/deploy/base/crds/crds.yaml"

# The chart's copy of the CRDs may be stale; it is not rendered here. What is Helm's own is left out.
{
    echo "$generated"
    cat <<'NAMESPACE'
apiVersion: v1
kind: Namespace
metadata:
  name: textnlp-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
NAMESPACE
    "$helm" template textnlp-operator "$chart" --namespace textnlp-system --kube-version 1.34.0 --set crds.install=false --skip-tests |
        sed -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e '/app\.kubernetes\.io\/managed-by: Helm$/d'
} >"$work/deploy/base/operator.yaml"

{
    echo "# Generated from the scripts beside it. Do not edit: change them, then run \`make generate\`."
    echo "#   kubectl --namespace argocd patch configmap argocd-cm --patch-file deploy/argocd/argocd-cm.yaml"
    echo "data:"
    for script in deploy/argocd/*/*/health.lua; do
        kind=$(dirname "$script")
        echo "  resource.customizations.health.$(basename "$(dirname "$kind")")_$(basename "$kind"): |"
        sed -e 's/^./    &/' "$script"
    done
} >"$work/deploy/argocd/argocd-cm.yaml"

stale=0
while IFS= read -r file; do
    cmp -s "$work/$file" "$file" && continue
    if [ "${1:-}" = --check ]; then
        echo "error: $file is stale: run \`make generate\`" >&2
        diff -u "$file" "$work/$file" 2>&1 | head -n 40 >&2 || true
        stale=1
    else
        mkdir -p "$(dirname "$file")"
        cp "$work/$file" "$file"
        echo "wrote $file"
    fi
done < <(cd "$work" && find charts deploy docs -type f | sort)

# A CRD that is gone must not live on in the chart.
for copy in "$chart"/files/crds/*.yaml; do
    [ -e "crds/$(basename "$copy")" ] && continue
    echo "error: $copy has no source in crds/: remove it" >&2
    stale=1
done
for board in "$chart"/files/dashboards/*.json; do
    [ -e "$work/$board" ] && continue
    echo "error: $board has no source in observability/: remove it" >&2
    stale=1
done
exit "$stale"
