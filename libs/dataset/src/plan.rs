//! Which rows are still missing, and in which order finished chunks are merged: pure functions of chunk ranges.

use std::ops::Range;

use crate::record::RowId;

/// A block of rows: all samples `samples` of all records `records`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowRange {
    /// Absolute positions of records in the source.
    pub records: Range<u64>,
    /// Samples of each of these records.
    pub samples: Range<u32>,
}

/// A set of chunks that cannot be one dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PlanError {
    #[error("todo")]
    Overlap { first: RowRange, second: RowRange },
    #[error("todo")]
    Foreign { chunk: RowRange, target: RowRange },
}

/// The chunks that are still to be made so that `existing` and they cover `target` exactly once, in row order, each of at
/// most `max_rows` rows.
pub fn missing(
    target: &RowRange,
    existing: &[RowRange],
    max_rows: u64,
) -> Result<Vec<RowRange>, PlanError> {
    unimplemented!()
}

/// Few row ranges that hold exactly the given rows: what an interrupted run keeps of a chunk that is not whole.
pub fn cover(rows: &[RowId]) -> Vec<RowRange> {
    unimplemented!()
}

/// A run of records whose rows come from the same chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeStep {
    /// The records, one after the other.
    pub records: Range<u64>,
    /// For each of the records: indices of the chunks that hold its rows, by sample.
    pub chunks: Vec<usize>,
}

/// The steps in which the chunks' rows follow each other in row order: record, then sample.
pub fn merge_order(chunks: &[RowRange]) -> Result<Vec<MergeStep>, PlanError> {
    unimplemented!()
}
