#!/usr/bin/env bash
# Prints the Python with the reference implementations of the metrics, made on first use (without torch: 400 MB).
set -euo pipefail
venv=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/oracles/venv
if [ ! -e "$venv/complete" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        numpy==2.4.6 sacrebleu==2.6.0 nltk==3.10.4 rouge_score==0.1.2 regex==2026.11.19 datasketch==2.0.0 textstat==0.7.13 \
        presidio-analyzer==2.2.366 phonenumbers==9.0.43 >&2
    touch "$venv/complete"
fi
echo "$venv/bin/python"
