//! `bleu`: sacrebleu 2.6.0's `sentence_bleu` for a row and `corpus_bleu` for a dataset (Papineni et al., 2002; Post, 2018).

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, State, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamError, ParamInfo, ParamKind, Params};
use crate::text::ngrams::{MAX_MATCH_ORDER, MAX_ORDER, Vocabulary, clipped_matches, total};
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
            description: "sacrebleu's tokenizer: 13a (WMT's), intl (Unicode punctuation), zh (Chinese characters, the rest as 13a), char, none (white space).",
            kind: ParamKind::Choice(Tokenizer::NAMES, "13a"),
        },
        ParamInfo {
            name: "smoothing",
            description: "What stands for an n-gram precision of zero: exp (halves), floor (0.1 matches), add-k (1 more for n > 1), none.",
            kind: ParamKind::Choice(&["exp", "floor", "add-k", "none"], "exp"),
        },
        ParamInfo {
            name: "smoothingValue",
            description: "The matches that floor counts for none (0.1, at most 1), or what add-k adds (1).",
            kind: ParamKind::Number(0.0, 1_000.0, None),
        },
        ParamInfo {
            name: "lowercase",
            description: "Whether case is ignored.",
            kind: ParamKind::Flag(false),
        },
    ],
};

struct Bleu {
    tokenizer: Tokenizer,
    smoothing: Smoothing,
    lowercase: bool,
}

/// Chen and Cherry, 2014.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Smoothing {
    Exp,
    Floor(f64),
    AddK(f64),
    None,
}

pub(crate) fn new(params: &Params) -> Result<impl Definition + use<>, ParamError> {
    let value = params.number("smoothingValue");
    let wrong =
        |allowed| Err(ParamError::new("params.smoothingValue", value.unwrap_or_default(), allowed));
    let smoothing = match (params.choice("smoothing"), value) {
        // More than one match for none would take the score above 100.
        ("floor", Some(floor)) if floor > 1.0 => {
            return wrong("a number from 0 to 1 with smoothing floor");
        }
        ("floor", value) => Smoothing::Floor(value.unwrap_or(0.1)),
        ("add-k", value) => Smoothing::AddK(value.unwrap_or(1.0)),
        (_, Some(_)) => return wrong("nothing: it belongs to the smoothings floor and add-k"),
        ("none", None) => Smoothing::None,
        _ => Smoothing::Exp,
    };
    let tokenizer = Tokenizer::named(params.choice("tokenize"));
    Ok(Bleu { tokenizer, smoothing, lowercase: params.flag("lowercase") })
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
        self.take(state, sample);
        Ok(())
    }

    fn add_with_figures(
        &self,
        state: &mut BleuState,
        sample: &Sample<'_>,
    ) -> Result<Vec<u64>, RowError> {
        let row = self.take(state, sample);
        let lengths = [row.length, row.reference_length];
        Ok(lengths.into_iter().chain(row.correct).chain(row.total).collect())
    }

    fn score_of_figures(&self, sums: &[u64]) -> Option<f64> {
        let ([length, reference_length], counts) = sums.split_first_chunk()?;
        let (correct, total) = counts.split_first_chunk()?;
        let sums = Statistics {
            length: *length,
            reference_length: *reference_length,
            correct: *correct,
            total: *total.first_chunk()?,
        };
        Some(sums.score(self.smoothing, false))
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
            Smoothing::Floor(value) => format!("floor[{}]", two_digits(value)),
            Smoothing::AddK(value) => format!("add-k[{}]", two_digits(value)),
            Smoothing::None => "none".to_owned(),
        };
        let tokenizer = self.tokenizer.name();
        let case = if self.lowercase { "lc" } else { "mixed" };
        format!(
            "case:{case}|eff:{effective_order}|tok:{tokenizer}|smooth:{smoothing}|version:2.6.0"
        )
    }

    fn take(&self, state: &mut BleuState, sample: &Sample<'_>) -> Statistics {
        let row = self.statistics(sample);
        state.sums.add(&row);
        state.rows.push(row.score(self.smoothing, true));
        row
    }

    fn statistics(&self, sample: &Sample<'_>) -> Statistics {
        if !self.lowercase {
            return self.counts(sample.text, sample.references);
        }
        let lowered: Vec<String> =
            sample.references.iter().map(|text| text.to_lowercase()).collect();
        let references: Vec<&str> = lowered.iter().map(String::as_str).collect();
        self.counts(&sample.text.to_lowercase(), &references)
    }

    fn counts(&self, text: &str, references: &[&str]) -> Statistics {
        let text = self.tokenizer.tokenize(text);
        let references: Vec<_> =
            references.iter().map(|text| self.tokenizer.tokenize(text)).collect();
        let mut vocabulary = Vocabulary::default();
        let text = vocabulary.ids(text.iter());
        let references: Vec<_> =
            references.iter().map(|tokens| vocabulary.ids(tokens.iter())).collect();
        let closest = references.iter().map(Vec::len).min_by_key(|r| (r.abs_diff(text.len()), *r));
        Statistics {
            length: text.len() as u64,
            reference_length: closest.unwrap_or_default() as u64,
            correct: first_orders(clipped_matches(&text, &references, MAX_ORDER)),
            total: std::array::from_fn(|i| total(text.len(), i + 1)),
        }
    }
}

fn first_orders(matches: [u64; MAX_MATCH_ORDER]) -> [u64; MAX_ORDER] {
    let [one, two, three, four, ..] = matches;
    [one, two, three, four]
}

/// As sacrebleu writes it; more digits where they are needed to tell two values apart.
fn two_digits(value: f64) -> String {
    let short = format!("{value:.2}");
    if short.parse() == Ok(value) { short } else { value.to_string() }
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
            let more = match smoothing {
                Smoothing::AddK(k) if n > 0 => k,
                _ => 0.0,
            };
            let (correct, total) = (*correct as f64 + more, *total as f64 + more);
            if total == 0.0 {
                break;
            }
            if effective_order {
                orders = n + 1;
            }
            let matched = match smoothing {
                _ if correct > 0.0 => correct,
                Smoothing::Exp => {
                    halvings *= 2.0;
                    1.0 / halvings
                }
                Smoothing::Floor(value) => value,
                Smoothing::AddK(_) | Smoothing::None => 0.0,
            };
            *logarithm = libm::log(100.0 * matched / total);
        }
        let mean = logarithms[..orders].iter().sum::<f64>() / orders as f64;
        // Rounding would take a perfect match a few ulps above 100.
        (penalty * libm::exp(mean)).min(100.0)
    }
}
