//! Chunks: finished rows in one file that appears whole or not at all.
//!
//! `chunks/rows/<a>-<b>-s<s0>-<s1>.jsonl` holds the samples s0..s1 of the records a..b in row order. Its first line is a
//! header with the number of rows, the SHA-256 of the lines after it, and the generation hash; then one row a line.

use crate::plan::{PlanError, RowRange};
use crate::record::Row;
use crate::store::{Store, StoreError};

/// Folder of the chunks of rows.
pub const FOLDER: &str = "chunks/rows";

/// A chunk that cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ChunkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("`{path}` is no chunk of rows: {why}; remove it, and its rows are generated again")]
    Damaged { path: String, why: String },
    #[error(
        "`{path}` was made for generation hash {found}, this run has {expected}; use --fresh to start over"
    )]
    OtherGeneration { path: String, found: String, expected: String },
}

/// The path of a chunk.
pub fn path(range: &RowRange) -> String {
    unimplemented!()
}

/// The rows that a path names, if it is the path of a chunk.
pub fn parse_path(path: &str) -> Option<RowRange> {
    unimplemented!()
}

/// Writes rows as one chunk. `rows` must be exactly the rows of `range`, in row order.
pub fn write(
    store: &dyn Store,
    generation_hash: &str,
    range: &RowRange,
    rows: &[Row],
) -> Result<(), ChunkError> {
    unimplemented!()
}

/// Reads a chunk and checks that it is whole and of this generation.
pub fn read(
    store: &dyn Store,
    generation_hash: &str,
    range: &RowRange,
) -> Result<Vec<Row>, ChunkError> {
    unimplemented!()
}

/// The chunks that a store holds, sorted. A file in the folder that is no chunk is an error.
pub fn list(store: &dyn Store) -> Result<Vec<RowRange>, ChunkError> {
    unimplemented!()
}

/// All rows of the chunks in row order, holding only the chunks of the current records in memory.
pub struct Rows<'a> {
    store: &'a dyn Store,
}

impl<'a> Rows<'a> {
    /// Rows of these chunks; an error if two of them overlap.
    pub fn new(
        store: &'a dyn Store,
        generation_hash: &str,
        chunks: Vec<RowRange>,
    ) -> Result<Self, ChunkError> {
        unimplemented!()
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!()
    }
}
