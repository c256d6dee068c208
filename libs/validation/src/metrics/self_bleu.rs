//! `selfBleu`: how much the texts of a dataset repeat one another (Zhu et al., 2018); NLTK's `sentence_bleu` of each text against
//! all the others.

use std::collections::BTreeMap;

use crate::definition::{Definition, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{FastMap, MAX_ORDER, Ngram, Vocabulary, ngrams, total};
use crate::text::sampled::{SAMPLE, SampledTexts};
use crate::text::tokenize::Tokenizer;

/// NLTK's `SmoothingFunction.method1`: so many matches stand for none.
const EPSILON: f64 = 0.1;

pub(crate) const INFO: Info = Info {
    name: "selfBleu",
    description: "BLEU of each text against all the others, as nltk 3.10.4's sentence_bleu with smoothing method1 over 13a tokens; the mean. High means repetitive. Above 1,000 rows, over the 1,000 whose ids have the smallest SHA-256.",
    scale: Scale::Unit,
    row: false,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "n",
        description: "The longest n-gram; all lengths up to it weigh the same.",
        kind: ParamKind::Integer(1, MAX_ORDER as i64, 4),
    }],
};

struct SelfBleu {
    n: usize,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    SelfBleu { n: usize::try_from(params.integer("n")).unwrap_or(1).clamp(1, MAX_ORDER) }
}

impl Definition for SelfBleu {
    type State = SampledTexts;

    fn row(&self, _: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(None)
    }

    fn add(&self, state: &mut SampledTexts, sample: &Sample<'_>) -> Result<(), RowError> {
        state.add(sample, |text| {
            Tokenizer::Mteval13a.tokenize(text).iter().collect::<Vec<_>>().join(" ")
        });
        Ok(())
    }

    fn score(&self, state: &SampledTexts) -> Option<Value> {
        let mut vocabulary = Vocabulary::default();
        let texts: Vec<Vec<u32>> = state
            .texts()
            .map(|text| vocabulary.ids(text.split(' ').filter(|token| !token.is_empty())))
            .collect();
        (texts.len() >= 2).then(|| {
            let scores = scores(&texts, self.n);
            Value { value: scores.iter().sum::<f64>() / scores.len() as f64, distribution: None }
        })
    }

    fn signature(&self) -> String {
        format!("n:{}|case:mixed|tok:13a|smooth:method1|sample:{SAMPLE}|version:3.10.4", self.n)
    }
}

/// In which texts an n-gram occurs most often: enough to know the highest count in all texts but one.
#[derive(Clone, Copy, Default)]
struct Highest {
    count: u64,
    text: usize,
    /// The highest count in the other texts.
    second: u64,
}

impl Highest {
    fn put(&mut self, text: usize, count: u64) {
        if count > self.count {
            *self = Self { count, text, second: self.count };
        } else {
            self.second = self.second.max(count);
        }
    }

    fn without(&self, text: usize) -> u64 {
        if self.text == text { self.second } else { self.count }
    }
}

/// The BLEU of each of at least two texts against all the others. Each n-gram is visited a constant number of times: for "all the
/// others" it is enough to know the two highest counts.
fn scores(texts: &[Vec<u32>], n: usize) -> Vec<f64> {
    let mut logarithms = vec![0.0; texts.len()];
    let mut matches_of_one = vec![0; texts.len()];
    for order in 1..=n {
        let counts: Vec<FastMap<Ngram, u64>> =
            texts.iter().map(|text| count(text, order)).collect();
        let mut highest: FastMap<Ngram, Highest> = FastMap::default();
        for (at, counts) in counts.iter().enumerate() {
            counts.iter().for_each(|(gram, c)| highest.entry(*gram).or_default().put(at, *c));
        }
        for (at, counts) in counts.iter().enumerate() {
            let others = |gram| highest.get(gram).map_or(0, |highest| highest.without(at));
            let matches: u64 = counts.iter().map(|(gram, c)| (*c).min(others(gram))).sum();
            if order == 1 {
                matches_of_one[at] = matches;
            }
            let matched = if matches == 0 { EPSILON } else { matches as f64 };
            logarithms[at] +=
                libm::log(matched / total(texts[at].len(), order).max(1) as f64) / n as f64;
        }
    }
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    texts.iter().for_each(|text| *lengths.entry(text.len()).or_default() += 1);
    texts
        .iter()
        .zip(logarithms.iter().zip(&matches_of_one))
        .map(|(text, (logarithm, matches))| match matches {
            0 => 0.0, // NLTK smooths only texts that share a word
            _ => brevity_penalty(text.len(), closest(&lengths, text.len())) * libm::exp(*logarithm),
        })
        .collect()
}

fn count(text: &[u32], order: usize) -> FastMap<Ngram, u64> {
    let mut counts = FastMap::default();
    ngrams(text, order).for_each(|gram| *counts.entry(gram).or_default() += 1);
    counts
}

/// The length closest to `length` among all texts but one of this length; of two as close, the smaller.
fn closest(lengths: &BTreeMap<usize, usize>, length: usize) -> usize {
    if lengths.get(&length).is_some_and(|count| *count > 1) {
        return length;
    }
    let below = lengths.range(..length).next_back().map(|(length, _)| *length);
    let above = lengths.range(length + 1..).next().map(|(length, _)| *length);
    let candidates = below.into_iter().chain(above);
    candidates.min_by_key(|other| (other.abs_diff(length), *other)).unwrap_or(length)
}

fn brevity_penalty(length: usize, reference: usize) -> f64 {
    if length > reference { 1.0 } else { libm::exp(1.0 - reference as f64 / length as f64) }
}
