#!/usr/bin/env bash
# schemathesis over /openapi.json of `textnlp serve` with a real model: no 5xx, and no answer that the document does not describe.
# Needs Python 3 with venv; the package goes into $TEXTNLP_CACHE. EXAMPLES (100): cases of each operation. SEED (1).
set -euo pipefail
cd "$(dirname "$0")/.."
model=$(scripts/fetch-model.sh)
venv=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/schemathesis
textnlp=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/textnlp
version=4.32.5
if [ "$("$venv/bin/schemathesis" --version 2>/dev/null | grep -o '[0-9.]*$')" != $version ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check schemathesis==$version
fi
source scripts/guarded-server.sh schemathesis "inference, metrics" --max-context-tokens 128
hooks=$PWD/tests/clients
cd "$work"
PYTHONPATH=$hooks SCHEMATHESIS_HOOKS=schemathesis_hooks "$venv/bin/schemathesis" run "$url/openapi.json" --url "$url" \
    -H "Authorization: Bearer $key" --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-100}" --seed "${SEED:-1}" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth,unsupported_method \
    --suppress-health-check all --continue-on-failure --request-timeout 60 --no-color "$@"
python3 -c "import urllib.request; urllib.request.urlopen('$url/healthz')"
