#!/usr/bin/env bash
# The end-to-end tests: on a cluster that this script starts (root), or with E2E_CLUSTER=current on the one that
# KUBECONFIG names, with the operator installed.
# usage: e2e.sh [ARGUMENT OF THE TEST PROGRAM...]
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}

if [ "${E2E_CLUSTER:-}" != current ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "NOT RUN: the end-to-end tests on Kubernetes (tests/e2e): starting a cluster needs root." >&2
        echo "Run \`sudo make e2e\`, or \`make e2e E2E_CLUSTER=current\` on a cluster of yours." >&2
        [ "${CI:-}" = true ] && exit 1
        exit 0
    fi
    # A cluster that somebody uses already is used too, with this build on it, and left to them.
    tests/cluster/cluster env >/dev/null 2>&1 || trap 'tests/cluster/cluster down' EXIT
    tests/cluster/deploy
    source target/cluster/env
fi

# Another project's server with the same API, which a test runs a job on.
export LLAMA_SERVER=${LLAMA_SERVER:-$(tests/cluster/tool llama-server)}

# More tests at once than this only make each other wait: they compute on the same processors.
$CARGO test --workspace --features textnlp-engine/candle --test e2e -- --test-threads "${E2E_THREADS:-4}" "$@"
[ $# -eq 0 ] && [ "${E2E_CLUSTER:-}" != current ] || exit 0

# These have the operator for themselves, one after the other.
for alone in release rights; do
    $CARGO test --workspace --features textnlp-engine/candle --test $alone
done
# Where a reader stands after `make cluster`: what the tutorial says happens.
scripts/docs/tutorial.py docs/tutorial/laptop.md docs/tutorial/cluster.md
