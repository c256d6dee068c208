//! From any format that is read to any that is written: `textnlp format FILE --to …`.

use std::path::Path;

use super::{Format, FormatError, Options, Schema, Sink, writer};
use crate::record::RecordError;
use crate::source::{self, SourceError};

/// Why a file cannot be converted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConvertError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("record {index}: {error}")]
    Record { index: u64, error: RecordError },
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Reads the file twice, first for its columns, then for its rows; returns how many rows there
/// were.
pub fn convert(
    base: &Path,
    pattern: &str,
    from: &source::Options,
    to: Format,
    options: Options,
    sink: Sink<'_>,
) -> Result<u64, ConvertError> {
    // A dataset keeps its `id` and `_textnlp`.
    let from = source::Options { reserved_names: true, ..*from };
    let mut schema = Schema::new();
    for record in source::open(base, pattern, &from)? {
        schema.add(record?.fields());
    }
    let mut table = writer(to, &schema, options, sink)?;
    let mut rows = 0;
    for record in source::open(base, pattern, &from)? {
        let record = record?;
        let index = record.index;
        table.write(&record.record.map_err(|error| ConvertError::Record { index, error })?)?;
        rows += 1;
    }
    table.finish()?;
    Ok(rows)
}
