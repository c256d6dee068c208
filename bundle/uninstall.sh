#!/usr/bin/env bash
# Takes the operator away, and it alone: the CRDs, all jobs and models, claims and datasets stay, and the next installation goes on with them.
# usage: uninstall.sh [--namespace NAME] [--timeout DURATION]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
namespace=textnlp-system timeout=5m
while [ $# -gt 0 ]; do
    case $1 in
    --namespace | --timeout) [ $# -ge 2 ] && [ -n "$2" ] || { echo "error: $1 needs a value" >&2; exit 1; } ;;
    esac
    case $1 in
    --namespace) namespace=$2 && shift ;;
    --timeout) timeout=$2 && shift ;;
    --help | -h) echo "usage: uninstall.sh [--namespace NAME] [--timeout DURATION]" && exit 0 ;;
    *) echo "error: $1 is no option (uninstall.sh --help)" >&2 && exit 1 ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HELM_CACHE_HOME=$work HELM_CONFIG_HOME=$work HELM_DATA_HOME=$work
manifest=$("$here/bin/helm" get manifest textnlp-operator --namespace "$namespace")
if [[ $manifest == *"kind: CustomResourceDefinition"* && $manifest != *"helm.sh/resource-policy: keep"* ]]; then
    echo "error: this release has crds.keep=false: without it all jobs and models would be gone, too. Keep them: run install.sh again, with" \
        "--set crds.keep=true. Or, if they may go: $here/bin/helm uninstall textnlp-operator --namespace $namespace" >&2
    exit 1
fi
"$here/bin/helm" uninstall textnlp-operator --namespace "$namespace" --wait --timeout "$timeout"
cat <<TEXT

The operator is gone. What is left on purpose, and how to remove it, from the data upwards (this cannot be undone):

    $here/bin/kubectl delete generationjobs,modeldeployments --all --all-namespaces
    $here/bin/kubectl delete --filename $here/manifests/crds.yaml
    $here/bin/kubectl get persistentvolumeclaims --all-namespaces --selector app.kubernetes.io/managed-by=textnlp-operator     # datasets
TEXT
