#!/usr/bin/env bash
# Runs a cargo subcommand of a pinned version, installing it once into $TEXTNLP_CACHE/tools.
# usage: [INSTALL_FLAGS="FLAG..."] cargo-tool.sh CRATE VERSION SUBCOMMAND [ARGUMENT...]
set -euo pipefail
crate=$1 version=$2
shift 2
root=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/tools/$crate-$version
if [ ! -x "$root/bin/$crate" ]; then
    echo "installing $crate $version" >&2
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT # gigabytes, also of a build that failed
    read -ra flags <<<"${INSTALL_FLAGS:-}"
    CARGO_TARGET_DIR=$build cargo install --quiet --locked "${flags[@]}" --root "$root" --version "$version" "$crate" >&2
    rm -rf "$build"
fi
exec "$root/bin/$crate" "$@"
