//! What a dataset is measured with and must pass: metrics, filters and gates. No I/O.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

mod entry_rules;
mod names;
mod params;

use self::entry_rules::{
    WITHOUT_ROW_VALUES, column_rule, guarded, params_rule, pattern_rule, reference_rule,
};
pub use self::names::MetricName;
pub use self::params::{BleuSmoothing, BleuTokenizer, MetricParams, PiiEntity};

/// Scores, row filters and dataset gates. They may be changed after the run: only scoring and
/// finalizing run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.deduplicate) || !has(self.filters) || self.filters.all(f, f.name != 'duplicate')")
        .message("the name duplicate belongs to deduplicate: give the filter another one")
        .field_path(".filters"),
)]
pub struct Validation {
    /// The metrics that the report shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub metrics: Vec<Metric>,
    /// A row that fails one filter is rejected, and counted under the name of the first filter that
    /// it fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub filters: Vec<Filter>,
    /// Removes rows that are like an earlier one. They are rejected, and counted under the name `duplicate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplicate: Option<Deduplicate>,
    /// The dataset must pass every gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub gates: Vec<Gate>,
    /// Confidence intervals of the scores, by the bootstrap. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// What a failed gate does: `Fail` fails the job; `Warn` lets it succeed with the condition
    /// `Validated=False`.
    #[serde(default)]
    pub on_gate_failure: OnGateFailure,
}

/// The name under which rows are counted that [`Deduplicate`] removes.
pub const DUPLICATE: &str = "duplicate";

/// Which rows are duplicates. Of those that are alike the first in row order stays; a row is compared with those that stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.threshold) || self.method == 'Near'")
        .message("threshold belongs to the method Near")
        .field_path(".threshold"),
)]
pub struct Deduplicate {
    /// The column, or field of the source, that is compared.
    #[schemars(length(min = 1, max = 253))]
    pub column: String,
    /// `Exact`: texts that are equal after folding case, white space and compatibility forms; `Near`: texts whose word 5-grams
    /// are alike.
    #[serde(default)]
    pub method: DuplicateMethod,
    /// From which Jaccard similarity on two texts are alike, for `Near`. Default 0.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.2, max = 0.95))]
    pub threshold: Option<f64>,
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum DuplicateMethod {
    /// Equal after folding.
    #[default]
    Exact,
    /// Alike.
    Near,
}

/// How confidence intervals are estimated. Scores of sums and means over rows have one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confidence {
    /// The part of the resamples' scores that lies within the interval.
    #[serde(default = "default_level")]
    #[schemars(range(min = 0.5, max = 0.999))]
    pub level: f64,
    /// How many times the dataset is drawn anew.
    #[serde(default = "default_resamples")]
    #[schemars(range(min = 100, max = 10_000))]
    pub resamples: i32,
    /// Chooses the draws.
    #[serde(default = "default_seed")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
}

fn default_level() -> f64 {
    0.95
}

fn default_resamples() -> i32 {
    1_000
}

fn default_seed() -> i64 {
    12_345
}

/// What a failed gate does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum OnGateFailure {
    /// The job fails.
    #[default]
    Fail,
    /// The job succeeds, and says that its dataset did not pass.
    Warn,
}

/// One metric of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = column_rule(),
    validation = reference_rule(),
    validation = pattern_rule(),
    validation = params_rule(),
)]
pub struct Metric {
    /// The metric.
    pub metric: MetricName,
    /// The column, or field of the source, that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub column: Option<String>,
    /// The field of the source, or the column, that holds the reference text (or a list of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub reference: Option<String>,
    /// The metric's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<MetricParams>,
}

/// A condition that every accepted row meets: a range of a row metric, or a CEL expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = rules::exactly_one(&["metric", "expression"], "kind of filter"),
    validation = Rule::new("has(self.metric) || (!has(self.column) && !has(self.reference) && !has(self.params) && !has(self.min) && !has(self.max))")
        .message("column, reference, params, min and max belong to a metric: an expression reads the row itself"),
    validation = Rule::new("!has(self.metric) || has(self.min) || has(self.max)")
        .message("a filter with a metric needs min, max or both"),
    validation = rules::min_below_max(),
    validation = Rule::new(format!("!has(self.metric) || !(self.metric in {WITHOUT_ROW_VALUES})"))
        .message("this metric measures the whole dataset and has no value for one row: use it in a gate")
        .field_path(".metric"),
    validation = guarded(column_rule()),
    validation = guarded(reference_rule()),
    validation = guarded(pattern_rule()),
    validation = guarded(params_rule()),
)]
pub struct Filter {
    /// The name under which rejected rows are counted.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$")
    )]
    pub name: String,
    /// A metric that has a value for each row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricName>,
    /// The column, or field of the source, that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub column: Option<String>,
    /// The field of the source, or the column, that holds the reference text (or a list of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub reference: Option<String>,
    /// The metric's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<MetricParams>,
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// A CEL expression over the row, such as `row.ticket.contains(row.product)`. Rows for which it
    /// is false are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub expression: Option<String>,
}

/// A range that a metric of the whole dataset must lie in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.min) || has(self.max)").message("a gate needs min, max or both"),
    validation = rules::min_below_max(),
    validation = Rule::new(format!("!has(self.stat) || !(self.metric in {WITHOUT_ROW_VALUES})"))
        .message("stat belongs to metrics that have a value for each row; this one has only a value of the dataset")
        .field_path(".stat"),
    validation = column_rule(),
    validation = reference_rule(),
    validation = pattern_rule(),
    validation = params_rule(),
)]
pub struct Gate {
    /// The metric.
    pub metric: MetricName,
    /// The column, or field of the source, that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub column: Option<String>,
    /// The field of the source, or the column, that holds the reference text (or a list of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub reference: Option<String>,
    /// The metric's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<MetricParams>,
    /// Which statistic of the rows' values is tested. Default: the metric's own value of the
    /// dataset, which for a metric of rows alone is their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<Stat>,
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A statistic of the rows' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = rules::described_by_its_field)]
pub enum Stat {
    /// The arithmetic mean.
    Mean,
    /// The smallest value.
    Min,
    /// The 5th percentile.
    P05,
    /// The median.
    P50,
    /// The 95th percentile.
    P95,
    /// The greatest value.
    Max,
}

impl Stat {
    /// The name as manifests and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::P05 => "p05",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::Max => "max",
        }
    }
}
