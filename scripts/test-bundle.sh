#!/usr/bin/env bash
# The air-gap bundle, from a clean clone of HEAD to an installation on the test cluster (root), in about five minutes beside a build that is there.
# The programs are those of the development build, which must be this commit's: `make build`.
# usage: test-bundle.sh [archive]    archive: only what needs no cluster (one minute)
#   PROGRAMS=DIRECTORY (target/debug)   EXPECTED_DIGEST=HEX of the example (else a local run tells)   LOAD_CONCURRENCY=N rows at once under load (1)
set -euo pipefail
cd "$(dirname "$0")/.."
only=${1:-}
[ -z "$only" ] || [ "$only" = archive ] || { echo "error: $only is none of: archive" >&2; exit 2; }
programs=$(realpath "${PROGRAMS:-${CARGO_TARGET_DIR:-target}/debug}")
for program in textnlp textnlp-operator; do
    [ -x "$programs/$program" ] || { echo "error: $programs/$program is missing: run \`make build\`" >&2; exit 1; }
done
source tests/bundle/lib.sh
if [ -z "$only" ]; then
    [ "$(id -u)" = 0 ] || fail "the test cluster needs root (\`test-bundle.sh archive\` does not)"
    ! tests/cluster/cluster env >/dev/null 2>&1 || fail "a cluster of this checkout runs, and this test needs one of its own: make cluster-down"
fi
work=$(mktemp -d)
finish() {
    status=$?
    [ -z "$only" ] && tests/cluster/cluster down
    rm -rf "$work"
    exit $status
}
trap finish EXIT

bundle() { # VERSION MODEL
    env ${1:+VERSION="$1"} ${2:+MODEL="$2"} OUTPUT="$work/archives" PROGRAMS="$programs" make --silent -C "$work/clone" bundle
}
unpack() { # ARCHIVE DIRECTORY
    (cd "$work/archives" && sha256sum --check --status "${1##*/}.sha256") || fail "$1 differs from its .sha256"
    mkdir "$2"
    tar -xzf "$1" -C "$2" --strip-components=1
}

step "make bundle, from a clean clone"
git clone --quiet --no-local . "$work/clone"
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "note: what is not committed is not in it" >&2
first=$(bundle "" "" | tail -n 1)
step "$(basename "$first"): $(($(stat -c %s "$first") >> 20)) MiB"
unpack "$first" "$work/first"

step "an archive with another byte is found"
cp "$first" "$work/damaged.tar.gz"
printf x | dd of="$work/damaged.tar.gz" bs=1 seek=1000000 conv=notrunc status=none
[ "$(sha256sum <"$work/damaged.tar.gz" | cut -d' ' -f1)" != "$(cut -d' ' -f1 "$first.sha256")" ] || fail "the same SHA-256"
rm "$work/damaged.tar.gz"

tests/bundle/archive "$work/first"
[ -z "$only" ] || exit 0

step "make bundle again: a newer version, without a model"
version=$(cat "$work/first/VERSION")
second=$(bundle "${version%.*}.$((${version##*.} + 1))" none | tail -n 1)
unpack "$second" "$work/second"
[ -z "$(ls -A "$work/second/model")" ] || fail "a bundle without a model has one: $(ls -A "$work/second/model")"
if [ -z "${EXPECTED_DIGEST:-}" ]; then
    step "the digest of a local run"
    EXPECTED_DIGEST=$("$programs/textnlp" run examples/airport-tickets/base --model "$(scripts/fetch-model.sh)" --output "$work/local" --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
fi
step "a cluster of its own"
tests/cluster/cluster up
tests/bundle/cluster "$work/first" "$work/second" "$EXPECTED_DIGEST"
step "all of it works"
