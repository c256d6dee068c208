//! What a metric is to its callers: its description, the sample it reads, and the two kinds of metric (of texts, of counts).

use std::fmt;
use std::sync::Arc;

use crate::accumulator::{Accumulator, MergeError, SavedAccumulator};
use crate::bootstrap::Bootstrap;
use crate::definition::ErasedDefinition;
use crate::expression::EvaluationError;
use crate::params::ParamInfo;

/// One text to be scored, with what the metrics may need beside it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample<'a> {
    /// The row's id, unique in the dataset: it decides which rows a sampled metric (`selfBleu`) reads.
    pub id: &'a str,
    /// The text to be scored.
    pub text: &'a str,
    /// The reference texts; empty if there are none.
    pub references: &'a [&'a str],
    /// How many tokens the generating model's tokenizer counts in `text`; `None` if no model wrote it.
    pub tokens: Option<u64>,
    /// Why generation stopped (`stop`, `length`, …); `None` if no model wrote the text.
    pub finish_reason: Option<&'a str>,
}

/// The outcome of a job's rows: `requested = accepted + rejected + failed` when the job has finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the manifest asks for.
    pub requested: u64,
    /// Rows that passed every filter.
    pub accepted: u64,
    /// Rows that a filter or the removal of duplicates refused.
    pub rejected: u64,
    /// Rows without a text: a stage failed.
    pub failed: u64,
}

/// The range of a metric's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// 0 to 100, as sacrebleu prints its scores.
    Percent,
    /// 0 to 1.
    Unit,
    /// 0 and up: a number of things.
    Count,
    /// 0 and up: one quantity over another.
    Ratio,
    /// Any finite number.
    Real,
}

/// What a metric is: its name, what it reads and what it yields.
#[derive(Debug, PartialEq)]
pub struct Info {
    /// The name in a manifest, for example `rougeL`.
    pub name: &'static str,
    /// What it measures, and the implementation it equals.
    pub description: &'static str,
    /// The range of its values.
    pub scale: Scale,
    /// Whether a single row has a value, so that a filter can use it.
    pub row: bool,
    /// Whether it needs at least one reference text for each row.
    pub needs_reference: bool,
    /// Whether it reads a text column; the others read the job's [`Counts`]. All metrics have a dataset value.
    pub needs_text: bool,
    /// Its parameters.
    pub params: &'static [ParamInfo],
}

/// A metric with its parameters, ready to score. Cheap to clone, shared between threads.
#[derive(Debug, Clone)]
pub enum Metric {
    /// Scores texts.
    Text(TextMetric),
    /// Scores the counts of a job.
    Count(CountMetric),
}

impl Metric {
    /// The metric's description.
    pub fn info(&self) -> &'static Info {
        match self {
            Metric::Text(metric) => metric.info,
            Metric::Count(metric) => metric.info,
        }
    }

    /// The row value's signature (see [`TextMetric::signature`]), or a count metric's only one.
    pub fn signature(&self) -> String {
        match self {
            Metric::Text(metric) => metric.signature(),
            Metric::Count(metric) => metric.signature(),
        }
    }
}

/// A metric of texts.
#[derive(Clone)]
pub struct TextMetric {
    pub(crate) info: &'static Info,
    pub(crate) definition: Arc<dyn ErasedDefinition>,
}

impl TextMetric {
    /// The metric's description.
    pub fn info(&self) -> &'static Info {
        self.info
    }

    /// The value of one row, always finite; `None` if the metric has dataset values only (`info().row` is false).
    ///
    /// # Errors
    /// [`RowError`] if the sample lacks what the metric reads.
    pub fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        self.require_references(sample)?;
        self.definition.row(sample)
    }

    /// An empty accumulator for the dataset value.
    pub fn accumulator(&self) -> Accumulator {
        Accumulator::new(self.clone())
    }

    /// An empty accumulator for the dataset value and its confidence interval. All that are merged need the same `bootstrap`.
    pub fn accumulator_with(&self, bootstrap: Bootstrap) -> Accumulator {
        Accumulator::with_bootstrap(self.clone(), bootstrap)
    }

    /// The accumulator that another process saved.
    ///
    /// # Errors
    /// [`MergeError`] if it was saved by another metric, by other parameters, or is damaged.
    pub fn restore(&self, saved: &SavedAccumulator) -> Result<Accumulator, MergeError> {
        Accumulator::restore(self.clone(), saved)
    }

    /// The row value's signature, in sacrebleu's style: metric, parameters, version of the definition. The number of
    /// references is a fact of the data, so only [`crate::DatasetScore::signature`] has it.
    pub fn signature(&self) -> String {
        format!("{}|{}", self.info.name, self.definition.row_signature())
    }

    pub(crate) fn require_references(&self, sample: &Sample<'_>) -> Result<(), RowError> {
        if self.info.needs_reference && sample.references.is_empty() {
            return Err(RowError::NoReference { metric: self.info.name });
        }
        Ok(())
    }
}

impl fmt::Debug for TextMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextMetric({})", self.signature())
    }
}

/// A metric of the job's counts.
#[derive(Debug, Clone, Copy)]
pub struct CountMetric {
    pub(crate) info: &'static Info,
    pub(crate) value: fn(&Counts) -> Option<f64>,
}

impl CountMetric {
    /// The metric's description.
    pub fn info(&self) -> &'static Info {
        self.info
    }

    /// The value; `None` for a rate of no rows.
    pub fn score(&self, counts: &Counts) -> Option<f64> {
        (self.value)(counts)
    }

    /// Metric and version of its definition.
    pub fn signature(&self) -> String {
        format!("{}|version:1", self.info.name)
    }
}

/// Why a row has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowError {
    /// The metric compares with references and the row has none.
    #[error(
        "{metric} needs a reference text and this row has none: set `reference` to a field that every row has"
    )]
    NoReference {
        /// The metric's name.
        metric: &'static str,
    },
    /// The metric reads the model's token count and no model wrote this text.
    #[error(
        "{metric} needs the model's token count: choose a generated column, not a value column or a source field"
    )]
    NoTokenCount {
        /// The metric's name.
        metric: &'static str,
    },
    /// The metric reads why generation stopped and no model wrote this text.
    #[error(
        "{metric} needs the reason why generation stopped: choose a generated column, not a value column or a source field"
    )]
    NoFinishReason {
        /// The metric's name.
        metric: &'static str,
    },
    /// A filter reads a column that this row lacks.
    #[error("the filter on {metric} needs the text of its column and this row has none")]
    NoText {
        /// The metric's name.
        metric: &'static str,
    },
    /// The text has a shape that would keep the metric busy for too long.
    #[error(
        "{metric} takes too many steps on this text: it is too long, or nested too deeply, for this schema"
    )]
    TooManySteps {
        /// The metric's name.
        metric: &'static str,
    },
    /// A filter's expression failed on this row.
    #[error(transparent)]
    Expression(#[from] EvaluationError),
}
