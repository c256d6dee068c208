#!/usr/bin/env bash
# Builds the images' programs so that one commit gives the same bytes wherever it lies and whoever builds it: with the same compilers and C
# library. Paths of this machine, which panics, C's assertions and debug information would name, become /src, /cargo, /target and /rust.
# Prints the directory of the programs.
# usage: build-release.sh            PROFILE=release|dev  PACKAGES="textnlp textnlp-operator"  CARGO_TARGET_DIR, CARGO_HOME as cargo knows them
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PROFILE:-release}
read -ra packages <<<"${PACKAGES:-textnlp textnlp-operator}"

home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "${CARGO_TARGET_DIR:=target}"
target=$(realpath "$CARGO_TARGET_DIR")
# The last one that fits counts: the target directory often lies in the checkout.
paths=("$(rustc --print sysroot)=/rust" "$PWD=/src" "$home=/cargo" "$target=/target")

rust=() c=()
for path in "${paths[@]}"; do
    rust+=("--remap-path-prefix=$path")
    c+=("-ffile-prefix-map=$path")
    [[ $path != *[[:space:]]* ]] || { echo "error: the C compiler's flags take no blanks: build in another directory than ${path%=*}" >&2; exit 1; }
done
# A hash over all of the file, debug information included, which the images leave out: compilers may differ in that alone.
rust+=("-Clink-arg=-Wl,--build-id=none")

export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC
# The time of the commit, for whatever asks for a time.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${rust[*]}")
CFLAGS="${c[*]}" CXXFLAGS="${c[*]}"
export SOURCE_DATE_EPOCH CARGO_ENCODED_RUSTFLAGS CFLAGS CXXFLAGS
unset RUSTFLAGS

"${CARGO:-cargo}" build --profile "$profile" --locked "${packages[@]/#/--package=}" >&2
[ "$profile" = dev ] && profile=debug
echo "$target/$profile"
