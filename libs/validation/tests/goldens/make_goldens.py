#!/usr/bin/env python3
"""Writes the golden values that the tests of textnlp-validation compare with.

    python3.11 -m venv venv && venv/bin/pip install sacrebleu==2.6.0 nltk==3.10.4 rouge_score==0.1.2 regex==2026.11.19 datasketch==2.0.0 textstat==0.7.13
    venv/bin/python libs/validation/tests/goldens/make_goldens.py && venv/bin/python libs/validation/tests/goldens/make_scores.py

Files (JSON lines, gzip), all from one seed:
    pairs      text, references → sentence BLEU of every tokenizer and smoothing, ROUGE with and without stemmer, word count
    corpora    indices of pairs → corpus BLEU of every tokenizer and smoothing
    sets       texts → self-BLEU and distinct of every n
    tokens     text → tokens of 13a and intl
    words      word → Porter stem
    folded     text → key of the folded text
and src/text/categories.rs: which characters are punctuation, symbols and numbers in the Unicode version of the pinned `regex`
"""

import gzip
import hashlib
import json
import random
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path

import regex
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_intl import TokenizerV14International

PINS = {"sacrebleu": "2.6.0", "nltk": "3.10.4", "rouge_score": "0.1.2", "regex": "2026.11.19"}
HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src" / "text"
RANDOM = random.Random(20260)
TOKENIZERS = ["13a", "intl", "char", "none"]
SMOOTHINGS = ["exp", "floor", "add-k", "none"]

# Alphabets of 16 scripts: (first, last) code points.
SCRIPTS = {
    "latin": [(0x61, 0x7A)], "latin-extended": [(0x61, 0x7A), (0xC0, 0x17F)], "greek": [(0x391, 0x3A1), (0x3A3, 0x3C9)],
    "cyrillic": [(0x410, 0x44F)], "armenian": [(0x531, 0x556), (0x561, 0x587)], "hebrew": [(0x5D0, 0x5EA)],
    "arabic": [(0x620, 0x64A), (0x660, 0x669)], "devanagari": [(0x904, 0x939), (0x93E, 0x94D), (0x964, 0x96F)],
    "tamil": [(0xB85, 0xB8A), (0xBBE, 0xBC2)], "thai": [(0xE01, 0xE3A), (0xE3F, 0xE5B)], "georgian": [(0x10D0, 0x10FA)],
    "hangul": [(0xAC00, 0xAD00)], "ethiopic": [(0x1200, 0x1248), (0x1361, 0x1368)], "cherokee": [(0x13A0, 0x13F5), (0xAB70, 0xABBF)],
    "japanese": [(0x3041, 0x3096), (0x30A1, 0x30FC), (0x3001, 0x3002)], "chinese": [(0x4E00, 0x4F00), (0xFF0C, 0xFF0E), (0x3002, 0x3002)],
}
PIECES = [
    "1,000.5", "3.14", "10-20", "2024-05-06", "$5.00", "50%", "e.g.", "i.e.,", "U.S.A.", "Mr.", "co-operate", "re-\ncreate", "don't", "it's",
    "https://example.com/a?b=c&d=e#f", "user@example.com", "C++", "#tag", "@name", "&quot;", "&amp;", "&lt;b&gt;", "&amp;quot;", "<skipped>", "...",
    "..", ".", ",", ",,", "-", "--", "—", "…", "“quoted”", "‘q’", "«q»", "¿que?", "(a)", "[1]", "{x}", "a/b", "~", "`x`", "^", "_", "\\", "|", "*", "**bold**",
    "😀", "👨‍👩‍👧", "🇩🇪", "❤️", "☃", "€", "£5", "½", "²", "٣٤", "५", "四", "™", "\t", "\n", "\r\n", "\x00", "\x1b[0m", "\x1c", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\u3000",
    "\u200b", "\ufeff", "\u202e", "\u0301", "İstanbul", "ıssız", "\u212aelvin", "ΣΊΣΥΦΟΣ", "Straße", "STRASSE", "ﬁne", "Ⅳ", "ǅ", "ŉ", "naïve", "CAFÉ",
    "1.", "1,", ".5", ",5", "5.a", "a.5", "1-", "-1", "x-1-y", "९,००", "१.५", "1٫5", "I.B.M.,", "end.",
]
ENGLISH = """the a of to and in is was for on that with as by at from it an be are this which or had his her not but have they were one all their
there been if more when who will would can no so what up out about into than them time only some could new other these two may then do first any
flight delayed ticket airport passenger luggage complaint refund hours service staff agency traveller travelling travelled cancelled cancellation
connection connected organisation organised relational conditional happily happiness hopefully operators operational generalization feudalism
controlling controlled rolling plastered motoring caresses ponies ties dying lying skies news innings proceed exceed succeed sensibilities
probably probate rates cease falling hissing fizzed failing filing electricity electrical goodness allowances inference airliner adjustable
defensible irritant replacement adjustment dependent adoption homologous communism activate angularity effective bowdlerize geology theology
enjoy enjoyment spied died flies dies agreed feed bled singing""".split()
SUFFIXES = """s es ies sses ss ed eed ied ing ings y ies ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism iveness
fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion sion tion ou ism
ate iti ous ive ize e le ll lle ly""".split()


def word(script):
    first, last = zip(*SCRIPTS[script])
    span = RANDOM.randrange(len(first))
    return "".join(chr(RANDOM.randint(first[span], last[span])) for _ in range(RANDOM.randint(1, 7)))


def text(length, vocabulary=None):
    script = RANDOM.choice(list(SCRIPTS))
    vocabulary = vocabulary or [word(script) for _ in range(12)] + RANDOM.sample(ENGLISH, 12)
    parts = []
    for _ in range(length):
        part = RANDOM.choice(vocabulary) if RANDOM.random() < 0.8 else RANDOM.choice(PIECES)
        if RANDOM.random() < 0.1:
            part = part.upper() if RANDOM.random() < 0.3 else part.capitalize()
        parts.append(part + RANDOM.choice([" "] * 12 + ["", "  ", ", ", ". ", ".", "! ", "\n"]))
    return "".join(parts)


def mutated(original):
    words = original.split(" ")
    for _ in range(RANDOM.randint(0, max(1, len(words) // 3))):
        at = RANDOM.randrange(len(words))
        match RANDOM.randrange(4):
            case 0: words.insert(at, RANDOM.choice(words))
            case 1: words.pop(at)
            case 2: words[at] = RANDOM.choice(ENGLISH + PIECES)
            case 3: words.insert(RANDOM.randrange(len(words)), words.pop(at))
        if not words:
            break
    return " ".join(words)


def make_pairs():
    by_hand = [
        ("", [""]), ("", ["a"]), ("a", [""]), ("", ["", "a"]), (" \n", [" "]), ("a", ["a"]), (".", ["."]), ("a b", ["a b"]), ("a b c", ["a b c"]),
        ("a b c d", ["a b c d"]), ("a b c d e", ["a b c d e"]), ("a b c d", ["b c d e"]), ("the the the the", ["the cat", "the the"]),
        ("a b c", ["a b", "a b c d"]), ("a b c", ["a b c d", "a b"]), ("ABC", ["abc"]), ("1,000.5", ["1,000 . 5"]), ("foo-\n", ["foo-"]), ("foo-\nbar", ["foobar"]),
        ("x <skipped> y", ["x y"]), ("Hello.", ["Hello ."]), ("中文字。", ["中文。"]), ("a\x1fb", ["a b"]), ("😀😀", ["😀"]), ("-<skipped>\nx", ["x"]),
        ("1999.", ["1999 ."]), (".,.,", [". , . ,"]), ("a.,b", ["a . , b"]), ("&amp;lt;", ["<"]), ("playing plays", ["played play"]), ("yyyyy", ["yyyyi yyyy"]),
    ]
    pairs = list(by_hand)
    while len(pairs) < 1100:
        candidate = text(RANDOM.choice([1, 2, 3, 4, 5, 8, 12, 20, 30]))
        references = [mutated(candidate) for _ in range(RANDOM.choice([1, 1, 1, 2, 3, 4]))]
        pairs.append((candidate, references))
    pairs += [(text(RANDOM.randint(0, 9)), [text(RANDOM.randint(0, 9))]) for _ in range(60)]  # unrelated
    for shared in (40, 3000):  # long ones
        vocabulary = ENGLISH if shared == 40 else [word("cyrillic") for _ in range(shared)] + ENGLISH
        long = text(10_000, vocabulary)
        pairs.append((long, [mutated(long)]))
        pairs.append((long[:3000], [mutated(long[:3500]), long]))
    return pairs


def bleu(tokenizer, smoothing, effective):
    return BLEU(tokenize=tokenizer, smooth_method=smoothing, effective_order=effective)


def tokens_13a(line):
    return Tokenizer13a()(line.rstrip()).split()


def golden_pairs(pairs):
    metrics = [[bleu(t, s, True) for s in SMOOTHINGS] for t in TOKENIZERS]
    scorers = {stem: RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem) for stem in (False, True)}
    for candidate, references in pairs:
        kinds = ["rouge1", "rouge2", "rougeL"]
        if len(candidate) * max(map(len, references)) > 3e8:
            kinds = ["rouge1", "rouge2"]  # the table of rougeL would take gigabytes
        rouge = {}
        for stem, scorer in scorers.items():
            scorer.rouge_types = kinds
            scores = scorer.score_multi(references, candidate)
            rouge["stem" if stem else "plain"] = [scores[kind].fmeasure for kind in kinds]
        yield {"text": candidate, "references": references, "words": len(candidate.split()),
               "bleu": [[m.sentence_score(candidate, references).score for m in row] for row in metrics], "rouge": rouge}


def golden_corpora(pairs):
    for size in (1, 2, 3, 5, 10, 50, 200, 500, len(pairs) - 4):
        chosen = RANDOM.sample(range(len(pairs) - 4), size)
        most = max(len(pairs[i][1]) for i in chosen)
        # sacrebleu's form: one list for each reference number, None where a text has fewer.
        references = [[dict(enumerate(pairs[i][1])).get(k) for i in chosen] for k in range(most)]
        scores, signature = [], []
        for tokenizer in TOKENIZERS:
            row = [bleu(tokenizer, s, False) for s in SMOOTHINGS]
            scores.append([m.corpus_score([pairs[i][0] for i in chosen], references).score for m in row])
            signature.append([str(m.get_signature()) for m in row])
        yield {"pairs": chosen, "bleu": scores, "signatures": signature}


def self_bleu(token_lists, n):
    method = SmoothingFunction().method1
    weights = tuple([1 / n] * n)
    scores = [
        sentence_bleu(token_lists[:i] + token_lists[i + 1:], hypothesis, weights, method)
        for i, hypothesis in enumerate(token_lists)
    ]
    return sum(scores) / len(scores)


def distinct(texts, n):
    grams = []
    for line in texts:
        tokens = tokens_13a(line.lower())
        grams += [tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def golden_sets():
    sets = [[""], ["", ""], ["a"], ["a", "a"], ["a b", "a b"], ["a b c d", "a b c d", ""], ["x y", "a b c d e f", "a b c d"],
            ["the the the", "the the", "the"], ["Same text.", "Same text.", "Same text."]]
    for size in (2, 3, 5, 20, 100):
        for _ in range(3):
            base = text(RANDOM.choice([3, 8, 20]))
            sets.append([mutated(base) if RANDOM.random() < 0.7 else text(8) for _ in range(size)])
    for texts in sets:
        tokens = [tokens_13a(line) for line in texts]
        yield {"texts": texts, "distinct": [distinct(texts, n) for n in (1, 2, 3, 4)],
               "selfBleu": [self_bleu(tokens, n) for n in (1, 2, 3, 4)] if len(texts) > 1 else None}
    texts = [" ".join(RANDOM.choices(ENGLISH, k=RANDOM.randint(1, 7))) for _ in range(1200)]
    order = sorted(range(len(texts)), key=lambda i: hashlib.sha256(f"{i}-0".encode()).hexdigest())
    sample = [tokens_13a(texts[i]) for i in order[:1000]]
    yield {"texts": texts, "distinct": [distinct(texts, n) for n in (1, 2, 3, 4)], "selfBleu": [None, self_bleu(sample, 2), None, None]}


def golden_tokens():
    lines = ["".join(RANDOM.choices(["a", "1", ".", ",", "-", " ", "é", "中", "$", "٣", "।", "\n", "&amp;"], k=RANDOM.randint(1, 30))) for _ in range(2500)]
    lines += [text(RANDOM.randint(1, 30)) for _ in range(300)]
    # Every character up to U+FFFF that Unicode 14 knows, among others.
    known = [chr(c) for c in range(0x10000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    lines += ["a".join(known[i:i + 512]) for i in range(0, len(known), 512)]
    for line in lines:
        line = line.rstrip()
        yield {"text": line, "13a": Tokenizer13a()(line).split(), "intl": TokenizerV14International()(line).split()}


def golden_words():
    stemmer = PorterStemmer()
    roots = ["".join(RANDOM.choice(["b", "c", "st", "l", "r", "tt", "y", "w", "x", ""]) + RANDOM.choice("aeiouy") for _ in range(RANDOM.randint(0, 3)))
             + RANDOM.choice(["", "b", "t", "tt", "ll", "ss", "zz", "w", "x", "y", "at", "bl", "iz", "1"]) for _ in range(5000)]
    words = {root + RANDOM.choice(SUFFIXES) + RANDOM.choice([""] * 3 + SUFFIXES) for root in roots} | set(ENGLISH) | {"yyyyy", "yyyyyy"}
    for each in sorted(words):
        yield [each, stemmer.stem(each)]


def fold(line):
    line = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", line).casefold())
    return " ".join(line.split())


def golden_folded():
    known = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    # Chinese characters and Hangul neither fold nor take much to check.
    known = [c for c in known if not 0x3400 <= ord(c) < 0xA000 and not 0xAC00 <= ord(c) < 0xD7A4 and not 0x17000 <= ord(c) < 0x19000 and ord(c) < 0x20000]
    lines = ["x".join(known[i:i + 128]) for i in range(0, len(known), 128)] + [text(20) for _ in range(100)] + ["", " ", "\u0345\u0301", "ᾳ\u0301"]
    for line in lines:
        yield {"text": line, "key": hashlib.sha256(fold(line).encode()).hexdigest()[:32]}


def write_categories():
    runs = []
    for letter in "PSN":
        pattern = regex.compile(rf"\p{{{letter}}}+")
        every = "".join(chr(c) if not 0xD800 <= c < 0xE000 else "a" for c in range(0x110000))
        runs += [(found.start(), found.end() - 1, letter) for found in pattern.finditer(every)]
    entries = [f"({first:#x}, {last:#x}, {letter})," for first, last, letter in sorted(runs)]
    lines, line = [], "   "
    for entry in entries:
        if len(line) + len(entry) > 98:
            lines, line = lines + [line], "   "
        line += " " + entry
    (SOURCE / "categories.rs").write_text(HEADER + "\n".join(lines + [line]) + "\n];\n")
    print(f"categories.rs: {len(entries)} runs")


HEADER = '''//! Which characters are punctuation, symbols and numbers, as the `regex` package of Python that sacrebleu tokenizes with.
//! Generated by `tests/goldens/make_goldens.py` from regex 2026.11.19; do not edit.

use super::unicode::Category::{self, Number as N, Punctuation as P, Symbol as S};

/// First and last code point of each run, ascending.
#[rustfmt::skip]
pub(super) static RUNS: &[(u32, u32, Category)] = &[
'''


def write(name, rows):
    lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    data = gzip.compress(lines.encode(), compresslevel=9, mtime=0)
    (HERE / f"{name}.jsonl.gz").write_bytes(data)
    print(f"{name}: {lines.count(chr(10))} lines, {len(data)} bytes")


def main():
    for package, pin in PINS.items():
        if version(package) != pin:
            sys.exit(f"{package} is {version(package)}; the goldens need {pin}")
    pairs = make_pairs()
    write("pairs", golden_pairs(pairs))
    write("corpora", golden_corpora(pairs))
    write("sets", golden_sets())
    write("tokens", golden_tokens())
    write("words", golden_words())
    write("folded", golden_folded())
    write_categories()


if __name__ == "__main__":
    main()
