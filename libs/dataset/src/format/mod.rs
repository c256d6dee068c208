//! Output formats: flat rows as JSONL, CSV, Markdown and Parquet, written as a stream.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Record, Row};

/// A file format of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// One JSON object a line.
    #[serde(rename = "JSONL")]
    Jsonl,
    /// Comma-separated values (RFC 4180), without `_textnlp`.
    #[serde(rename = "CSV")]
    Csv,
    /// A Markdown table, without `_textnlp`.
    Markdown,
    /// Apache Parquet.
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
pub fn flatten(row: &Row, verdict: &Verdict) -> Record {
    unimplemented!()
}

/// Type of a column in Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Only nulls so far; written as text.
    Null,
    /// true and false.
    Boolean,
    /// Integers.
    Int64,
    /// Numbers.
    Double,
    /// Text.
    String,
    /// Anything else, or a mixture: JSON text.
    Json,
}

/// The columns of a table, in order; learnt from the rows, since CSV, Markdown and Parquet need it before the first one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    columns: Vec<(String, ColumnType)>,
}

impl Schema {
    /// Of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Widens the schema so that it holds this row.
    pub fn add(&mut self, row: &Record) {
        unimplemented!()
    }

    /// Names and types of the columns.
    pub fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    /// The schema with exactly these columns in this order; `output.fields`.
    pub fn select(&self, fields: &[String]) -> Result<Self, FormatError> {
        unimplemented!()
    }
}

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FormatError {
    #[error("cannot write the dataset: {0}")]
    Io(#[from] io::Error),
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("`output.fields` names `{field}`, which no row has; there are {}", available.join(", "))]
    UnknownField { field: String, available: Vec<String> },
    #[error("a table with columns `{first}` and `{second}`: {why}")]
    Columns { first: String, second: String, why: &'static str },
}

/// Choices of the writers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// CSV: put a `'` before text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@`, tab, CR first).
    pub escape_formulas: bool,
}

/// Writes a table row by row.
pub trait TableWriter {
    /// Writes one row; fields outside the schema are left out, missing ones are null.
    fn write(&mut self, row: &Record) -> Result<(), FormatError>;

    /// Ends the table and flushes the sink.
    fn finish(self: Box<Self>) -> Result<(), FormatError>;
}

/// Begins a table of this format.
pub fn writer<'w>(
    format: Format,
    schema: &Schema,
    options: Options,
    sink: &'w mut (dyn Write + Send),
) -> Result<Box<dyn TableWriter + 'w>, FormatError> {
    let _ = Value::Null;
    unimplemented!()
}
