#!/usr/bin/env bash
# All that clients do to a server, right and wrong, for MINUTES (30): fails if anything is answered otherwise than it should be,
# or if completions, KV pages, connections or memory stay behind. SEED (1) chooses other requests.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$(scripts/fetch-model.sh)
source scripts/build-load.sh
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# A short queue, so that it is full now and then.
sequences=32 queue=32
"$textnlp" serve --model "$model" --name soak --listen "127.0.0.1:$port" --max-sequences $sequences --queue $queue \
    2> >(tee "$work/log" | grep -E 'WARN|ERROR' >&2) &
server=$!
for _ in $(seq 300); do
    python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/readyz')" 2>/dev/null && break
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
"$load" mixed --url "http://127.0.0.1:$port" --model soak --pid "$server" --capacity $((sequences + queue)) \
    --minutes "${MINUTES:-30}" --seed "${SEED:-1}"
kill "$server"
wait "$server" || { echo "error: the server ended with $?" >&2; exit 1; }
server=
echo "the server lived through it"
