//! `bleu`: sacrebleu 2.6.0's `sentence_bleu` for a row and `corpus_bleu` for a dataset (Papineni et al., 2002; Post, 2018).

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, State, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{MAX_ORDER, Vocabulary, clipped_matches, total};
use crate::text::tokenize::Tokenizer;
use crate::values::RowValues;

pub(crate) const INFO: Info = Info {
    name: "bleu",
    description: "N-gram precision against the references with a brevity penalty, as sacrebleu 2.6.0: sentence BLEU (effective order) for a row, corpus BLEU for the dataset.",
    scale: Scale::Percent,
    row: true,
    needs_reference: true,
    needs_text: true,
    params: &[
        ParamInfo {
            name: "tokenize",
            description: "sacrebleu's tokenizer: 13a (WMT's), intl (Unicode punctuation), char, none (white space).",
            kind: ParamKind::Choice(Tokenizer::NAMES, "13a"),
        },
        ParamInfo {
            name: "smoothing",
            description: "What stands for an n-gram precision of zero: exp (halves), floor (0.1 matches), add-k (1 more for n > 1), none.",
            kind: ParamKind::Choice(&["exp", "floor", "add-k", "none"], "exp"),
        },
    ],
};

struct Bleu {
    tokenizer: Tokenizer,
    smoothing: Smoothing,
}

/// Chen and Cherry, 2014; with sacrebleu's default values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Smoothing {
    Exp,
    Floor,
    AddK,
    None,
}

/// sacrebleu's default values of `floor` and `add-k`.
const FLOOR: f64 = 0.1;
const K: u64 = 1;

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    let smoothing = match params.choice("smoothing") {
        "floor" => Smoothing::Floor,
        "add-k" => Smoothing::AddK,
        "none" => Smoothing::None,
        _ => Smoothing::Exp,
    };
    Bleu { tokenizer: Tokenizer::named(params.choice("tokenize")), smoothing }
}

/// What BLEU is computed from: sums over rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Statistics {
    /// Tokens of the texts.
    length: u64,
    /// Tokens of the closest references.
    reference_length: u64,
    /// Matching n-grams of each order.
    correct: [u64; MAX_ORDER],
    /// N-grams of each order.
    total: [u64; MAX_ORDER],
}

/// The dataset: summed statistics, and the rows' own scores for the distribution.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BleuState {
    sums: Statistics,
    rows: RowValues,
}

impl State for BleuState {
    fn merge(&mut self, other: Self) {
        self.sums.add(&other.sums);
        self.rows.merge(other.rows);
    }

    fn is_sound(&self) -> bool {
        self.rows.is_sound() && self.sums.correct.iter().zip(&self.sums.total).all(|(c, t)| c <= t)
    }
}

impl Definition for Bleu {
    type State = BleuState;

    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(Some(self.statistics(sample).score(self.smoothing, true)))
    }

    fn add(&self, state: &mut BleuState, sample: &Sample<'_>) -> Result<(), RowError> {
        let row = self.statistics(sample);
        state.sums.add(&row);
        state.rows.push(row.score(self.smoothing, true));
        Ok(())
    }

    fn score(&self, state: &BleuState) -> Option<Value> {
        let value = state.sums.score(self.smoothing, false);
        Some(Value { value, distribution: Some(state.rows.distribution()) })
    }

    fn signature(&self) -> String {
        self.describe("no")
    }

    fn row_signature(&self) -> String {
        self.describe("yes")
    }
}

impl Bleu {
    /// sacrebleu's signature behind the number of references.
    fn describe(&self, effective_order: &str) -> String {
        let smoothing = match self.smoothing {
            Smoothing::Exp => "exp".to_owned(),
            Smoothing::Floor => format!("floor[{FLOOR:.2}]"),
            Smoothing::AddK => format!("add-k[{K}.00]"),
            Smoothing::None => "none".to_owned(),
        };
        let tokenizer = self.tokenizer.name();
        format!("case:mixed|eff:{effective_order}|tok:{tokenizer}|smooth:{smoothing}|version:2.6.0")
    }

    fn statistics(&self, sample: &Sample<'_>) -> Statistics {
        let text = self.tokenizer.tokenize(sample.text);
        let references: Vec<_> =
            sample.references.iter().map(|text| self.tokenizer.tokenize(text)).collect();
        let mut vocabulary = Vocabulary::default();
        let text = vocabulary.ids(text.iter());
        let references: Vec<_> =
            references.iter().map(|tokens| vocabulary.ids(tokens.iter())).collect();
        let closest = references.iter().map(Vec::len).min_by_key(|r| (r.abs_diff(text.len()), *r));
        Statistics {
            length: text.len() as u64,
            reference_length: closest.unwrap_or_default() as u64,
            correct: clipped_matches(&text, &references, MAX_ORDER),
            total: std::array::from_fn(|i| total(text.len(), i + 1)),
        }
    }
}

impl Statistics {
    fn add(&mut self, other: &Self) {
        self.length = self.length.saturating_add(other.length);
        self.reference_length = self.reference_length.saturating_add(other.reference_length);
        let pairs = self.correct.iter_mut().zip(other.correct);
        for (sum, count) in pairs.chain(self.total.iter_mut().zip(other.total)) {
            *sum = sum.saturating_add(count);
        }
    }

    /// sacrebleu's `compute_bleu`, 0 to 100. `libm` gives the same bits on every platform.
    fn score(&self, smoothing: Smoothing, effective_order: bool) -> f64 {
        if self.correct.iter().all(|count| *count == 0) {
            return 0.0;
        }
        let (length, reference_length) = (self.length as f64, self.reference_length as f64);
        let penalty = if self.length >= self.reference_length {
            1.0
        } else {
            libm::exp(1.0 - reference_length / length)
        };
        let mut logarithms = [f64::NEG_INFINITY; MAX_ORDER]; // a precision of 0 makes the score 0
        let mut orders = MAX_ORDER;
        let mut halvings = 1.0;
        let counts = self.correct.iter().zip(&self.total).enumerate();
        for ((n, (correct, total)), logarithm) in counts.zip(&mut logarithms) {
            let more = if smoothing == Smoothing::AddK && n > 0 { K } else { 0 };
            let (correct, total) = (correct.saturating_add(more), total.saturating_add(more));
            if total == 0 {
                break;
            }
            if effective_order {
                orders = n + 1;
            }
            let matched = match smoothing {
                _ if correct > 0 => correct as f64,
                Smoothing::Exp => {
                    halvings *= 2.0;
                    1.0 / halvings
                }
                Smoothing::Floor => FLOOR,
                Smoothing::AddK | Smoothing::None => 0.0,
            };
            *logarithm = libm::log(100.0 * matched / total as f64);
        }
        let mean = logarithms[..orders].iter().sum::<f64>() / orders as f64;
        // Rounding would take a perfect match a few ulps above 100.
        (penalty * libm::exp(mean)).min(100.0)
    }
}
