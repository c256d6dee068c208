#!/usr/bin/env bash
# Takes the pictures of the documentation anew: the report of the example's run, as docs/images/report.png. Needs chromium, and the
# example's dataset (`make run`).
# usage: screens.sh [DATASET_DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/../.."
dataset=${1:-airport-tickets}
[ -f "$dataset/report.html" ] || { echo "error: $dataset has no report.html: run \`make run\` first, or name a dataset's directory" >&2; exit 1; }
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { echo "error: chromium is needed (the Debian package chromium)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where it was made on this machine is of no interest to a reader.
sed "s|In <code>[^<]*</code>|In <code>./airport-tickets</code>|" "$dataset/report.html" >"$work/report.html"
# Snap's and root's browsers cannot make a sandbox of their own everywhere; the page is ours, and has no script.
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-color-profile=srgb --user-data-dir="$work" \
    --window-size=1000,1400 --screenshot="$work/report.png" "file://$work/report.html" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
mv "$work/report.png" docs/images/report.png
echo "wrote docs/images/report.png"
