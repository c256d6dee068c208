//! `bleuNltk`: NLTK 3.10.4's `sentence_bleu` with one of its smoothing functions (Chen and Cherry, 2014), 0 to 1.

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamError, ParamInfo, ParamKind, Params};
use crate::text::ngrams::{MAX_MATCH_ORDER, MAX_ORDER, Vocabulary, clipped_matches, total};
use crate::text::tokenize::Tokenizer;

pub(crate) const INFO: Info = Info {
    name: "bleuNltk",
    description: "Sentence BLEU as nltk 3.10.4's sentence_bleu with a smoothing function; the dataset's value is the mean. Smoothings 5 and 7 reach above 1.",
    scale: Scale::Ratio,
    row: true,
    needs_reference: true,
    needs_text: true,
    params: &[
        ParamInfo {
            name: "method",
            description: "The number of the smoothing function: 0 (none) to 7.",
            kind: ParamKind::Integer(0, 7, 0),
        },
        ParamInfo {
            name: "n",
            description: "The longest n-gram; all lengths up to it weigh the same. Method 6 needs at least 3.",
            kind: ParamKind::Integer(1, MAX_ORDER as i64, 4),
        },
        ParamInfo {
            name: "tokenize",
            description: "sacrebleu's tokenizer, because NLTK takes tokens: 13a, intl, zh, char, none (white space).",
            kind: ParamKind::Choice(Tokenizer::NAMES, "13a"),
        },
    ],
};

/// NLTK's default parameters of its smoothing functions.
const EPSILON: f64 = 0.1;
const ALPHA: f64 = 5.0;
const K: f64 = 5.0;

struct BleuNltk {
    method: i64,
    n: usize,
    tokenizer: Tokenizer,
}

pub(crate) fn new(params: &Params) -> Result<impl Definition + use<>, ParamError> {
    let n = params.integer("n");
    let method = params.integer("method");
    if method == 6 && n < 3 {
        return Err(ParamError::new("params.n", n, "3 or 4 with method 6"));
    }
    let n = usize::try_from(n).unwrap_or(1).clamp(1, MAX_ORDER);
    Ok(Mean(BleuNltk { method, n, tokenizer: Tokenizer::named(params.choice("tokenize")) }))
}

impl RowMetric for BleuNltk {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let text = self.tokenizer.tokenize(sample.text);
        let references: Vec<_> =
            sample.references.iter().map(|text| self.tokenizer.tokenize(text)).collect();
        let mut vocabulary = Vocabulary::default();
        let text = vocabulary.ids(text.iter());
        let references: Vec<_> =
            references.iter().map(|tokens| vocabulary.ids(tokens.iter())).collect();
        let closest = references.iter().map(Vec::len).min_by_key(|r| (r.abs_diff(text.len()), *r));
        // The methods that average look beyond the last order.
        let orders = if matches!(self.method, 5 | 7) { 5 } else { self.n.max(3) };
        let matches = clipped_matches(&text, &references, orders);
        Ok(self.score(text.len(), closest.unwrap_or_default(), matches))
    }

    fn signature(&self) -> String {
        let (n, method, tokenizer) = (self.n, self.method, self.tokenizer.name());
        format!("n:{n}|case:mixed|tok:{tokenizer}|smooth:method{method}|version:3.10.4")
    }
}

impl BleuNltk {
    fn score(&self, length: usize, reference: usize, matches: [u64; MAX_MATCH_ORDER]) -> f64 {
        if matches[0] == 0 {
            return 0.0;
        }
        let counts = Counts { length, matches };
        let precisions = &mut counts.precisions()[..self.n];
        match self.method {
            0 => counts.for_none(precisions, |_, _| f64::MIN_POSITIVE),
            1 => counts.for_none(precisions, |_, total| EPSILON / total),
            2 => counts.add_one(precisions),
            3 => counts.for_none(precisions, |k, total| 1.0 / (power_of_two(k) * total)),
            4 => counts.shorten(precisions),
            5 => counts.average(precisions),
            6 if matches[2] == 0 => return 0.0, // NLTK refuses; without trigrams BLEU is 0
            6 => counts.interpolate(precisions),
            _ => {
                counts.shorten(precisions);
                counts.average(precisions);
            }
        }
        let logarithms = precisions.iter().filter(|p| **p > 0.0).map(|p| libm::log(*p));
        let mean = logarithms.map(|logarithm| logarithm / self.n as f64).sum();
        brevity_penalty(length, reference) * libm::exp(mean)
    }
}

/// NLTK's brevity penalty of a text that is not empty.
fn brevity_penalty(length: usize, reference: usize) -> f64 {
    if length > reference { 1.0 } else { libm::exp(1.0 - reference as f64 / length as f64) }
}

fn power_of_two(k: i32) -> f64 {
    libm::ldexp(1.0, k)
}

/// The matching n-grams of a text of `length` tokens.
struct Counts {
    length: usize,
    matches: [u64; MAX_MATCH_ORDER],
}

impl Counts {
    /// How many n-grams there are, or 1 in their place.
    fn total(&self, i: usize) -> f64 {
        total(self.length, i + 1).max(1) as f64
    }

    fn precisions(&self) -> [f64; MAX_MATCH_ORDER] {
        std::array::from_fn(|i| self.matches[i] as f64 / self.total(i))
    }

    /// Replaces precisions of 0, of which the k-th (from 1) becomes `value(k, total)`.
    fn for_none(&self, precisions: &mut [f64], value: impl Fn(i32, f64) -> f64) {
        let mut k = 0;
        for (i, precision) in precisions.iter_mut().enumerate() {
            if self.matches[i] == 0 {
                k += 1;
                *precision = value(k, self.total(i));
            }
        }
    }

    /// Method 2: one more match and n-gram, for n > 1 (Lin and Och, 2004).
    fn add_one(&self, precisions: &mut [f64]) {
        for (i, precision) in precisions.iter_mut().enumerate().skip(1) {
            *precision = (self.matches[i] as f64 + 1.0) / (self.total(i) + 1.0);
        }
    }

    /// Method 4: as method 3, less for short texts.
    fn shorten(&self, precisions: &mut [f64]) {
        if self.length > 1 {
            let logarithm = libm::log(self.length as f64);
            self.for_none(precisions, |k, total| 1.0 / (power_of_two(k) * K / logarithm) / total);
        }
    }

    /// Method 5: the average of the neighbours. Beyond the last order stands that of 5-grams, whatever the last order is.
    fn average(&self, precisions: &mut [f64]) {
        let five = self.precisions()[4];
        let mut before = precisions[0] + 1.0;
        for i in 0..precisions.len() {
            let after = precisions.get(i + 1).copied().unwrap_or(five);
            precisions[i] = (before + precisions[i] + after) / 3.0;
            before = precisions[i];
        }
    }

    /// Method 6: towards what the two shorter lengths let expect (Gao and He, 2013).
    fn interpolate(&self, precisions: &mut [f64]) {
        for i in 2..precisions.len() {
            let (two_less, one_less) = (precisions[i - 2], precisions[i - 1]);
            let expected = if two_less == 0.0 { 0.0 } else { one_less * one_less / two_less };
            let all = total(self.length, i + 1) as f64;
            precisions[i] = (self.matches[i] as f64 + ALPHA * expected) / (all + ALPHA);
        }
    }
}
