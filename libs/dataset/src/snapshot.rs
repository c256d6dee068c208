//! The snapshot of a source: what `prepare` read, fixed in blocks of 1,000 records, so that an edit of the source during
//! a run changes nothing.
//!
//! `chunks/source/000000.jsonl`, … hold one record a line: `{"record": {…}}`, or `{"error": "…", "record": {…}}`.
//! `chunks/source/snapshot.json` is written last: without it there is no snapshot.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::record::SourceRecord;
use crate::store::{Store, StoreError};

/// Folder of the snapshot.
pub const FOLDER: &str = "chunks/source";
/// Records in a block.
pub const BLOCK: u64 = 1000;

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Records skipped at the start of the source; the index of the first record.
    pub offset: u64,
    /// How many records there are.
    pub records: u64,
    /// Source digest over them.
    pub digest: String,
    /// Names of the fields, in the order in which they first appear.
    pub fields: Vec<String>,
}

impl Snapshot {
    /// The snapshot in a store, or `None` where there is none yet.
    pub fn load(store: &dyn Store) -> Result<Option<Self>, SnapshotError> {
        unimplemented!()
    }

    /// Absolute indices of the records.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.records
    }
}

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the first {records} records of the source changed since the run began (digest {found}, was {expected}); use --fresh to start over"
    )]
    Changed { records: u64, found: String, expected: String },
    #[error(
        "the source has {found} records from offset on, the run began with {expected}; use --fresh to start over"
    )]
    Shrunk { found: u64, expected: u64 },
    #[error("`{path}` is damaged: {why}; use --fresh to start over")]
    Damaged { path: String, why: String },
    #[error("record {index} is not in the snapshot, which holds {}..{}", range.start, range.end)]
    NoRecord { index: u64, range: Range<u64> },
}

/// Writes a snapshot, or extends one; blocks that are there already are not written again.
pub struct SnapshotWriter<'a> {
    store: &'a dyn Store,
}

impl<'a> SnapshotWriter<'a> {
    /// `previous`: the snapshot in the store, which the source must begin with.
    pub fn new(store: &'a dyn Store, offset: u64, previous: Option<Snapshot>) -> Self {
        unimplemented!()
    }

    /// Adds the next record.
    pub fn push(&mut self, record: &SourceRecord) -> Result<(), SnapshotError> {
        unimplemented!()
    }

    /// Writes the last block and the description.
    pub fn finish(self) -> Result<Snapshot, SnapshotError> {
        unimplemented!()
    }
}

/// Random access to the records of a snapshot; can be shared by threads, keeps a few blocks in memory.
pub struct SnapshotReader<'a> {
    store: &'a dyn Store,
}

impl<'a> SnapshotReader<'a> {
    /// Of this snapshot in this store.
    pub fn new(store: &'a dyn Store, snapshot: Snapshot) -> Self {
        unimplemented!()
    }

    /// The record with this absolute index.
    pub fn get(&self, index: u64) -> Result<SourceRecord, SnapshotError> {
        unimplemented!()
    }
}
