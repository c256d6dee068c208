#!/usr/bin/env bash
# Validates manifests strictly, without a cluster: our own kinds with the CRDs of this checkout, and those of Kubernetes, Argo CD,
# Flux and Prometheus' operator (tests/kubeconform; built once, with the schemas, into $TEXTNLP_CACHE).
# usage: kubeconform.sh [FILE...]     without a file: standard input
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
program=${KUBECONFORM:-$("$root/tests/cluster/tool" kubeconform)}
exec "$program" --crds "$root/crds" "$@"
