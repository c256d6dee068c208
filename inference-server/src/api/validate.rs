//! `POST /validate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use textnlp_crds::validation::Validation;
use textnlp_dataset::Record;
use textnlp_dataset::manifest::RowCounts;
use textnlp_generation::report::{Failures, NamedDistribution, Rejection, Score};

/// What is to be scored and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidateRequest {
    /// The rows: objects with the fields that the metrics name.
    pub(crate) rows: Vec<Record>,
    /// What to measure, as in a GenerationJob.
    #[schemars(with = "Validation")]
    pub(crate) validation: Value,
    /// Whether each row's scores are in the answer.
    #[serde(default)]
    pub(crate) include_rows: bool,
}

/// The scores: a report without what belongs to a job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ValidateResponse {
    pub(crate) records: u64,
    pub(crate) rows: RowCounts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rejections: Vec<Rejection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<Failures>,
    pub(crate) scores: Vec<Score>,
    pub(crate) distributions: Vec<NamedDistribution>,
    pub(crate) passed: bool,
    /// `{"id", "scores"}` of each row, with `rejectedBy`, or `error` in place of the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) results: Option<Vec<Value>>,
}
