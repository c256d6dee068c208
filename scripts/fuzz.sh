#!/usr/bin/env bash
# Runs each fuzz target for so many seconds. usage: fuzz.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
# The sanitizer's flags are unstable; this lets the installed stable compiler accept them.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/fuzz-target}
cargo_fuzz() { scripts/cargo-tool.sh cargo-fuzz 0.13.2 "$@"; }
for target in "${targets[@]}"; do
    echo "fuzz $target: $seconds s"
    # New inputs go to corpus/, which git ignores; seeds/ has small valid files to start from.
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    cargo_fuzz run --sanitizer address "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1
done
