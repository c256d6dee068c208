//! The snapshot of a source: what `prepare` read, fixed in blocks of 1,000 records, so that an edit
//! of the source during a run changes nothing.
//!
//! `chunks/source/000000.jsonl`, … hold one record a line: `{"record": {…}}`, or `{"error": "…",
//! "record": {…}}`. `chunks/source/snapshot.json` is written last: without it there is no snapshot.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::digest::SourceDigest;
use crate::record::{Record, RecordError, SourceRecord};
use crate::store::{Store, StoreError};

/// Folder of the snapshot.
pub const FOLDER: &str = "chunks/source";

/// Records in a block.
pub const BLOCK: u64 = 1000;

/// Blocks that a reader keeps: rows in flight lie close together.
const KEPT_BLOCKS: usize = 4;

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
        let path = description_path();
        match store.get(&path) {
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(snapshot) if snapshot.offset.checked_add(snapshot.records).is_some() => {
                    Ok(Some(snapshot))
                }
                Ok(_) => {
                    Err(SnapshotError::Damaged { path, why: "its records end beyond 2^64".into() })
                }
                Err(error) => Err(SnapshotError::Damaged { path, why: error.to_string() }),
            },
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Absolute indices of the records.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.records)
    }
}

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the first {records} records of the source changed since the run began \
         (source digest {found}, was {expected}); restore the source, or use --fresh to start over"
    )]
    Changed { records: u64, found: String, expected: String },
    #[error(
        "the source has {found} records now, the run began with {expected}; records can be added but not removed: \
         restore the source and its limit, or use --fresh to start over"
    )]
    Shrunk { found: u64, expected: u64 },
    #[error(
        "the run began at offset {expected} of the source, not {found}; use --fresh to start over"
    )]
    Offset { found: u64, expected: u64 },
    #[error("`{path}` is damaged: {why}; use --fresh to start over")]
    Damaged { path: String, why: String },
    #[error("record {index} is not in the snapshot, which holds {}..{}", range.start, range.end)]
    NoRecord { index: u64, range: Range<u64> },
    #[error("record {found} came where record {expected} was expected")]
    Order { found: u64, expected: u64 },
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    error: Option<String>,
    record: Record,
}

/// Writes a snapshot, or extends one: nothing that is there already is touched before the source
/// has proved to begin with the same records.
pub struct SnapshotWriter<'a> {
    store: &'a dyn Store,
    offset: u64,
    previous: Option<Snapshot>,
    digest: SourceDigest,
    fields: Vec<String>,
    known: HashSet<String>,
    block: Vec<u8>,
}

impl<'a> SnapshotWriter<'a> {
    /// `previous`: the snapshot in the store, which the source must begin with.
    pub fn new(
        store: &'a dyn Store,
        offset: u64,
        previous: Option<Snapshot>,
    ) -> Result<Self, SnapshotError> {
        if let Some(previous) = previous.as_ref().filter(|previous| previous.offset != offset) {
            return Err(SnapshotError::Offset { found: offset, expected: previous.offset });
        }
        let (digest, fields, known) = (SourceDigest::new(), Vec::new(), HashSet::new());
        Ok(Self { store, offset, previous, digest, fields, known, block: Vec::new() })
    }

    /// Adds the next record.
    pub fn push(&mut self, record: &SourceRecord) -> Result<(), SnapshotError> {
        let expected = self.offset.saturating_add(self.digest.records());
        if record.index != expected {
            return Err(SnapshotError::Order { found: record.index, expected });
        }
        for name in record.fields().keys() {
            if !self.known.contains(name) {
                self.known.insert(name.clone());
                self.fields.push(name.clone());
            }
        }
        self.digest.add(record);
        self.append(record)?;
        let records = self.digest.records();
        self.check_previous(records)?;
        if records.is_multiple_of(BLOCK) {
            self.end_block(records / BLOCK - 1)?;
        }
        Ok(())
    }

    fn append(&mut self, record: &SourceRecord) -> Result<(), SnapshotError> {
        let line = match &record.record {
            Ok(record) => Line { error: None, record: record.clone() },
            Err(error) => Line { error: Some(error.message.clone()), record: error.record.clone() },
        };
        serde_json::to_writer(&mut self.block, &line).map_err(|error| SnapshotError::Damaged {
            path: FOLDER.into(),
            why: error.to_string(),
        })?;
        self.block.push(b'\n');
        Ok(())
    }

    fn check_previous(&self, records: u64) -> Result<(), SnapshotError> {
        match &self.previous {
            Some(previous)
                if previous.records == records && previous.digest != self.digest.current() =>
            {
                let (found, expected) = (self.digest.current(), previous.digest.clone());
                Err(SnapshotError::Changed { records, found, expected })
            }
            _ => Ok(()),
        }
    }

    /// Writes a block, unless the previous snapshot has it whole.
    fn end_block(&mut self, index: u64) -> Result<(), SnapshotError> {
        let is_kept = self
            .previous
            .as_ref()
            .is_some_and(|previous| self.digest.records() <= previous.records);
        if !is_kept {
            self.store.put(&block_path(index), &self.block)?;
        }
        self.block.clear();
        Ok(())
    }

    /// Writes the last block and the description.
    pub fn finish(mut self) -> Result<Snapshot, SnapshotError> {
        let records = self.digest.records();
        if let Some(previous) = self.previous.as_ref().filter(|previous| previous.records > records)
        {
            return Err(SnapshotError::Shrunk { found: records, expected: previous.records });
        }
        if !self.block.is_empty() {
            self.end_block(records / BLOCK)?;
        }
        let snapshot = Snapshot {
            offset: self.offset,
            records,
            digest: self.digest.current(),
            fields: self.fields,
        };
        if self.previous.as_ref() != Some(&snapshot) {
            let text = serde_json::to_vec_pretty(&snapshot).map_err(|error| {
                SnapshotError::Damaged { path: description_path(), why: error.to_string() }
            })?;
            self.store.put(&description_path(), &text)?;
        }
        Ok(snapshot)
    }
}

type Block = Arc<Vec<SourceRecord>>;

/// Random access to the records of a snapshot; can be shared by threads, keeps a few blocks in
/// memory.
pub struct SnapshotReader<'a> {
    store: &'a dyn Store,
    snapshot: Snapshot,
    /// The blocks used last, the latest first.
    blocks: Mutex<VecDeque<(u64, Block)>>,
}

impl<'a> SnapshotReader<'a> {
    /// Of this snapshot in this store.
    pub fn new(store: &'a dyn Store, snapshot: Snapshot) -> Self {
        Self { store, snapshot, blocks: Mutex::default() }
    }

    /// What the snapshot holds.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The record with this absolute index.
    pub fn get(&self, index: u64) -> Result<SourceRecord, SnapshotError> {
        let range = self.snapshot.range();
        if !range.contains(&index) {
            return Err(SnapshotError::NoRecord { index, range });
        }
        let position = index - self.snapshot.offset;
        let number = position / BLOCK;
        let block = self.block(number)?;
        let record = usize::try_from(position % BLOCK).ok().and_then(|line| block.get(line));
        record.cloned().ok_or_else(|| SnapshotError::Damaged {
            path: block_path(number),
            why: format!("it has {} records, too few for record {index}", block.len()),
        })
    }

    fn block(&self, number: u64) -> Result<Block, SnapshotError> {
        // Held while reading, so that threads that need the same block read it once.
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = blocks.iter().position(|(kept, _)| *kept == number)
            && let Some(found) = blocks.remove(position)
        {
            blocks.push_front(found.clone());
            return Ok(found.1);
        }
        let block = Arc::new(self.read(number)?);
        blocks.truncate(KEPT_BLOCKS - 1);
        blocks.push_front((number, block.clone()));
        Ok(block)
    }

    fn read(&self, number: u64) -> Result<Vec<SourceRecord>, SnapshotError> {
        let path = block_path(number);
        let bytes = self.store.get(&path)?;
        let first = self.snapshot.offset + number * BLOCK;
        let parse = |(line, text): (usize, &[u8])| {
            let Line { error, record } = serde_json::from_slice(text)?;
            let record = match error {
                None => Ok(record),
                Some(message) => Err(RecordError { message, record }),
            };
            Ok(SourceRecord { index: first + line as u64, record })
        };
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
        lines
            .map(parse)
            .collect::<serde_json::Result<_>>()
            .map_err(|error| SnapshotError::Damaged { path, why: error.to_string() })
    }
}

fn block_path(number: u64) -> String {
    format!("{FOLDER}/{number:06}.jsonl")
}

fn description_path() -> String {
    format!("{FOLDER}/snapshot.json")
}
