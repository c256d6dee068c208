//! `report.json`, `report.md` and `report.html`: what became of a job's rows, and how good they are. Pure.

mod html;
mod markdown;
mod plot;
mod usage;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use textnlp_crds::job_status::ConfidenceInterval;
use textnlp_dataset::Record;
use textnlp_dataset::manifest::RowCounts;
use textnlp_validation::{DatasetScore, Gate};

pub use self::usage::{Usage, UsageReport};
use crate::completer::Models;
use crate::job::Job;

/// The result of a job, as `run --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Records of the source that were used.
    pub records: u64,
    /// How many rows ended how; they balance.
    pub rows: RowCounts,
    /// Rows that each filter rejected, in the manifest's order; the removal of duplicates counts as the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// Rows that failed, by the step at which they did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failures>,
    /// Metrics of the dataset, gates among them.
    pub scores: Vec<Score>,
    /// Spread of the metrics that have a value for each row.
    pub distributions: Vec<NamedDistribution>,
    /// The first accepted rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Record>,
    /// Whether the dataset passed all gates and has rows.
    pub passed: bool,
    /// Dataset digest; none of a file that is validated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The model of the generated columns; more than one where columns differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    /// Where the dataset is, if one was written.
    #[serde(default, skip_serializing_if = "OutputReport::is_none")]
    pub output: OutputReport,
    /// What was asked of models, over all runs of this output, if anything was.
    #[serde(default, skip_serializing_if = "UsageReport::is_none")]
    pub usage: UsageReport,
    /// Seconds that the last run took.
    pub seconds: f64,
}

/// Rows that a filter rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// Name of the filter.
    pub filter: String,
    /// Rows.
    pub rows: u64,
}

/// Rows that failed at one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// The step.
    pub stage: String,
    /// Rows.
    pub rows: u64,
    /// The first one's message.
    pub first: String,
}

/// A metric's value over the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// Metric.
    pub metric: String,
    /// Column, where it measures one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value; absent when there was nothing to measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Between which values it lies, where that was asked for and the metric can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<ConfidenceInterval>,
    /// The gate on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
    /// Metric, version, tokenizer and parameters, as sacrebleu writes them.
    pub signature: String,
}

/// A bound that the dataset must keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// Which statistic of a row metric it bounds; absent: the dataset's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<String>,
    /// Least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Whether it held; a value that could not be had does not pass.
    pub passed: bool,
}

impl GateReport {
    /// What became of a gate on a score, or on one that could not be had.
    pub fn new(gate: &Gate, stat: Option<String>, found: Option<&DatasetScore>) -> Self {
        Self {
            stat,
            min: gate.range().min(),
            max: gate.range().max(),
            passed: found.is_some_and(|found| gate.passes(found)),
        }
    }
}

fn gate_failed(scores: &[Score]) -> bool {
    scores.iter().any(|s| s.gate.as_ref().is_some_and(|g| !g.passed))
}

/// Whether a dataset with these scores passes: it has rows, and no gate failed.
pub fn passes(scores: &[Score], rows: &RowCounts) -> bool {
    rows.accepted > 0 && !gate_failed(scores)
}

/// Spread of a row metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedDistribution {
    /// Metric.
    pub metric: String,
    /// Column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Mean, minimum, percentiles, maximum.
    #[serde(flatten)]
    pub distribution: textnlp_validation::Distribution,
}

/// The model that generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelReport {
    /// Name of the ModelDeployment.
    pub name: String,
    /// Model digest.
    pub digest: String,
    /// Name of the arithmetic.
    pub numerics: String,
}

impl ModelReport {
    /// The model of a job's generated columns, if there are any.
    pub(crate) fn of(job: &Job, models: &Models) -> Option<Self> {
        let facts = job.models().iter().next().and_then(|name| models.facts(name))?;
        Some(Self {
            name: facts.name.clone(),
            digest: facts.digest.clone(),
            numerics: facts.numerics.clone(),
        })
    }
}

/// Where a dataset is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputReport {
    /// Directory or URI.
    pub directory: String,
    /// Formats.
    pub formats: Vec<String>,
    /// Accepted rows.
    pub rows: u64,
    /// Bytes of the dataset in all formats.
    pub bytes: u64,
}

impl OutputReport {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Report {
    /// Whether a gate failed.
    pub fn gate_failed(&self) -> bool {
        gate_failed(&self.scores)
    }
}

impl Score {
    /// The value for a table, with its confidence interval where there is one.
    pub fn value_cell(&self) -> String {
        match (self.value, self.ci) {
            (None, _) => "–".to_owned(),
            (Some(value), None) => number(value),
            (Some(value), Some(ci)) => {
                format!("{} ({} … {})", number(value), number(ci.low), number(ci.high))
            }
        }
    }

    /// The gate's bounds, and whether it passed, for a table.
    pub fn gate_cells(&self) -> (String, &'static str) {
        let Some(gate) = &self.gate else { return (String::new(), "") };
        let stat = gate.stat.as_ref().map(|s| format!("{s} ")).unwrap_or_default();
        let min = gate.min.map(|m| format!("≥ {}", number(m)));
        let max = gate.max.map(|m| format!("≤ {}", number(m)));
        let bounds: Vec<String> = min.into_iter().chain(max).collect();
        (format!("{stat}{}", bounds.join(", ")), if gate.passed { "passed" } else { "FAILED" })
    }
}

/// A number for people: whole ones without a point, others with four significant digits or more.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value}")
    } else if value.abs() >= 1000.0 {
        format!("{value:.1}")
    } else if value.abs() >= 1.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.4}")
    }
}
