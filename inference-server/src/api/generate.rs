//! `POST /generate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use textnlp_crds::job::{Attribute, Column};
use textnlp_crds::output::MaskPii;
use textnlp_crds::sampling::Sampling;
use textnlp_crds::validation::Validation;
use textnlp_dataset::Record;
use textnlp_generation::call::Summary;

use super::error::ErrorDetail;

/// A request: records and columns, in the words of a GenerationJob's spec.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateRequest {
    /// The model's name, if it is to be checked.
    #[serde(default)]
    pub(crate) model: Option<String>,
    /// What the rows are made from; without any, each sample is made from nothing.
    #[serde(default)]
    pub(crate) records: Option<Vec<Record>>,
    /// Rows made from each record.
    #[serde(default)]
    #[schemars(with = "Option<i32>")]
    pub(crate) samples_per_record: Option<Value>,
    /// Values that every template can use.
    #[serde(default)]
    #[schemars(with = "Option<Record>")]
    pub(crate) constants: Option<Value>,
    /// Values that are drawn for each row.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Attribute>>")]
    pub(crate) attributes: Option<Value>,
    /// How tokens are drawn.
    #[serde(default)]
    #[schemars(with = "Option<Sampling>")]
    pub(crate) sampling: Option<Value>,
    /// What is generated.
    #[schemars(with = "Vec<Column>")]
    pub(crate) columns: Value,
    /// Filters, metrics and gates.
    #[serde(default)]
    #[schemars(with = "Option<Validation>")]
    pub(crate) validation: Option<Value>,
    /// Which personal data is masked before anything else reads a row.
    #[serde(default)]
    #[schemars(with = "Option<MaskPii>")]
    pub(crate) mask_pii: Option<Value>,
    /// Whether each row is sent as soon as it is finished.
    #[serde(default)]
    pub(crate) stream: Option<bool>,
}

/// A whole answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GenerateResponse {
    /// The accepted rows, in their order, as a dataset's JSON lines have them.
    pub(crate) rows: Vec<Record>,
    /// Rows that a filter rejected.
    pub(crate) rejected: Vec<Record>,
    /// Rows that could not be made.
    pub(crate) failed: Vec<Record>,
    /// What they came to.
    pub(crate) summary: Summary,
}

/// A line of a streamed answer, or a message of a socket. The last one is a summary or an error.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GenerateEvent {
    /// An accepted row.
    Row(Record),
    /// A row that a filter rejected.
    Rejected(Record),
    /// A row that could not be made.
    Failed(Record),
    /// All rows were sent.
    Summary(Box<Summary>),
    /// The rows that are missing will not come.
    Error(ErrorDetail),
}
