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
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
key=$("$textnlp" key --name clients 2> "$work/entry")
{ echo "keys:"; grep '^- {' "$work/entry"; } > "$work/keys.yaml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$textnlp" serve --model "$model" --name smollm2 --listen "127.0.0.1:$port" --keys "$work/keys.yaml" 2> "$work/log" &
server=$!
url=http://127.0.0.1:$port
for _ in $(seq 300); do
    python3 -c "import urllib.request; urllib.request.urlopen('$url/readyz')" 2>/dev/null && break
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
"$cache/venv/bin/python" tests/clients/check.py "$url" smollm2 "$key"
cp tests/clients/check.mjs "$cache/node/"
(cd "$cache/node" && node check.mjs "$url" smollm2 "$key")
if grep -q "$key" "$work/log"; then echo "WRONG  the key is in the log"; exit 1; fi
echo "all clients are content"
