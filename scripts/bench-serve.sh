#!/usr/bin/env bash
# The server beside llama-server on this machine: 1, 8 and 32 clients that stream chats from the same model file, short prompts and
# long ones. No thresholds: timings differ between machines; compare ratios, and rows of one run. ROUNDS (3) is how often each
# is measured; LLAMA_OPTIONS are further options of llama-server.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$(scripts/fetch-model.sh)
llama=$(dirname "$(tests/cluster/tool llama-bench)") # where `make bench` has it
source scripts/build-load.sh
grep -m1 'model name' /proc/cpuinfo 2>/dev/null || true
grep -m1 -o -E 'avx512_vnni|avx2' /proc/cpuinfo 2>/dev/null || true
python3 tests/bench_peers/serve.py "$textnlp" "$load" "$llama" "$model" examples/airport-tickets/base/airports.yaml \
    "${ROUNDS:-3}" "$target/bench-serve.jsonl"
echo "load: $(cat /proc/loadavg 2>/dev/null || echo unknown)"
