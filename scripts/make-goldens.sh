#!/usr/bin/env bash
# Writes every golden value again from its oracle, with the versions pinned here. Needs Python 3.11, npm and several
# gigabytes for torch; the tests themselves need only the committed files.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$(scripts/fetch-model.sh)
venv=${TEXTNLP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/textnlp}/goldens
if [ ! -e "$venv/complete" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        numpy==2.4.6 gguf==0.19.0 torch==2.15.0 transformers==5.24.0 accelerate==1.15.0 tokenizers==0.23.3 \
        safetensors==0.8.0 Jinja2==3.1.6 pyarrow==26.0.1 rfc8785==0.1.4 \
        sacrebleu==2.6.0 nltk==3.10.4 rouge_score==0.1.2 regex==2026.11.19 datasketch==2.0.0 textstat==0.7.13
    touch "$venv/complete"
fi
python=$venv/bin/python
"$python" libs/engine/tests/goldens/weights/make.py
"$python" libs/engine/tests/goldens/make_tokenizer_goldens.py "$model"
"$python" libs/engine/tests/goldens/make_logits_goldens.py "$model"
"$python" libs/dataset/tests/golden/make.py
"$python" libs/validation/tests/goldens/make_goldens.py
"$python" libs/validation/tests/goldens/make_scores.py
git status --short -- '*goldens*' '*golden*'
