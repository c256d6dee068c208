#!/usr/bin/env bash
# Builds the images twice, from two clones of HEAD in directories of other names and with another home of cargo, and compares their bytes.
# Costs two whole builds; PACKAGES=textnlp-operator PROFILE=dev is the quickest.
# usage: check-reproducible.sh      PROFILE=release|dev  PACKAGES="textnlp textnlp-operator"  (as build-release.sh)
#                                   OUTPUT=DIRECTORY     keeps the programs and images in DIRECTORY/programs and DIRECTORY/images
set -euo pipefail
cd "$(dirname "$0")/.."
export PROFILE=${PROFILE:-release} PACKAGES=${PACKAGES:-textnlp textnlp-operator}
read -ra packages <<<"$PACKAGES"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "note: what is not committed is not built" >&2

# Another user's machine: other paths, of another length, in another time zone, with another umask.
build() { # NAME ENVIRONMENT...
    local place=$work/$1
    shift
    git clone --quiet --no-local . "$place/checkout"
    mkdir -p "$place/cargo"
    # What was downloaded is shared; its path is not.
    for part in registry git; do
        [ ! -e "${CARGO_HOME:-$HOME/.cargo}/$part" ] || ln -s "$(realpath "${CARGO_HOME:-$HOME/.cargo}/$part")" "$place/cargo/$part"
    done
    local programs
    programs=$(env "$@" CARGO_HOME="$place/cargo" CARGO_TARGET_DIR="$place/build" "$place/checkout/scripts/build-release.sh")
    env "$@" "$place/checkout/images/assemble" "$place/images" "${packages[@]}" --binaries "$programs" >&2
    mkdir "$place/programs"
    for package in "${packages[@]}"; do strip --strip-all -o "$place/programs/$package" "$programs/$package"; done
    rm -rf "$place/build" # gigabytes
}
one=$work/one two=$work/another-with-a-longer-name
(umask 022 && build "$(basename "$one")" TZ=UTC)
(umask 002 && build "$(basename "$two")" TZ=Asia/Kathmandu LANG=C.UTF-8)

different=0
for package in "${packages[@]}"; do
    first=$one/images/$package.tar second=$two/images/$package.tar
    echo "$package  $(images/digest "$first")  $(images/digest "$second")"
    cmp -s "$first" "$second" && continue
    different=1
    echo "error: the images of $package differ" >&2
    # What a person looks for first: a path of one build among the texts of the program.
    diff <(strings -n 8 "$one/programs/$package" | sort -u) <(strings -n 8 "$two/programs/$package" | sort -u) | head -n 20 >&2 || true
    cmp -l "$one/programs/$package" "$two/programs/$package" 2>&1 | head -n 5 >&2 || true
done
[ $different = 0 ] || exit 1
echo "both builds gave the same images"
if [ -n "${OUTPUT:-}" ]; then
    mkdir -p "$OUTPUT"
    cp -r "$one/programs" "$one/images" "$OUTPUT/"
fi
