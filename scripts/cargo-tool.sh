#!/usr/bin/env bash
# Runs a cargo subcommand of a pinned version, installing it once into $TEXTNLP_CACHE/tools.
# usage: [INSTALL_FLAGS="FLAG..."] cargo-tool.sh CRATE VERSION SUBCOMMAND [ARGUMENT...]
set -euo pipefail
crate=$1 version=$2
shift 2
root=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/tools/$crate-$version
if [ ! -x "$root/bin/$crate" ]; then
    echo "installing $crate $version" >&2
    CARGO_TARGET_DIR=$(mktemp -d) cargo install --quiet --locked ${INSTALL_FLAGS:-} --root "$root" --version "$version" "$crate" >&2
fi
exec "$root/bin/$crate" "$@"
