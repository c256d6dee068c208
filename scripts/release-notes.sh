#!/usr/bin/env bash
# Checks that a tag is the version of the workspace and of the chart, and prints what CHANGELOG.md says of it.
# usage: release-notes.sh vMAJOR.MINOR.PATCH
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?a tag, such as v0.1.0}
version=${tag#v}
[ "$tag" = "v$version" ] || { echo "error: the tag is $tag: releases are tagged vMAJOR.MINOR.PATCH" >&2; exit 1; }
expect() { # FILE KEY VALUE
    [ "$3" = "$version" ] || { echo "error: $2 in $1 is $3, and the tag is $tag: change it, then tag that commit" >&2; exit 1; }
}
chart=charts/textnlp-operator/Chart.yaml
expect Cargo.toml version "$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)"
expect $chart version "$(sed -n 's/^version: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' $chart)"
expect $chart appVersion "$(sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' $chart)"
notes=$(awk -v version="$version" '/^## / { inside = ($2 == version) } inside && !/^## /' CHANGELOG.md)
[ -n "${notes//[[:space:]]/}" ] || { echo "error: CHANGELOG.md has no section \"## $version\"" >&2; exit 1; }
printf '%s\n' "$notes"
