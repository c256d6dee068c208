//! Dataset scores: rows go in one by one, accumulators of shards merge, a score comes out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Interval, Resamples};
use crate::definition::{ErasedState, Value};
use crate::metric::{RowError, Sample, TextMetric};
use crate::values::Distribution;

/// The dataset value of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetScore {
    /// The value, in the metric's scale; finite.
    pub value: f64,
    /// How many rows were added.
    pub rows: u64,
    /// The row values, if the metric has them.
    pub distribution: Option<Distribution>,
    /// What exactly was measured, in sacrebleu's style: `bleu|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`.
    pub signature: String,
}

/// A growing dataset score. The same rows give the same bits, in whatever order they were added and merged.
pub struct Accumulator {
    metric: TextMetric,
    rows: u64,
    references: ReferenceCount,
    state: Box<dyn ErasedState>,
    resamples: Option<Resamples>,
}

/// An accumulator as data, for the way from a shard to the process that merges. Only [`TextMetric::restore`] reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedAccumulator {
    signature: String,
    rows: u64,
    references: ReferenceCount,
    state: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resamples: Option<Resamples>,
}

/// How many references the rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum ReferenceCount {
    #[default]
    NoRows,
    Each(usize),
    Varies,
}

/// Why two accumulators cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// They measure different things.
    #[error(
        "cannot merge the score `{found}` into `{expected}`: all shards must be scored with the same metric and parameters"
    )]
    OtherMetric {
        /// The signature of the accumulator that was to be merged.
        found: String,
        /// The signature of the accumulator that it was to be merged into.
        expected: String,
    },
    /// The saved form does not hold what the metric wrote.
    #[error("the saved score of `{signature}` is damaged: score this shard again")]
    Damaged {
        /// The metric's signature.
        signature: String,
    },
}

impl Accumulator {
    pub(crate) fn new(metric: TextMetric) -> Self {
        let state = metric.definition.clone().start();
        Self { metric, rows: 0, references: ReferenceCount::NoRows, state, resamples: None }
    }

    pub(crate) fn with_bootstrap(metric: TextMetric, bootstrap: Bootstrap) -> Self {
        Self { resamples: Some(Resamples::new(bootstrap)), ..Self::new(metric) }
    }

    pub(crate) fn restore(
        metric: TextMetric,
        saved: &SavedAccumulator,
    ) -> Result<Self, MergeError> {
        let signature = full_signature(&metric, None);
        if saved.signature != signature {
            return Err(MergeError::OtherMetric {
                found: saved.signature.clone(),
                expected: signature,
            });
        }
        match metric.definition.clone().load(&saved.state) {
            Some(state) => {
                let (rows, references) = (saved.rows, saved.references);
                Ok(Self { metric, rows, references, state, resamples: saved.resamples.clone() })
            }
            None => Err(MergeError::Damaged { signature }),
        }
    }

    /// The metric that this accumulates.
    pub fn metric(&self) -> &TextMetric {
        &self.metric
    }

    /// How many rows were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`RowError`] if the sample lacks what the metric reads; the accumulator is then unchanged.
    pub fn add(&mut self, sample: &Sample<'_>) -> Result<(), RowError> {
        self.metric.require_references(sample)?;
        match &mut self.resamples {
            Some(resamples) => {
                let figures = self.state.add_with_figures(sample)?;
                if !figures.is_empty() {
                    resamples.add(sample.id, &figures);
                }
            }
            None => self.state.add(sample)?,
        }
        self.rows = self.rows.saturating_add(1);
        self.references = self.references.join(ReferenceCount::Each(sample.references.len()));
        Ok(())
    }

    /// Adds the rows of `other`.
    ///
    /// # Errors
    /// [`MergeError`] if `other` is of another metric or has other parameters; `self` is then unchanged.
    pub fn merge(&mut self, other: Accumulator) -> Result<(), MergeError> {
        let (expected, found) =
            (full_signature(&self.metric, None), full_signature(&other.metric, None));
        let resampled = match (&self.resamples, &other.resamples) {
            (Some(resamples), Some(others)) => {
                let mut merged = resamples.clone();
                merged.merge(others).then_some(Some(merged))
            }
            (None, None) => Some(None),
            _ => None,
        };
        let Some(resampled) = resampled.filter(|_| found == expected) else {
            return Err(MergeError::OtherMetric { found, expected });
        };
        if !self.state.merge(other.state) {
            return Err(MergeError::OtherMetric { found, expected });
        }
        self.resamples = resampled;
        self.rows = self.rows.saturating_add(other.rows);
        self.references = self.references.join(other.references);
        Ok(())
    }

    /// The dataset value; `None` before the first row, and if the rows have no such value (`selfBleu` of one row, `distinct`
    /// of texts that are all shorter than an n-gram).
    pub fn score(&self) -> Option<DatasetScore> {
        if self.rows == 0 {
            return None;
        }
        let Value { value, distribution } = self.state.score()?;
        let signature = full_signature(&self.metric, Some(self.references));
        Some(DatasetScore { value, rows: self.rows, distribution, signature })
    }

    /// The confidence interval of the value; `None` before the first row, without a [`Bootstrap`], and for metrics that are not computed
    /// from sums over rows (`distinct`, `selfBleu`, `compressionRatio`, duplicates).
    pub fn interval(&self) -> Option<Interval> {
        self.resamples.as_ref()?.interval(|sums| self.metric.definition.score_of_figures(sums))
    }

    /// This accumulator as data. Equal rows give equal data.
    pub fn save(&self) -> SavedAccumulator {
        SavedAccumulator {
            signature: full_signature(&self.metric, None),
            rows: self.rows,
            references: self.references,
            state: self.state.save(),
            resamples: self.resamples.clone(),
        }
    }
}

impl Clone for Accumulator {
    fn clone(&self) -> Self {
        Self {
            metric: self.metric.clone(),
            rows: self.rows,
            references: self.references,
            state: self.state.copy(),
            resamples: self.resamples.clone(),
        }
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Accumulator({}, {} rows)",
            full_signature(&self.metric, Some(self.references)),
            self.rows
        )
    }
}

impl ReferenceCount {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::NoRows, count) | (count, Self::NoRows) => count,
            (Self::Each(a), Self::Each(b)) if a == b => self,
            _ => Self::Varies,
        }
    }
}

/// The dataset value's signature: the metric's name, the number of references if it reads them and they are known, the rest.
fn full_signature(metric: &TextMetric, references: Option<ReferenceCount>) -> String {
    let (name, rest) = (metric.info.name, metric.definition.signature());
    match references {
        Some(ReferenceCount::Each(n)) if metric.info.needs_reference => {
            format!("{name}|nrefs:{n}|{rest}")
        }
        // sacrebleu's word for rows with different numbers of references.
        Some(ReferenceCount::Varies) if metric.info.needs_reference => {
            format!("{name}|nrefs:var|{rest}")
        }
        _ => format!("{name}|{rest}"),
    }
}
