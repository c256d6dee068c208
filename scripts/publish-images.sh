#!/usr/bin/env bash
# Pushes the images of one or two architectures to a registry, joins them under one tag, and pushes the chart. Prints one line for each thing
# that may be signed: its kind (image, index or chart), name@digest, and for an image its architecture. Running it again changes nothing.
# usage: publish-images.sh REGISTRY[/PATH] VERSION CHART.tgz ARCHITECTURE=IMAGES_DIRECTORY...      INSECURE=1: a registry over plain HTTP
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
registry=${1:?a registry} version=${2:?a version} chart=${3:?the chart}
shift 3
[ $# -gt 0 ] || { echo "error: at least one ARCHITECTURE=IMAGES_DIRECTORY is needed" >&2; exit 1; }
CRANE=${CRANE:-$("$here/tests/cluster/tool" crane)} HELM=${HELM:-$("$here/tests/cluster/tool" helm)}
insecure=() plain=()
if [ -n "${INSECURE:-}" ]; then insecure=(--insecure) plain=(--plain-http); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for name in textnlp textnlp-operator; do
    manifests=()
    for pair in "$@"; do
        architecture=${pair%%=*} archive=${pair#*=}/$name.tar
        layout=$work/$name-$architecture
        mkdir "$layout"
        tar -xf "$archive" -C "$layout"
        digest=$("$here/images/digest" "$archive")
        "$CRANE" push "${insecure[@]}" "$layout" "$registry/$name:$version-$architecture" >&2
        found=$("$CRANE" digest "${insecure[@]}" "$registry/$name:$version-$architecture")
        [ "$found" = "$digest" ] || { echo "error: $registry has $name for $architecture as $found, and it was made as $digest" >&2; exit 1; }
        manifests+=(--manifest "$registry/$name@$digest")
        echo "image $registry/$name@$digest $architecture"
    done
    "$CRANE" index append "${insecure[@]}" "${manifests[@]}" --tag "$registry/$name:$version" >&2
    echo "index $registry/$name@$("$CRANE" digest "${insecure[@]}" "$registry/$name:$version")"
done
# The chart pulls its images from where it was pulled itself. The file's time stays, which Helm writes down.
tar -xzf "$chart" -C "$work"
values=$work/textnlp-operator/values.yaml
sed -i "s#^  registry: textnlp\.dev\$#  registry: $registry#" "$values"
[ "$(grep -cxF "  registry: $registry" "$values")" = 2 ] || { echo "error: $chart does not name the two images' registry as it is expected to" >&2; exit 1; }
touch --reference="$work/textnlp-operator/Chart.yaml" "$values"
"$HELM" package "$work/textnlp-operator" --destination "$work/chart" >&2
"$HELM" push "${plain[@]}" "$work"/chart/*.tgz "oci://$registry/charts" >&2
echo "chart $registry/charts/textnlp-operator@$("$CRANE" digest "${insecure[@]}" "$registry/charts/textnlp-operator:$version")"
