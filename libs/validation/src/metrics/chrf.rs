//! `chrf`: sacrebleu 2.6.0's chrF (Popović, 2015) and chrF++ (Popović, 2017), 0 to 100.

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, State, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{FastMap, Vocabulary, clipped_matches, total};
use crate::text::whitespace::{is_space, split};
use crate::values::RowValues;

pub(crate) const INFO: Info = Info {
    name: "chrf",
    description: "F measure (recall counts twice) of common character n-grams of 1 to 6, white space left out, as sacrebleu 2.6.0's chrF; with words, chrF+ and chrF++. Sentence score for a row, corpus score for the dataset; of several references the best.",
    scale: Scale::Percent,
    row: true,
    needs_reference: true,
    needs_text: true,
    params: &[
        ParamInfo {
            name: "wordOrder",
            description: "The longest word n-gram that counts beside the characters: 0 (chrF), 1 (chrF+), 2 (chrF++).",
            kind: ParamKind::Integer(0, MAX_WORD_ORDER as i64, 0),
        },
        ParamInfo {
            name: "lowercase",
            description: "Whether case is ignored.",
            kind: ParamKind::Flag(false),
        },
    ],
};

const CHAR_ORDER: usize = 6;
const MAX_WORD_ORDER: usize = 2;

/// β²: recall counts β = 2 times as much as precision.
const FACTOR: f64 = 4.0;

struct Chrf {
    word_order: usize,
    lowercase: bool,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    let word_order = usize::try_from(params.integer("wordOrder")).unwrap_or(0).min(MAX_WORD_ORDER);
    Chrf { word_order, lowercase: params.flag("lowercase") }
}

/// N-grams of one order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// In the text; none where the reference has none.
    text: u64,
    reference: u64,
    matches: u64,
}

/// Orders of characters, then of words.
type Statistics = [Counts; CHAR_ORDER + MAX_WORD_ORDER];

/// The dataset: summed statistics, and the rows' own scores for the distribution.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ChrfState {
    sums: Statistics,
    rows: RowValues,
}

impl State for ChrfState {
    fn merge(&mut self, other: Self) {
        add(&mut self.sums, &other.sums);
        self.rows.merge(other.rows);
    }

    fn is_sound(&self) -> bool {
        self.rows.is_sound()
            && self.sums.iter().all(|sum| sum.matches <= sum.text && sum.matches <= sum.reference)
    }
}

impl Definition for Chrf {
    type State = ChrfState;

    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(Some(self.score_of(&self.statistics(sample))))
    }

    fn add(&self, state: &mut ChrfState, sample: &Sample<'_>) -> Result<(), RowError> {
        self.take(state, sample);
        Ok(())
    }

    fn add_with_figures(
        &self,
        state: &mut ChrfState,
        sample: &Sample<'_>,
    ) -> Result<Vec<u64>, RowError> {
        let row = self.take(state, sample);
        Ok(row.iter().flat_map(|counts| [counts.text, counts.reference, counts.matches]).collect())
    }

    fn score_of_figures(&self, sums: &[u64]) -> Option<f64> {
        let mut statistics = Statistics::default();
        for (counts, sums) in statistics.iter_mut().zip(sums.as_chunks::<3>().0) {
            let [text, reference, matches] = *sums;
            *counts = Counts { text, reference, matches };
        }
        Some(self.score_of(&statistics))
    }

    fn score(&self, state: &ChrfState) -> Option<Value> {
        let value = self.score_of(&state.sums);
        Some(Value { value, distribution: Some(state.rows.distribution()) })
    }

    /// sacrebleu's signature behind the number of references.
    fn signature(&self) -> String {
        let case = if self.lowercase { "lc" } else { "mixed" };
        format!("case:{case}|eff:yes|nc:{CHAR_ORDER}|nw:{}|space:no|version:2.6.0", self.word_order)
    }
}

impl Chrf {
    fn take(&self, state: &mut ChrfState, sample: &Sample<'_>) -> Statistics {
        let row = self.statistics(sample);
        add(&mut state.sums, &row);
        state.rows.push(self.score_of(&row));
        row
    }

    fn statistics(&self, sample: &Sample<'_>) -> Statistics {
        if !self.lowercase {
            return self.best(sample.text, sample.references.iter().copied());
        }
        let lowered: Vec<String> =
            sample.references.iter().map(|text| text.to_lowercase()).collect();
        self.best(&sample.text.to_lowercase(), lowered.iter().map(String::as_str))
    }

    /// The statistics against the reference with the best score; of equals, the first.
    fn best<'t>(&self, text: &str, references: impl Iterator<Item = &'t str>) -> Statistics {
        let mut best = None;
        for reference in references {
            let statistics = self.compare(text, reference);
            let score = self.score_of(&statistics);
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, statistics));
            }
        }
        best.map(|(_, statistics)| statistics).unwrap_or_default()
    }

    fn compare(&self, text: &str, reference: &str) -> Statistics {
        let mut characters = Characters::default();
        let (text_ids, reference_ids) = (characters.ids(text), characters.ids(reference));
        let (of_characters, of_words) = (CHAR_ORDER, self.word_order);
        let mut statistics = Statistics::default();
        let (characters, words) = statistics.split_at_mut(CHAR_ORDER);
        fill(characters, text_ids, reference_ids, of_characters);
        if of_words > 0 {
            let mut vocabulary = Vocabulary::default();
            let text_ids = vocabulary.ids(words_of(text));
            let reference_ids = vocabulary.ids(words_of(reference));
            fill(words, text_ids, reference_ids, of_words);
        }
        statistics
    }

    /// sacrebleu's `_compute_f_score` without epsilon smoothing: orders that a side lacks are left out.
    fn score_of(&self, statistics: &Statistics) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        let asked = statistics.iter().take(CHAR_ORDER + self.word_order);
        for counts in asked.filter(|counts| counts.text > 0 && counts.reference > 0) {
            precision += counts.matches as f64 / counts.text as f64;
            recall += counts.matches as f64 / counts.reference as f64;
            orders += 1.0;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders, recall / orders);
        let score = (1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall);
        (100.0 * score).min(100.0)
    }
}

fn add(sums: &mut Statistics, row: &Statistics) {
    for (sum, counts) in sums.iter_mut().zip(row) {
        sum.text = sum.text.saturating_add(counts.text);
        sum.reference = sum.reference.saturating_add(counts.reference);
        sum.matches = sum.matches.saturating_add(counts.matches);
    }
}

fn fill(statistics: &mut [Counts], text: Vec<u32>, reference: Vec<u32>, orders: usize) {
    let lengths = (text.len(), reference.len());
    let matches = clipped_matches(&text, &[reference], orders);
    for (order, (counts, matches)) in (1..=orders).zip(statistics.iter_mut().zip(matches)) {
        let reference = total(lengths.1, order);
        let text = if reference > 0 { total(lengths.0, order) } else { 0 };
        *counts = Counts { text, reference, matches };
    }
}

/// Gives equal characters equal ids, as a [`Vocabulary`] does with words.
struct Characters {
    ascii: [u32; 128],
    others: FastMap<char, u32>,
    known: u32,
}

impl Default for Characters {
    fn default() -> Self {
        Self { ascii: [0; 128], others: FastMap::default(), known: 0 }
    }
}

impl Characters {
    fn ids(&mut self, text: &str) -> Vec<u32> {
        text.chars().filter(|c| !is_space(*c)).map(|c| self.id(c)).collect()
    }

    fn id(&mut self, c: char) -> u32 {
        let id = match self.ascii.get_mut(c as usize) {
            Some(id) => id,
            None => self.others.entry(c).or_default(),
        };
        if *id == 0 {
            self.known += 1;
            *id = self.known;
        }
        *id
    }
}

/// chrF's words: between white space, with one ASCII punctuation mark separated, the last or else the first.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    split(text).flat_map(|word| {
        let mut chars = word.chars();
        let (first, last) = (chars.next(), chars.next_back());
        let marks = |c: Option<char>| c.is_some_and(|c| c.is_ascii_punctuation());
        let at = match last {
            None => 0, // one character
            Some(_) if marks(last) => word.len() - 1,
            Some(_) if marks(first) => 1,
            Some(_) => 0,
        };
        let (left, right) = word.split_at(at);
        [left, right].into_iter().filter(|part| !part.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_one_mark() {
        let check = |text: &str, words: &[&str]| {
            assert_eq!(words_of(text).collect::<Vec<_>>(), words, "{text:?}");
        };
        check(
            "(hi) . a, ,a ,, é! -",
            &["(hi", ")", ".", "a", ",", ",", "a", ",", ",", "é", "!", "-"],
        );
        check("“a” a\u{1c}b", &["“a”", "a", "b"]);
    }
}
