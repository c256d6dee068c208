#!/usr/bin/env bash
# Speed of the engine on this machine beside llama.cpp's: decode and prefill rates and a job over HTTP, interleaved, then the whole
# example job in process. No thresholds: timings differ between machines; compare rows of one run only.
# ROUNDS (3) is how often each is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}
model=$(scripts/fetch-model.sh)
llama=$(dirname "$(tests/cluster/tool llama-bench)")
cargo build --release --package textnlp
textnlp=${CARGO_TARGET_DIR:-target}/release/textnlp
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
grep -m1 'model name' /proc/cpuinfo 2>/dev/null || true
grep -m1 -o -E 'avx512_vnni|avx2' /proc/cpuinfo 2>/dev/null || true
rustc -O --edition 2024 tests/bench_peers/limits.rs -o "$out/limits"
limits() { echo "limits of this machine: $("$out/limits")"; }
limits
python3 tests/bench_peers/main.py "$textnlp" "$llama" "$model" examples/airport-tickets/base/airports.yaml "$cache/models" "${ROUNDS:-3}"
"$textnlp" run examples/airport-tickets/base --model "$model" --output "$out/job"
limits
echo "load: $(cat /proc/loadavg 2>/dev/null || echo unknown)"
