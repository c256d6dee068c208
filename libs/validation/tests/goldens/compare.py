#!/usr/bin/env python3
"""Compares the metrics with their oracles on new pairs of texts, made of a seed, and says how far apart they are and how long both took.

    cargo build --release -p textnlp-validation --example score_pairs
    venv/bin/python libs/validation/tests/goldens/compare.py target/release/examples/score_pairs [--pairs 5000] [--seed 1] [FAMILY …]

Each pair is scored with every parameter of the family (`oracles.py`), and with the defaults of bleu, rouge1, rouge2 and rougeL.
"""

import argparse
import json
import random
import subprocess
import sys
import time

import make_goldens
import oracles
from rouge_score.rouge_scorer import RougeScorer

TOLERANCE = 1e-9


def rouge(kind):
    def with_stemmer(stemmer):
        scorer = RougeScorer([kind], use_stemmer=stemmer)
        return lambda text, references: scorer.score_multi(references, text)[kind].fmeasure
    return with_stemmer


FAMILIES = {
    "bleu": ("bleu", [{"tokenize": t, "smoothing": s} for t in make_goldens.TOKENIZERS for s in make_goldens.SMOOTHINGS], oracles.bleu),
    **{kind: (kind, [{"stemmer": False}, {"stemmer": True}], rouge(kind)) for kind in ("rouge1", "rouge2", "rougeL")},
    **oracles.FAMILIES,
}


def new_pairs(count, seed):
    make_goldens.RANDOM.seed(seed)
    for _ in range(count):
        text = make_goldens.text(random.choice([1, 2, 3, 5, 8, 12, 20, 30, 40]))
        yield text, [make_goldens.mutated(text) for _ in range(random.choice([1, 1, 1, 2, 3]))]


def compare(binary, family, pairs):
    metric, settings, oracle = FAMILIES[family]
    head = json.dumps({"metric": metric, "params": settings})
    lines = [head] + [json.dumps({"text": text, "references": references}) for text, references in pairs]
    answer = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True).stdout.splitlines()
    found, ours = [json.loads(line) for line in answer[:-1]], json.loads(answer[-1])
    most, refused, failures = 0.0, 0, []
    for at, (setting, seconds) in enumerate(zip(settings, ours)):
        function = oracle(**setting)
        start = time.perf_counter()
        expected = [function(text, references) for text, references in pairs]
        theirs = time.perf_counter() - start
        for (text, references), values, expect in zip(pairs, found, expected):
            if expect is None:
                refused += 1
                continue
            difference = abs(values[at] - expect)
            most = max(most, difference)
            if not difference <= TOLERANCE:
                failures.append((setting, text, references, values[at], expect))
        print(f"  {metric} {json.dumps(setting)}: {theirs / seconds:.0f} times as fast ({1e6 * seconds / len(pairs):.1f} µs a pair)")
    print(f"{family}: {len(pairs)} pairs, {len(settings)} settings, greatest difference {most:.1e}, refused by the oracle {refused}, "
          f"failures {len(failures)}")
    for failure in failures[:5]:
        print("   ", *failure, sep="\n    ")
    return not failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("families", nargs="*")
    parser.add_argument("--pairs", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random.seed(args.seed)
    pairs = list(new_pairs(args.pairs, args.seed))
    agreed = [compare(args.binary, family, pairs) for family in args.families or FAMILIES]
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    main()
