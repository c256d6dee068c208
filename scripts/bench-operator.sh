#!/usr/bin/env bash
# The operator's speed and memory: JOBS GenerationJobs at once on a control plane whose one node does all work at once, the
# same writes by a plain client, then HELD resources. Figures as a table and in bench-operator.json of the build's directory.
# No thresholds: timings differ between machines; compare ratios, and rows of one run.
# OPERATOR names another program than the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}

[ "$(id -u)" = 0 ] || { echo "error: starting a cluster needs root" >&2; exit 1; }
if tests/cluster/cluster env >/dev/null 2>&1; then
    echo "error: this checkout's cluster runs, and its operator would be measured too: make cluster-down" >&2
    exit 1
fi
if [ -z "${OPERATOR:-}" ]; then
    $CARGO build --release --package textnlp-operator
    OPERATOR=$target/release/textnlp-operator
fi
$CARGO build --workspace --features textnlp-engine/candle

trap 'tests/cluster/cluster down' EXIT
tests/cluster/cluster up --control-plane
source target/cluster/env
"$target/debug/bench-operator" --operator "$OPERATOR" --output "$target/bench-operator.json" --log "$target/bench-operator.log"
