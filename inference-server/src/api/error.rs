//! Errors in OpenAI's shape.

use schemars::JsonSchema;
use serde::Serialize;

/// `{"error": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ErrorBody {
    /// The error.
    pub(crate) error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ErrorDetail {
    /// For people.
    pub(crate) message: String,
    /// OpenAI's class of the error.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The parameter at fault.
    pub(crate) param: Option<String>,
    /// One word, for programs.
    pub(crate) code: &'static str,
}
