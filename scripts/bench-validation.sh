#!/usr/bin/env bash
# Speed of the metrics beside their reference implementations, one thread each, and how their time and memory grow up to a million
# rows. ROWS (2000) is how many texts are compared, GROWTH (1000000) the most rows of ours alone. A table, and bench-validation.json
# in the build's directory. No thresholds: timings differ between machines; compare ratios, and rows of one run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
python=$(scripts/oracles.sh)
${CARGO:-cargo} build --release --package textnlp-validation --example bench_metrics
grep -m1 'model name' /proc/cpuinfo 2>/dev/null || true
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
"$python" libs/validation/tests/bench/main.py "$target/release/examples/bench_metrics" --rows "${ROWS:-2000}" \
    --growth "${GROWTH:-1000000}" --json "$target/bench-validation.json"
echo "load: $(cat /proc/loadavg 2>/dev/null || echo unknown)"
