//! `ter`: sacrebleu 2.6.0's translation edit rate (Snover et al., 2006), times 100.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{from_fixed, to_fixed};
use crate::definition::{Definition, State, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::edits::edits;
use crate::text::ngrams::Vocabulary;
use crate::text::tercom::Tercom;
use crate::text::whitespace::split;
use crate::values::RowValues;

pub(crate) const INFO: Info = Info {
    name: "ter",
    description: "Edits (insertions, deletions, substitutions, shifts of words) for each 100 words of the reference, as sacrebleu 2.6.0: lower is better, 0 is equal. Of several references the fewest edits, over their mean length. Row value and dataset value. Shifts are looked for in texts of at most 65,536 words.",
    scale: Scale::Ratio,
    row: true,
    needs_reference: true,
    needs_text: true,
    params: &[
        ParamInfo {
            name: "normalized",
            description: "Whether punctuation is separated from words, as in mteval-v13a.",
            kind: ParamKind::Flag(false),
        },
        ParamInfo {
            name: "noPunctuation",
            description: "Whether punctuation is removed.",
            kind: ParamKind::Flag(false),
        },
        ParamInfo {
            name: "asianSupport",
            description: "Whether the two above do the same to Chinese and Japanese.",
            kind: ParamKind::Flag(false),
        },
        ParamInfo {
            name: "caseSensitive",
            description: "Whether case counts.",
            kind: ParamKind::Flag(false),
        },
    ],
};

struct Ter {
    tokenizer: Tercom,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    let tokenizer = Tercom {
        normalized: params.flag("normalized"),
        no_punctuation: params.flag("noPunctuation"),
        asian_support: params.flag("asianSupport"),
        case_sensitive: params.flag("caseSensitive"),
    };
    Ter { tokenizer }
}

/// What TER is computed from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Statistics {
    edits: u64,
    /// The number of references → words in all of them: a sum of means without rounding.
    reference_words: BTreeMap<u64, u64>,
}

/// The dataset: summed statistics, and the rows' own scores for the distribution.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TerState {
    sums: Statistics,
    rows: RowValues,
}

impl State for TerState {
    fn merge(&mut self, other: Self) {
        self.sums.add(other.sums);
        self.rows.merge(other.rows);
    }

    fn is_sound(&self) -> bool {
        self.rows.is_sound() && !self.sums.reference_words.contains_key(&0)
    }
}

impl Definition for Ter {
    type State = TerState;

    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(Some(self.statistics(sample).score()))
    }

    fn add(&self, state: &mut TerState, sample: &Sample<'_>) -> Result<(), RowError> {
        self.add_with_figures(state, sample).map(|_| ())
    }

    fn add_with_figures(
        &self,
        state: &mut TerState,
        sample: &Sample<'_>,
    ) -> Result<Vec<u64>, RowError> {
        let row = self.statistics(sample);
        state.rows.push(row.score());
        let figures = vec![row.edits, to_fixed(row.mean_words())];
        state.sums.add(row);
        Ok(figures)
    }

    fn score_of_figures(&self, sums: &[u64]) -> Option<f64> {
        match sums {
            [edits, words] => Some(rate(*edits, from_fixed(*words))),
            _ => None,
        }
    }

    fn score(&self, state: &TerState) -> Option<Value> {
        let value = state.sums.score();
        Some(Value { value, distribution: Some(state.rows.distribution()) })
    }

    /// sacrebleu's signature behind the number of references.
    fn signature(&self) -> String {
        let word = |flag: bool| if flag { "yes" } else { "no" };
        format!(
            "case:{}|tok:tercom|norm:{}|punct:{}|asian:{}|version:2.6.0",
            if self.tokenizer.case_sensitive { "mixed" } else { "lc" },
            word(self.tokenizer.normalized),
            word(!self.tokenizer.no_punctuation),
            word(self.tokenizer.asian_support),
        )
    }
}

impl Ter {
    fn statistics(&self, sample: &Sample<'_>) -> Statistics {
        let text = self.tokenizer.tokenize(sample.text);
        let references: Vec<_> =
            sample.references.iter().map(|text| self.tokenizer.tokenize_reference(text)).collect();
        let mut vocabulary = Vocabulary::default();
        let text = vocabulary.ids(split(&text));
        let references: Vec<_> =
            references.iter().map(|reference| vocabulary.ids(split(reference))).collect();
        let fewest = references.iter().map(|reference| edits(&text, reference)).min();
        let words = references.iter().map(|reference| reference.len() as u64).sum();
        Statistics {
            edits: fewest.unwrap_or_default(),
            reference_words: BTreeMap::from([(references.len().max(1) as u64, words)]),
        }
    }
}

impl Statistics {
    fn add(&mut self, other: Self) {
        self.edits = self.edits.saturating_add(other.edits);
        for (references, words) in other.reference_words {
            let sum = self.reference_words.entry(references).or_default();
            *sum = sum.saturating_add(words);
        }
    }

    /// The sum of the mean lengths of each row's references.
    fn mean_words(&self) -> f64 {
        self.reference_words.iter().map(|(n, words)| *words as f64 / *n as f64).sum()
    }

    fn score(&self) -> f64 {
        rate(self.edits, self.mean_words())
    }
}

fn rate(edits: u64, words: f64) -> f64 {
    if words > 0.0 {
        100.0 * (edits as f64 / words)
    } else if edits > 0 {
        100.0
    } else {
        0.0
    }
}
