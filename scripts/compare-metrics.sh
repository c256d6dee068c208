#!/usr/bin/env bash
# Compares the metrics with their reference implementations on PAIRS (5000) new pairs of texts of a SEED (1): the greatest difference
# of each; then what is found of personal data with what Presidio finds.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
python=$(scripts/oracles.sh)
${CARGO:-cargo} build --release --package textnlp-validation --example score_pairs --example find_pii
"$python" libs/validation/tests/goldens/compare.py "$target/release/examples/score_pairs" --pairs "${PAIRS:-5000}" --seed "${SEED:-1}"
"$python" libs/validation/tests/goldens/compare_pii.py "$target/release/examples/find_pii" --sentences "${PAIRS:-5000}" --seed "${SEED:-1}"
