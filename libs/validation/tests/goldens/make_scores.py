#!/usr/bin/env python3
"""Writes what the oracles answer to the pairs of pairs.jsonl.gz, which `make_goldens.py` wrote.

    venv/bin/python libs/validation/tests/goldens/make_scores.py

Files (JSON lines, gzip): the first line has the metric and the parameters that were asked for; each other line has the index of a
pair and the values, twelve digits of them. tokens_zh has, for each text of tokens.jsonl.gz, 16 digits of the SHA-256 of its tokens.
"""

import gzip
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

from oracles import FAMILIES, PINS
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

HERE = Path(__file__).parent
# The oracle's tables for the longest texts take minutes and gigabytes.
LONGEST = {"rouge_lsum": 2_000, "ter": 600}


def read(name):
    with gzip.open(HERE / f"{name}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def write(name, rows):
    lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    data = gzip.compress(lines.encode(), compresslevel=9, mtime=0)
    (HERE / f"{name}.jsonl.gz").write_bytes(data)
    print(f"{name}: {lines.count(chr(10))} lines, {len(data)} bytes")


def rounded(value):
    return None if value is None else float(f"{value:.12g}")


def scores(name, pairs):
    metric, settings, oracle = FAMILIES[name]
    yield {"metric": metric, "params": settings}
    functions = [oracle(**setting) for setting in settings]
    longest = LONGEST.get(name, 10**9)
    for index, pair in enumerate(pairs):
        text, references = pair["text"], pair["references"]
        if max(map(len, [text, *references])) > longest:
            continue
        # The first settings on every pair, all of them on every fourth.
        asked = functions if index % 4 == 0 or len(functions) < 5 else functions[:8]
        yield [index, *[rounded(function(text, references)) for function in asked]]


def tokens_zh():
    for line in read("tokens"):
        yield hashlib.sha256(TokenizerZh()(line["text"]).encode()).hexdigest()[:16]


def main():
    for package, pin in PINS.items():
        if version(package) != pin:
            sys.exit(f"{package} is {version(package)}; the goldens need {pin}")
    pairs = read("pairs")
    for name in sys.argv[1:] or FAMILIES:
        write(name, scores(name, pairs))
    write("tokens_zh", tokens_zh())


if __name__ == "__main__":
    main()
