#!/usr/bin/env python3
"""Writes what the oracles answer to the pairs of pairs.jsonl.gz, which `make_goldens.py` wrote.

    venv/bin/python libs/validation/tests/goldens/make_scores.py

Files (JSON lines, gzip): the first line has the metric and the parameters that were asked for; each other line has the index of a
pair and the values, twelve digits of them. texts has what belongs to the pairs' texts alone: repetition (n 4 and 2) and compression
ratio, textstat's words and sentences, 16 digits of the SHA-256 of datasketch's MinHash; compressed_sets the compression ratio of each
set of sets.jsonl.gz; intervals the corpus scores of some pairs with sacrebleu's confidence interval; near, sets of texts with the rate of near duplicates at several thresholds. tokens_zh has, for each text of tokens.jsonl.gz, 16 digits of the SHA-256 of its tokens. And src/text/permutations.rs: datasketch's permutations.
"""

import gzip
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

import make_goldens
from datasketch import MinHash, MinHashLSH
from oracles import FAMILIES, PINS
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh
from textstat.backend.counts._count_sentences import count_sentences
from textstat.backend.counts._count_words import count_words

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


def repetition(text, n):
    tokens = make_goldens.tokens_13a(text.lower())
    grams = [tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0


def compression_ratio(texts):
    data = "\n".join(texts).encode()
    return len(data) / len(gzip.compress(data, 6))


def shingles(text):
    words = make_goldens.fold(text).split(" ")
    return {" ".join(words[i:i + 5]).encode() for i in range(max(1, len(words) - 4))}


def minhash(text):
    sketch = MinHash(num_perm=128)
    sketch.update_batch(shingles(text))
    return sketch


def texts(pairs):
    for index, pair in enumerate(pairs):
        text = pair["text"]
        scores = [repetition(text, 4), repetition(text, 2), compression_ratio([text])]
        yield {"pair": index, "scores": [rounded(score) for score in scores], "readability": [count_words(text), count_sentences(text)],
               "minhash": hashlib.sha256(minhash(text).hashvalues.astype("<u4").tobytes()).hexdigest()[:16]}


def compressed_sets():
    for line in read("sets"):
        rows = sorted(range(len(line["texts"])), key=lambda i: hashlib.sha256(f"{i}-0".encode()).hexdigest())[:1000]
        yield rounded(compression_ratio([line["texts"][i] for i in sorted(rows)]))


def near_rate(texts, threshold):
    index = MinHashLSH(threshold=threshold, num_perm=128)
    sets, twins = [shingles(text) for text in texts], 0
    for at, text in enumerate(texts):
        sketch = minhash(text)
        earlier = index.query(sketch)
        twins += any(len(sets[at] & sets[other]) / len(sets[at] | sets[other]) >= threshold for other in earlier)
        index.insert(at, sketch)
    return twins / len(texts)


def near_sets():
    make_goldens.RANDOM.seed(7)
    for length in (3, 8, 20, 40, 80, 150):
        bases = [make_goldens.text(length) for _ in range(6)]
        texts = []
        for _ in range(40):
            words = make_goldens.RANDOM.choice(bases).split(" ")
            for _ in range(make_goldens.RANDOM.choice([0, 1, 1, 2, 3, 5])):
                words[make_goldens.RANDOM.randrange(len(words))] = make_goldens.RANDOM.choice(make_goldens.ENGLISH)
            texts.append(" ".join(words))
        yield {"texts": texts, "rates": {str(threshold): near_rate(texts, threshold) for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)}}


def intervals(pairs):
    chosen = [i for i, pair in enumerate(pairs) if 40 < len(pair["text"]) < 600 and pair["references"][0]][:400]
    texts, references = [pairs[i]["text"] for i in chosen], [pairs[i]["references"][0] for i in chosen]
    for metric, scorer in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        score = scorer.corpus_score(texts, [references], n_bootstrap=1000)
        yield {"metric": metric, "pairs": chosen, "score": rounded(score.score), "ci": rounded(score._ci)}


def write_permutations():
    factors, terms = (MinHash(num_perm=128).permutations[i].tolist() for i in (0, 1))
    rows = lambda numbers: "\n".join("    " + " ".join(f"{n:#010x}," for n in numbers[i:i + 8]) for i in range(0, len(numbers), 8))
    (make_goldens.SOURCE / "permutations.rs").write_text(PERMUTATIONS % (rows(factors), rows(terms)))


PERMUTATIONS = '''//! The permutations of datasketch 2.0.0's `MinHash(num_perm=128, seed=1)`: hash · factor + term modulo 2^32.
//! Generated by `tests/goldens/make_scores.py`; do not edit.

/// How many there are.
pub(super) const PERMUTATIONS: usize = 128;

#[rustfmt::skip]
pub(super) static FACTORS: [u32; PERMUTATIONS] = [
%s
];

#[rustfmt::skip]
pub(super) static TERMS: [u32; PERMUTATIONS] = [
%s
];
'''


def main():
    for package, pin in PINS.items():
        if version(package) != pin:
            sys.exit(f"{package} is {version(package)}; the goldens need {pin}")
    pairs = read("pairs")
    for name in sys.argv[1:] or FAMILIES:
        write(name, scores(name, pairs))
    if not sys.argv[1:]:
        write("tokens_zh", tokens_zh())
        write("texts", texts(pairs))
        write("compressed_sets", compressed_sets())
        write("near", near_sets())
        write("intervals", intervals(pairs))
        write_permutations()


if __name__ == "__main__":
    main()
