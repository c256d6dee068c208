//! Output formats: flat rows as JSONL, CSV, Markdown and Parquet, written as a stream.

mod convert;
mod parquet;
mod schema;
mod text;

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::convert::{ConvertError, convert};
pub use self::schema::{ColumnType, Schema};
use crate::record::{Outcome, Record, Row};

/// The field of a flat row that holds what is known about it.
pub const METADATA: &str = "_textnlp";

/// A file format of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Format {
    /// One JSON object a line.
    #[serde(rename = "JSONL")]
    Jsonl,
    /// Comma-separated values (RFC 4180), without `_textnlp`; objects and lists as JSON text, null
    /// as nothing.
    #[serde(rename = "CSV")]
    Csv,
    /// A Markdown table, without `_textnlp`.
    Markdown,
    /// Apache Parquet, zstd: each column is text, integer, double or boolean; what is none of
    /// these, JSON text.
    Parquet,
}

impl Format {
    /// `jsonl`, `csv`, `md` or `parquet`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Markdown => "md",
            Self::Parquet => "parquet",
        }
    }
}

/// What finalizing knows of a row beyond generation; goes into its `_textnlp`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Scores by metric.
    pub scores: Record,
    /// The filter that rejected the row.
    pub rejected_by: Option<String>,
}

/// The row as it is written: source fields, attributes, columns, `id`, and `_textnlp` last.
///
/// `_textnlp` is `{"prompts": {column: …}, "finishReason": {column: …}, "tokens": {column: {…}},
/// "scores": {metric: …}}`, with `"rejectedBy"` or `"error": {"stage", "message"}` in the rows that
/// are not accepted; what is empty is left out.
pub fn flatten(row: &Row, verdict: &Verdict) -> Record {
    let mut flat = row.fields.clone();
    flat.extend(row.attributes.clone());
    flat.extend(row.columns.clone());
    flat.insert("id".into(), row.id.to_string().into());
    let mut metadata = Record::new();
    let mut insert = |name: &str, value: Value| {
        if value.as_object().is_none_or(|object| !object.is_empty()) {
            metadata.insert(name.into(), value);
        }
    };
    insert("prompts", Value::Object(row.meta.prompts.clone()));
    insert("finishReason", json!(row.meta.finish_reasons));
    insert("tokens", json!(row.meta.tokens));
    insert("scores", Value::Object(verdict.scores.clone()));
    if let Some(filter) = &verdict.rejected_by {
        insert("rejectedBy", json!(filter));
    }
    if let Outcome::Failed { stage, message } = &row.outcome {
        insert("error", json!({"stage": stage, "message": message}));
    }
    flat.insert(METADATA.into(), Value::Object(metadata));
    flat
}

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FormatError {
    #[error("cannot write the dataset: {0}")]
    Io(#[from] io::Error),
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("`output.fields` names `{field}`, which no row has; there are {}", available.join(", "))]
    UnknownField { field: String, available: Vec<String> },
    #[error("`output.fields` names `{field}` twice")]
    RepeatedField { field: String },
}

/// Choices of the writers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// CSV: put a `'` before text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@`,
    /// tab or CR first). Otherwise text is written as it is.
    pub escape_formulas: bool,
}

/// Writes a table row by row.
pub trait TableWriter {
    /// Writes one row. Fields outside the schema are left out; missing ones are null, or in JSONL
    /// left out too.
    fn write(&mut self, row: &Record) -> Result<(), FormatError>;

    /// Ends the table and flushes the sink.
    fn finish(self: Box<Self>) -> Result<(), FormatError>;
}

/// Where a table is written to.
pub type Sink<'w> = Box<dyn Write + Send + 'w>;

/// Begins a table of this format.
pub fn writer<'w>(
    format: Format,
    schema: &Schema,
    options: Options,
    sink: Sink<'w>,
) -> Result<Box<dyn TableWriter + 'w>, FormatError> {
    Ok(match format {
        Format::Jsonl => Box::new(text::JsonlWriter::new(schema, sink)),
        Format::Csv => Box::new(text::CsvWriter::new(&schema.without(METADATA), options, sink)?),
        Format::Markdown => Box::new(text::MarkdownWriter::new(&schema.without(METADATA), sink)?),
        Format::Parquet => Box::new(parquet::ParquetWriter::new(schema, sink)?),
    })
}
