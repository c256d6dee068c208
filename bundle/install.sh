#!/usr/bin/env bash
# Installs TextNLP from this directory alone, or upgrades it: run it again, with another version's directory or with other values.
# README.md tells more. Needs bash, coreutils and tar, a kubeconfig, and with --import also ctr (containerd's); nothing is downloaded.
#
# usage: install.sh --registry HOST[/PATH] [OPTION...]    push the images there, have the cluster pull them from there
#        install.sh --import [OPTION...]                  put the images into this machine's containerd (on every node, as root)
#        install.sh --images-present [OPTION...]          the nodes have the images already, by --import
#        install.sh --check                               only verify this directory's files
#
#   --images-only             push or import the images, and no more
#   --insecure                the registry speaks plain HTTP, or has a certificate that nobody knows
#   --ctr COMMAND             how to call ctr ("ctr"), such as "k3s ctr"
#   --namespace NAME          the operator's namespace (textnlp-system)
#   --values FILE             values of the chart; may be repeated. Those of an earlier installation stay unless they are set anew
#   --set NAME=VALUE          one value; may be repeated
#   --timeout DURATION        how long the operator may take to be ready (5m)
#   --model NAMESPACE/CLAIM   put this directory's model into that claim, which is made if it is not there, as is the namespace
#   --model-file FILE         another model (a GGUF file) than this directory's
#   --storage-class NAME      of that claim (the cluster's default)
#   --access-mode MODE        of that claim (ReadWriteOnce; servers on several nodes need ReadWriteMany or a claim each)
set -euo pipefail
shopt -s globstar dotglob nullglob
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*"; }
usage() {
    while IFS= read -r line && [[ $line == '#'* ]]; do
        line=${line#'#'}
        [[ $line == '!'* ]] || say "${line# }"
    done <"$here/install.sh"
}

registry='' images='' images_only='' insecure=() ctr=ctr namespace=textnlp-system timeout=5m values=()
model='' model_file='' storage_class='' access_mode=ReadWriteOnce
choose() { [ -z "$images" ] || fail "--registry, --import, --images-present and --check exclude each other"; images=$1; }
while [ $# -gt 0 ]; do
    case $1 in
    --registry | --ctr | --namespace | --values | --set | --timeout | --model | --model-file | --storage-class | --access-mode)
        [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value (install.sh --help)"
        ;;
    esac
    case $1 in
    --registry) choose registry && registry=${2%/} && shift ;;
    --import) choose import ;;
    --images-present) choose present ;;
    --check) choose check ;;
    --images-only) images_only=yes ;;
    --insecure) insecure=(--insecure) ;;
    --ctr) ctr=$2 && shift ;;
    --namespace) namespace=$2 && shift ;;
    --values | --set) values+=("$1" "$2") && shift ;;
    --timeout) timeout=$2 && shift ;;
    --model) model=$2 && shift ;;
    --model-file) model_file=$2 && shift ;;
    --storage-class) storage_class=$2 && shift ;;
    --access-mode) access_mode=$2 && shift ;;
    --help | -h) usage && exit 0 ;;
    *) fail "$1 is no option (install.sh --help)" ;;
    esac
    shift
done
[ -n "$images" ] || fail "say how the images get to the nodes: --registry, --import or --images-present (install.sh --help)"
[[ $registry != *://* ]] || fail "--registry takes no scheme: write ${registry#*://} (and --insecure for plain HTTP)"
[ -z "$model" ] || [[ $model == ?*/?* && $model != */*/* ]] || fail "--model takes NAMESPACE/CLAIM, not $model"
[ -z "$model_file" ] || [ -n "$model" ] || fail "--model-file needs --model NAMESPACE/CLAIM: the claim that the file is put into"
[ -z "$model_file" ] || [ -f "$model_file" ] || fail "--model-file: $model_file is no file"
[ "$images" != present ] || [ -z "$images_only" ] || fail "with --images-present there is nothing to do for --images-only"

# Every file is listed with its digest, and every listed file is there: nothing else is used. Whether the list itself is the publisher's is
# for a signature to say (README.md).
verify() {
    local digest name file
    local -A listed=()
    [ -f "$here/SHA256SUMS" ] || fail "SHA256SUMS is missing: this directory is not whole"
    while read -r digest name; do listed[${name#'*'}]=$digest; done <"$here/SHA256SUMS"
    cd "$here"
    sha256sum --check --strict --quiet SHA256SUMS >&2 || fail "this directory differs from SHA256SUMS: unpack the archive anew, do not install this"
    for file in **; do
        [ -d "$file" ] && [ ! -L "$file" ] && continue
        [ "$file" = SHA256SUMS ] || [ -n "${listed[$file]:-}" ] || fail "$file is not in SHA256SUMS: unpack the archive into an empty directory"
    done
    cd - >/dev/null
}

work=$(mktemp -d)
# Helm keeps nothing that outlives this.
export HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
receiver=''
finish() {
    [ -z "$receiver" ] || kubectl --namespace "${model%/*}" delete pod "$receiver" --ignore-not-found --wait=false >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

push() { # NAME DIGEST
    local layout=$work/$1
    mkdir "$layout"
    tar -xf "$here/images/$1.tar" -C "$layout"
    crane push "${insecure[@]}" "$layout" "$registry/$1:$version" >"$work/crane" 2>&1 ||
        fail "$1 could not be pushed to $registry (to sign in: $here/bin/crane auth login ${registry%%/*}): $(<"$work/crane")"
    local found
    found=$(crane digest "${insecure[@]}" "$registry/$1:$version")
    [ "$found" = "$2" ] || fail "$registry has $1 as $found, and it should be $2"
    rm -rf "$layout"
    say "pushed $registry/$1:$version ($2)"
}

import() { # NAME
    read -ra command <<<"$ctr"
    "${command[@]}" --namespace k8s.io images import "$here/images/$1.tar" >"$work/ctr" 2>&1 ||
        fail "$1 could not be imported by \`$ctr\`: $(<"$work/ctr") (on every node, as root; --ctr names another command)"
    say "imported textnlp.dev/$1:$version"
}

# The namespace, unless it is there; our pods meet the restricted standard, so that it can be enforced.
namespace_exists() {
    kubectl get namespace "$1" >/dev/null 2>"$work/why" && return
    [[ $(<"$work/why") == *NotFound* ]] || fail "the cluster does not answer: $(<"$work/why")"
    kubectl apply --filename - <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: "$1", labels: {pod-security.kubernetes.io/enforce: restricted}}
YAML
}

# Sets `chosen`: the chart's values that name the images, and `workload`: the image of all pods but the operator's own.
choose_images() {
    chosen=() workload=textnlp.dev/textnlp:$version
    local key name digest
    for key in image workloadImage; do
        name=textnlp && [ $key = workloadImage ] || name=textnlp-operator
        digest=${digests[$name]}
        if [ "$images" = registry ]; then
            chosen+=(--set-string "$key.registry=$registry,$key.tag=$version,$key.digest=$digest")
            [ $key = image ] || workload=$registry/$name@$digest
        else
            chosen+=(--set-string "$key.registry=textnlp.dev,$key.tag=$version,$key.digest=")
        fi
    done
}

install_operator() {
    namespace_exists "$namespace"
    # --reset-then-reuse-values: a new chart's defaults, then what this installation was told before, then what is told now.
    helm upgrade --install textnlp-operator "$here/chart/textnlp-operator-$version.tgz" --namespace "$namespace" \
        --reset-then-reuse-values "${values[@]}" "${chosen[@]}" --wait --timeout "$timeout" >"$work/helm.log" 2>&1 || {
        kubectl --namespace "$namespace" get pods >&2 || true
        fail "the operator is not ready: $(<"$work/helm.log")"
    }
    say "TextNLP $version runs in the namespace $namespace"
}

# Through a pod that mounts the claim: `textnlp receive` takes the file from kubectl, checks its digest and gives it its name.
bring_model() {
    local space=${model%/*} claim=${model#*/} class="" file name bytes sha256 size
    [ -z "$storage_class" ] || class="storageClassName: $storage_class"
    file=("$here"/model/*)
    [ -z "$model_file" ] || file=("$model_file")
    [ ${#file[@]} = 1 ] || fail "this directory carries no model: name one with --model-file"
    name=${file[0]##*/} bytes=$(stat -L -c %s "${file[0]}")
    read -r sha256 _ < <(sha256sum "${file[0]}")
    size=$((bytes / 1048576 * 5 / 4 + 64))Mi
    namespace_exists "$space"
    if ! kubectl --namespace "$space" get persistentvolumeclaim "$claim" >/dev/null 2>&1; then
        kubectl apply --filename - <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "$claim", namespace: "$space"}
spec:
  accessModes: ["$access_mode"]
  $class
  resources: {requests: {storage: $size}}
YAML
    fi
    receiver=textnlp-receive-$claim
    kubectl --namespace "$space" delete pod "$receiver" --ignore-not-found >/dev/null
    kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: "$receiver", namespace: "$space", labels: {app.kubernetes.io/part-of: textnlp}}
spec:
  automountServiceAccountToken: false
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: receive
      image: "$workload"
      args: [send, --root, /models, --wait, "86400"]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: models, mountPath: /models}]
  volumes: [{name: models, persistentVolumeClaim: {claimName: "$claim"}}]
YAML
    kubectl --namespace "$space" wait --for=condition=Ready "pod/$receiver" --timeout "$timeout" >/dev/null 2>"$work/why" || {
        kubectl --namespace "$space" describe pod "$receiver" >&2 || true
        fail "no pod could mount the claim $model: $(<"$work/why")"
    }
    receive=(/textnlp receive --root /models --file "$name" --bytes "$bytes" --sha256 "$sha256")
    # A file that is there is not sent: kubectl would wait long for somebody who reads it.
    kubectl --namespace "$space" exec "$receiver" -- "${receive[@]}" 2>/dev/null ||
        kubectl --namespace "$space" exec --stdin "$receiver" -- "${receive[@]}" <"${file[0]}" ||
        fail "$name did not arrive in the claim $model: run this again"
    kubectl --namespace "$space" delete pod "$receiver" --wait=false >/dev/null
    receiver=''
    say "a ModelDeployment in $space finds it with: persistentVolumeClaim: {claimName: $claim, path: $name}"
}

verify
PATH=$here/bin:$PATH # not before: nothing of this directory runs that was not compared
version=$(<"$here/VERSION")
say "TextNLP $version: all files are as they should be"
[ "$images" != check ] || exit 0

declare -A digests=()
while read -r name digest; do
    digests[$name]=$digest
    case $images in
    registry) push "$name" "$digest" ;;
    import) import "$name" ;;
    esac
done <"$here/images/DIGESTS"
[ -z "$images_only" ] || exit 0

choose_images
install_operator
[ -z "$model" ] || bring_model
