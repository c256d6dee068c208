#!/usr/bin/env python3
"""Speed of the metrics beside their reference implementations, one thread each, on the same texts; then how their time and memory grow.

    main.py BENCH_METRICS [--rows 2000] [--growth 1000000] [--json FILE] [--only WORD]

No thresholds: timings differ between machines; the aims are printed beside the ratios.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "goldens"))

import make_goldens
import make_scores
import oracles
import sacrebleu
from compare_pii import RECOGNIZERS
from datasketch import MinHash, MinHashLSH
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF, TER
from textstat import textstat

# A reference is measured for about so many seconds, on as many rows as it takes.
SECONDS = 4.0
SELF_BLEU_ROWS = 200


def each(function):
    """As many rows as SECONDS allow: how many, and the seconds."""
    def measure(rows):
        function(rows[0])  # what is made once
        start = time.perf_counter()
        for count, row in enumerate(rows, 1):
            function(row)
            if time.perf_counter() - start > SECONDS:
                break
        return count, time.perf_counter() - start
    return measure


def whole(function):
    def measure(rows):
        start = time.perf_counter()
        function(rows)
        return len(rows), time.perf_counter() - start
    return measure


def corpus(score):
    return whole(lambda rows: score([row["text"] for row in rows], [[row["references"][0] for row in rows]]))


def rouge(kind):
    scorer = RougeScorer([kind])
    return each(lambda row: scorer.score(row["references"][0], row["text"]))


def nltk_bleu(row):
    words = row["text"].split()
    return sentence_bleu([row["references"][0].split()], words, smoothing_function=SmoothingFunction().method1)


def near_duplicates(rows):
    index = MinHashLSH(threshold=0.8, num_perm=128)
    sets = []
    for at, row in enumerate(rows):
        sets.append(make_scores.shingles(row["text"]))
        sketch = MinHash(num_perm=128)
        sketch.update_batch(sets[at])
        earlier = index.query(sketch)
        any(len(sets[at] & sets[other]) / len(sets[at] | sets[other]) >= 0.8 for other in earlier)
        index.insert(at, sketch)


def presidio():
    recognizers = [(made, made.supported_entities) for made in (make() for make in RECOGNIZERS.values())]

    def find(row):
        for recognizer, entities in recognizers:
            recognizer.analyze(row["text"], entities, None)
    return each(find)


def self_bleu(rows):
    make_goldens.self_bleu([make_goldens.tokens_13a(row["text"]) for row in rows], 4)


# What is measured, our metric and parameters, whether the dataset's value is, the reference, rows at most, the aim.
def comparisons():
    chrf, ter = CHRF(), TER()
    yield "sentence BLEU, sacrebleu", "bleu", {}, False, each(lambda row: sacrebleu.sentence_bleu(row["text"], row["references"])), None, 100
    yield "corpus BLEU, sacrebleu", "bleu", {}, True, corpus(sacrebleu.corpus_bleu), None, 100
    for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
        yield f"{kind}, rouge_score", kind, {}, False, rouge(kind), None, 100
    yield "BLEU, NLTK", "bleuNltk", {"method": 1, "tokenize": "none"}, False, each(nltk_bleu), None, 200
    yield "self-BLEU, NLTK", "selfBleu", {}, True, whole(self_bleu), SELF_BLEU_ROWS, 200
    yield "near duplicates, datasketch", "nearDuplicateRate", {}, True, whole(near_duplicates), None, 50
    yield "personal data, Presidio", "pii", {}, False, presidio(), None, 50
    yield "chrF, sacrebleu", "chrf", {}, False, each(lambda row: chrf.sentence_score(row["text"], row["references"])), None, None
    yield "corpus chrF, sacrebleu", "chrf", {}, True, corpus(lambda texts, references: CHRF().corpus_score(texts, references)), None, None
    yield "TER, sacrebleu", "ter", {}, False, each(lambda row: ter.sentence_score(row["text"], row["references"])), None, None
    yield "distinct", "distinct", {}, True, whole(lambda rows: make_goldens.distinct([row["text"] for row in rows], 2)), None, None
    yield "repetition", "repetition", {}, False, each(lambda row: make_scores.repetition(row["text"], 4)), None, None
    yield "compression ratio, gzip", "compressionRatio", {}, True, whole(lambda rows: make_scores.compression_ratio([row["text"] for row in rows])), 1000, None
    yield "reading ease, textstat", "fleschReadingEase", {}, False, each(lambda row: textstat.flesch_reading_ease(row["text"])), None, None


def ours(binary, metric, params, dataset, rows):
    lines = [json.dumps({"metric": metric, "params": params, "dataset": dataset})] + [json.dumps(row) for row in rows]
    answer = subprocess.run([binary, "speed"], input="\n".join(lines), capture_output=True, text=True, check=True)
    answer = json.loads(answer.stdout)
    return answer["rows"] / answer["seconds"]


def speed(binary, count, only):
    texts = subprocess.run([binary, "texts", str(count)], capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [json.loads(line) for line in texts]
    print(f"{'rows a second':32}{'ours':>12}{'reference':>12}{'ratio':>8}   aim")
    found = []
    for name, metric, params, dataset, reference, most, aim in comparisons():
        if only and only not in name:
            continue
        chosen = rows[:most] if most else rows
        mine = ours(binary, metric, params, dataset, chosen)
        done, seconds = reference(chosen)
        theirs = done / seconds
        ratio = mine / theirs
        verdict = "" if aim is None else f"{aim} {'met' if ratio >= aim else 'MISSED'}"
        print(f"{name:32}{mine:12,.0f}{theirs:12,.0f}{ratio:8,.0f}   {verdict}", flush=True)
        found.append({"name": name, "ours": mine, "reference": theirs, "ratio": ratio, "aim": aim})
    return found


def growth(binary, most):
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= most]
    runs = []
    for size in sizes:
        answer = subprocess.run([binary, "growth", str(size)], capture_output=True, text=True, check=True)
        runs.append(json.loads(answer.stdout))
    if not runs:
        return runs
    print("".join(f"left out: {why}\n" for why in runs[0]["left_out"]), end="")
    print(f"\n{'µs a row, with the score':32}" + "".join(f"{run['rows']:>12,}" for run in runs))
    for name in runs[0]["metrics"]:
        figures = [run["metrics"][name] for run in runs]
        print(f"{name:32}" + "".join(f"{1e6 * (f['add'] + f['score']) / run['rows']:12.2f}" for f, run in zip(figures, runs)))
    print(f"{'MiB at most, all metrics':32}" + "".join(f"{run['peak_kib'] / 1024:12.0f}" for run in runs))
    return runs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--growth", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    args = parser.parse_args()
    figures = {"speed": speed(args.binary, args.rows, args.only), "growth": growth(args.binary, args.growth)}
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
