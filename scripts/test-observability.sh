#!/usr/bin/env bash
# A real Prometheus scrapes the test cluster while jobs succeed and fail and callers do right and wrong; then every query of the dashboards,
# every recording and every metric of the reference must have data. On the cluster that runs, or one that this script starts (root); with
# E2E_CLUSTER=current on the one of KUBECONFIG, which tests/cluster/deploy has set up.
# usage: test-observability.sh [--pictures]
#   --pictures: draws the panels' data into docs/images/dashboard-*.png (needs chromium)
set -euo pipefail
cd "$(dirname "$0")/.."
live=tests/prometheus/live
namespace=airport-tickets

pictures=
if [ "${1:-}" = --pictures ]; then
    pictures=$(command -v chromium || command -v chromium-browser) || {
        echo "error: chromium is needed to make pictures: apt-get install --no-install-recommends chromium fonts-dejavu-core" >&2
        exit 1
    }
fi
prometheus=$(tests/cluster/tool prometheus)
work=$(mktemp -d)
server='' made=()
# Takes away what was made here, and nothing else: not before the cluster is known, and no namespace that was there before.
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    local what
    for what in "${made[@]}"; do
        # shellcheck disable=SC2086 # words of a command
        kubectl delete $what --ignore-not-found --wait=false >/dev/null 2>&1 || true
    done
    [ -z "${started:-}" ] || tests/cluster/cluster down
    rm -rf "$work"
}
trap finish EXIT
if [ "${E2E_CLUSTER:-}" != current ]; then
    tests/cluster/cluster env >/dev/null 2>&1 || started=yes
    tests/cluster/deploy
    source target/cluster/env
fi

step() { printf '%4ds  %s\n' "$SECONDS" "$*" >&2; }
k() { kubectl --namespace "$namespace" "$@"; }

step "a Prometheus with the rights of deploy/prometheus and no others"
made+=(clusterrolebinding/textnlp-prometheus clusterrole/textnlp-prometheus)
if [ -n "$(kubectl get namespace monitoring --ignore-not-found --output name)" ]; then
    made+=("--namespace monitoring serviceaccount/textnlp-prometheus")
else
    made+=(namespace/monitoring)
fi
kubectl apply -f deploy/prometheus/access.yaml >/dev/null
until kubectl --namespace monitoring get serviceaccount textnlp-prometheus >/dev/null 2>&1; do sleep 0.2; done
token() { kubectl --namespace monitoring create token textnlp-prometheus --duration 2h "$@"; }
token --audience textnlp.dev >"$work/token"
kubectl config view --raw --minify --flatten >"$work/kubeconfig"
kubectl --kubeconfig "$work/kubeconfig" config set-credentials prometheus --token "$(token)" >/dev/null
kubectl --kubeconfig "$work/kubeconfig" config set-context --current --user prometheus >/dev/null

# The configuration that users get; only where it runs and how often it looks differs.
sed -e "s|^\( *\)- role: pod\$|&\n\1  kubeconfig_file: $work/kubeconfig|" \
    -e "s|/var/run/secrets/textnlp.dev/token|$work/token|" \
    -e "s|/etc/prometheus/rules|$PWD/charts/textnlp-operator/files/rules|" \
    -e 's/scrape_interval: .*/scrape_interval: 5s/' -e 's/evaluation_interval: .*/evaluation_interval: 5s/' \
    deploy/prometheus/prometheus.yaml >"$work/prometheus.yaml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
"$prometheus" --config.file "$work/prometheus.yaml" --storage.tsdb.path "$work/data" --web.listen-address "127.0.0.1:$port" \
    --log.level warn 2>"$work/log" &
server=$!
for _ in $(seq 100); do
    python3 -c "import urllib.request; urllib.request.urlopen('$url/-/ready')" 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.2
done
start=$(date +%s)

step "the example's job with a price and a deadline, a job that fails, a model that no node can run"
k delete generationjob airport-tickets no-rows --ignore-not-found >/dev/null
made+=("-k $live/workload")
kubectl apply -k $live/workload >/dev/null
k wait --for=condition=Ready modeldeployment/smollm2 --timeout=5m >/dev/null
service=$(k get modeldeployment smollm2 -o jsonpath='{.status.url}')
service=${service#http://}
address=http://$(k get service "${service%%.*}" -o jsonpath='{.spec.clusterIP}'):8000
call() { $live/calls.py "$address" smollm2 "$(k create token default --audience textnlp.dev)"; }

k wait --for=jsonpath='{.status.phase}'=Running generationjob/airport-tickets --timeout=5m >/dev/null
step "calls while the job runs: $(call)"
k wait --for=jsonpath='{.status.phase}'=Succeeded generationjob/airport-tickets --timeout=20m >/dev/null
k wait --for=jsonpath='{.status.phase}'=Failed generationjob/no-rows --timeout=5m >/dev/null
step "the one job has succeeded, the other failed; calls after it: $(call)"
sleep 30 # several scrapes and evaluations later, all that can be known is
end=$(date +%s)

step "what Prometheus knows"
$live/check.py "$url" "$start" || { tail -5 "$work/log" >&2; exit 1; }
if [ -n "$pictures" ]; then
    mkdir -p docs/images
    while read -r name height; do
        "$pictures" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/chromium" --window-size="1600,$height" \
            --screenshot="docs/images/dashboard-$name.png" "file://$work/$name.html" 2>/dev/null
        step "docs/images/dashboard-$name.png"
    done < <($live/draw.py "$url" "$start" "$end" "$work")
fi
step "every panel, recording and metric has data, but for what the table says"
