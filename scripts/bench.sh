#!/usr/bin/env bash
# Speed of the engine on this machine: decode and prefill rates, then the whole example job. No thresholds: timings
# differ between machines; compare rows of one run only.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$(scripts/fetch-model.sh)
cargo build --release --package textnlp
textnlp=${CARGO_TARGET_DIR:-target}/release/textnlp
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
grep -m1 'model name' /proc/cpuinfo 2>/dev/null || true
echo "load: $(cat /proc/loadavg 2>/dev/null || echo unknown)"
"$textnlp" bench --model "$model" --tests b1,b8,b32,pp512
"$textnlp" run examples/airport-tickets/base --model "$model" --output "$out/job"
echo "load: $(cat /proc/loadavg 2>/dev/null || echo unknown)"
