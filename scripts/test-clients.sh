#!/usr/bin/env bash
# Stock clients of OpenAI's API against `textnlp serve`, with a real model and a key: openai for Python and Node, LangChain, litellm.
# Needs Python 3 with venv, Node 20 and npm; the packages go into $TEXTNLP_CACHE.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$(scripts/fetch-model.sh)
cache=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/clients
textnlp=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/textnlp
packages=(openai==3.57.0 langchain-openai==1.7.4 litellm==1.110.2)
if [ "$(cat "$cache/complete" 2>/dev/null)" != "${packages[*]}" ]; then
    rm -rf "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    mkdir -p "$cache/node"
    cp tests/clients/package.json "$cache/node/"
    (cd "$cache/node" && npm install --silent --no-audit --no-fund)
    echo "${packages[*]}" > "$cache/complete"
fi
source scripts/guarded-server.sh clients inference
"$cache/venv/bin/python" tests/clients/check.py "$url" smollm2 "$key"
cp tests/clients/check.mjs "$cache/node/"
(cd "$cache/node" && node check.mjs "$url" smollm2 "$key")
if grep -q "$key" "$work/log"; then echo "WRONG  the key is in the log"; exit 1; fi
echo "all clients are content"
