//! `POST /format`.

use schemars::JsonSchema;
use serde::Deserialize;
use textnlp_dataset::Record;
use textnlp_dataset::format::Format;

/// What is to be written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormatRequest {
    /// The rows, objects.
    pub(crate) rows: Vec<Record>,
    /// `JSONL`, `CSV`, `Markdown` or `Parquet`.
    pub(crate) format: Format,
    /// The fields, in the order in which they are written; all of them if it is not given.
    pub(crate) fields: Option<Vec<String>>,
    /// CSV: a `'` before what a spreadsheet would take for a formula.
    #[serde(default)]
    pub(crate) escape_formulas: bool,
}
