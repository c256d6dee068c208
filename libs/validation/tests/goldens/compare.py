#!/usr/bin/env python3
"""Compares the metrics with their oracles on new pairs of texts, made of a seed, and says how far apart they are and how long both took.

    cargo build --release -p textnlp-validation --example score_pairs
    venv/bin/python libs/validation/tests/goldens/compare.py target/release/examples/score_pairs [--pairs 5000] [--seed 1] [FAMILY …]

Each pair is scored with every parameter of the family (`oracles.py`), and with the defaults of bleu, rouge1, rouge2 and rougeL. Then
datasets: sets of the pairs for the scores of corpora, and sets of texts that resemble one another.
"""

import argparse
import json
import random
import subprocess
import sys
import time

import make_goldens
import make_scores
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


def corpus(scorer):
    def score(rows):
        most = max(len(row["references"]) for row in rows)
        references = [[dict(enumerate(row["references"])).get(k) for row in rows] for k in range(most)]
        return scorer.corpus_score([row["text"] for row in rows], references).score
    return score


def of_texts(function):
    return lambda rows: function([row["text"] for row in rows])


def self_bleu(n):
    return of_texts(lambda texts: make_goldens.self_bleu([make_goldens.tokens_13a(text) for text in texts], n) if len(texts) > 1 else None)


def with_names(scorer, **names):
    return lambda **settings: corpus(scorer(**{names[name]: value for name, value in settings.items()}))


# name → metric, its parameters, its oracle, whether the rows resemble one another
DATASETS = {
    "corpus_bleu": ("bleu", FAMILIES["bleu"][1] + oracles.BLEU_SETTINGS,
                    with_names(oracles.BLEU, tokenize="tokenize", smoothing="smooth_method", smoothingValue="smooth_value", lowercase="lowercase"), False),
    "corpus_chrf": ("chrf", oracles.CHRF_SETTINGS, with_names(oracles.CHRF, wordOrder="word_order", lowercase="lowercase"), False),
    "corpus_ter": ("ter", oracles.TER_SETTINGS, with_names(
        oracles.TER, normalized="normalized", asianSupport="asian_support", noPunctuation="no_punct", caseSensitive="case_sensitive"), False),
    "self_bleu": ("selfBleu", [{"n": n} for n in (1, 2, 3, 4)], self_bleu, True),
    "distinct": ("distinct", [{"n": n} for n in (1, 2, 3, 4)], lambda n: of_texts(lambda texts: make_goldens.distinct(texts, n)), True),
    "compression_ratio": ("compressionRatio", [{}], lambda: of_texts(make_scores.compression_ratio), True),
    "near_duplicates": ("nearDuplicateRate", [{"threshold": t} for t in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)],
                        lambda threshold: of_texts(lambda texts: make_scores.near_rate(texts, threshold)), True),
}


def sets_of(pairs, alike):
    """Sets of 1 to 60 pairs, as many as it takes for all of them; or sets of texts of which many are made of the same few."""
    left = list(pairs)
    while left:
        size = random.choice([1, 2, 3, 5, 10, 20, 40, 60])
        rows, left = left[:size], left[size:]
        texts = [text for text, _ in rows]
        if alike:
            bases = [make_goldens.text(random.choice([3, 8, 20, 60])) for _ in range(1 + size // 6)]
            texts = [changed(random.choice(bases)) for _ in rows]
        yield [{"text": text, "references": references} for text, (_, references) in zip(texts, rows)]


def changed(text):
    words = text.split(" ")
    for _ in range(random.choice([0, 0, 1, 1, 2, 5])):
        words[random.randrange(len(words))] = random.choice(make_goldens.ENGLISH)
    return " ".join(words)


def compare_datasets(binary, name, pairs):
    metric, settings, oracle, alike = DATASETS[name]
    sets = list(sets_of(pairs, alike))
    lines = [json.dumps({"metric": metric, "params": settings})] + [json.dumps({"rows": rows}) for rows in sets]
    answer = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True).stdout.splitlines()
    most, failures = 0.0, []
    for at, setting in enumerate(settings):
        function = oracle(**setting)
        for rows, line in zip(sets, answer):
            found, expect = json.loads(line)[at], function(rows)
            difference = 0.0 if found is expect is None else abs(found - expect) if None not in (found, expect) else float("inf")
            most = max(most, difference)
            if not difference <= TOLERANCE:
                failures.append((setting, found, expect, [row["text"] for row in rows][:3]))
    print(f"{name}: {sum(map(len, sets))} rows in {len(sets)} sets, {len(settings)} settings, greatest difference {most:.1e}, failures {len(failures)}", flush=True)
    for failure in failures[:5]:
        print("   ", *failure, sep="\n    ")
    return not failures


def compare_readability(binary, pairs):
    """Words in a sentence are textstat's, computed from both scores; syllables follow another rule, and so the scores are near only."""
    from textstat import textstat
    scores = []
    for metric in ("fleschReadingEase", "fleschKincaidGrade"):
        lines = [json.dumps({"metric": metric, "params": [{}]})] + [json.dumps({"text": text}) for text, _ in pairs]
        answer = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True).stdout.splitlines()
        scores.append([json.loads(line)[0] for line in answer[:-1]])
    most, ease = 0.0, []
    for (text, _), reading, grade in zip(pairs, *scores):
        words = make_scores.count_words(text)
        if words:
            ours = (11.8 * (206.835 - reading) - 84.6 * (grade + 15.59)) / (11.8 * 1.015 - 84.6 * 0.39)
            most = max(most, abs(ours - words / max(1, make_scores.count_sentences(text))) / ours)
            ease.append(abs(reading - textstat.flesch_reading_ease(text)))
    print(f"readability: {len(ease)} texts, greatest relative difference of words in a sentence {most:.1e}; reading ease differs by {sum(ease) / len(ease):.1f} on average")
    return most < 1e-9


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
          f"failures {len(failures)}", flush=True)
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
    agreed = []
    for family in args.families or [*FAMILIES, *DATASETS, "readability"]:
        if family in FAMILIES:
            agreed.append(compare(args.binary, family, pairs))
        elif family in DATASETS:
            agreed.append(compare_datasets(args.binary, family, pairs))
        else:
            agreed.append(compare_readability(args.binary, pairs))
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    main()
