//! Sources of records: CSV, JSONL and Parquet, from files, globs, gzip and zstd, texts and inline records; streaming.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::record::{Record, SourceRecord};

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Comma-separated values with a header line; all values are strings.
    #[serde(rename = "CSV")]
    Csv,
    /// One JSON object a line.
    #[serde(rename = "JSONL")]
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Bounds on one record.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one record as written.
    pub record_bytes: usize,
    /// Fields of one record.
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 64 << 20, fields: 10_000 }
    }
}

/// Which records of a source to read, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Absent: from the file's extension.
    pub format: Option<Format>,
    /// Records to skip.
    pub offset: u64,
    /// Records to read at most.
    pub limit: Option<u64>,
    /// Bounds on one record.
    pub limits: Limits,
}

/// Why a source cannot be read. Every variant names the place.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SourceError {
    #[error("{place}: {message}")]
    Invalid { place: String, message: String },
}

/// Records of a source, one at a time; ends after the first error.
pub struct Records<'a> {
    inner: Box<dyn Iterator<Item = Result<SourceRecord, SourceError>> + Send + 'a>,
}

impl Iterator for Records<'_> {
    type Item = Result<SourceRecord, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next()
    }
}

/// Opens a file, or all files that a glob such as `data/*.parquet` matches, sorted by name, as one source. A relative
/// pattern is relative to `base`.
pub fn open(
    base: &Path,
    pattern: &str,
    options: &Options,
) -> Result<Records<'static>, SourceError> {
    unimplemented!()
}

/// Reads records from a text, such as a key of a ConfigMap. `name` is how errors call it, and its extension gives the
/// format if the options don't.
pub fn read_str<'a>(
    name: &str,
    text: &'a str,
    options: &Options,
) -> Result<Records<'a>, SourceError> {
    unimplemented!()
}

/// Records written in the manifest. `name` is how errors call them: `spec.source.inline.records`.
pub fn inline<'a>(
    name: &str,
    records: Vec<Record>,
    options: &Options,
) -> Result<Records<'a>, SourceError> {
    unimplemented!()
}

/// Reads all records of bytes in memory, compressed or not; for tests and fuzzing.
pub fn read_bytes(
    format: Format,
    bytes: &[u8],
    limits: Limits,
) -> Result<Vec<SourceRecord>, SourceError> {
    unimplemented!()
}
