//! Chunks: finished rows in one file that appears whole or not at all.
//!
//! `chunks/rows/<a>-<b>-s<s0>-<s1>.jsonl` holds the samples s0..s1 of the records a..b in row
//! order. Its first line is a header with the number of rows, the SHA-256 of the lines after it,
//! and the generation hash; then one row a line.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::plan::{self, MergeStep, PlanError, RowRange};
use crate::record::{Row, RowId};
use crate::store::{Store, StoreError};

/// Folder of the chunks of rows.
pub const FOLDER: &str = "chunks/rows";

/// Version of the files' layout.
const LAYOUT: &str = "textnlp-rows/1";

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
        "`{path}` was made under generation hash {found}, this run has {expected}; use --fresh to start over"
    )]
    OtherGeneration { path: String, found: String, expected: String },
    #[error("row {found} stands where row {expected} of the chunk was expected")]
    Order { found: String, expected: String },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    layout: String,
    generation_hash: String,
    rows: u64,
    sha256: String,
}

/// The path of a chunk. Names sort in row order up to 10^12 records and 10^6 samples.
pub fn path(range: &RowRange) -> String {
    let RowRange { records, samples } = range;
    format!(
        "{FOLDER}/{:012}-{:012}-s{:06}-{:06}.jsonl",
        records.start, records.end, samples.start, samples.end
    )
}

/// The rows that a path names, if it is the path of a chunk.
pub fn parse_path(path: &str) -> Option<RowRange> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".jsonl")?;
    let (records, samples) = name.split_once("-s")?;
    let (first, last) = records.split_once('-')?;
    let (first_sample, last_sample) = samples.split_once('-')?;
    let range = RowRange {
        records: first.parse().ok()?..last.parse().ok()?,
        samples: first_sample.parse().ok()?..last_sample.parse().ok()?,
    };
    // One spelling only, so that two names never mean the same rows.
    (range.rows() > 0 && self::path(&range) == path).then_some(range)
}

/// Writes rows as one chunk. `rows` must be exactly the rows of `range`, in row order.
pub fn write(
    store: &dyn Store,
    generation_hash: &str,
    range: &RowRange,
    rows: &[Row],
) -> Result<(), ChunkError> {
    let path = path(range);
    check_order(rows, range)?;
    Ok(store.put(
        &path,
        &encode(generation_hash, rows)
            .map_err(|why| ChunkError::Damaged { path: path.clone(), why })?,
    )?)
}

/// Reads a chunk and checks that it is whole and of this generation.
pub fn read(
    store: &dyn Store,
    generation_hash: &str,
    range: &RowRange,
) -> Result<Vec<Row>, ChunkError> {
    let path = path(range);
    let (header, rows) = match decode(&store.get(&path)?) {
        Ok(decoded) => decoded,
        Err(why) => return Err(ChunkError::Damaged { path, why }),
    };
    if header.generation_hash != generation_hash {
        let (found, expected) = (header.generation_hash, generation_hash.into());
        return Err(ChunkError::OtherGeneration { path, found, expected });
    }
    check_order(&rows, range)
        .map_err(|error| ChunkError::Damaged { path, why: error.to_string() })?;
    Ok(rows)
}

/// The chunks that a store holds, in the order of their names. A file in the folder that is no
/// chunk is an error.
pub fn list(store: &dyn Store) -> Result<Vec<RowRange>, ChunkError> {
    let paths = store.list(FOLDER)?;
    let parse = |path: String| {
        let why = "its name is not `<first record>-<end>-s<first sample>-<end>.jsonl`".into();
        parse_path(&path).ok_or(ChunkError::Damaged { path, why })
    };
    paths.into_iter().map(parse).collect()
}

fn check_order(rows: &[Row], range: &RowRange) -> Result<(), ChunkError> {
    let mut expected = range.ids();
    let text = |id: Option<RowId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let mut found = rows.iter().map(|row| row.id);
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return Ok(()),
            (found, expected) if found != expected => {
                return Err(ChunkError::Order { found: text(found), expected: text(expected) });
            }
            _ => {}
        }
    }
}

fn encode(generation_hash: &str, rows: &[Row]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut body, row).map_err(|error| error.to_string())?;
        body.push(b'\n');
    }
    let header = Header {
        layout: LAYOUT.into(),
        generation_hash: generation_hash.into(),
        rows: rows.len() as u64,
        sha256: sha256(&body),
    };
    let mut chunk = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    chunk.push(b'\n');
    chunk.append(&mut body);
    Ok(chunk)
}

fn decode(bytes: &[u8]) -> Result<(Header, Vec<Row>), String> {
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or("its first line is cut off")?;
    let (first, body) = (&bytes[..line], &bytes[line + 1..]);
    let header: Header = serde_json::from_slice(first)
        .map_err(|error| format!("its first line is no header ({error})"))?;
    if header.layout != LAYOUT {
        return Err(format!("its layout is `{}`, this version reads `{LAYOUT}`", header.layout));
    }
    if sha256(body) != header.sha256 {
        return Err("it is cut off or was changed: its digest does not match".into());
    }
    let rows = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice);
    let rows = rows.collect::<Result<Vec<Row>, _>>().map_err(|error| error.to_string())?;
    if rows.len() as u64 != header.rows {
        return Err(format!("it has {} rows, its header says {}", rows.len(), header.rows));
    }
    Ok((header, rows))
}

/// All rows of the chunks in row order, holding only the chunks of the current records in memory.
pub struct Rows<'a> {
    store: &'a dyn Store,
    generation_hash: String,
    chunks: Vec<RowRange>,
    steps: VecDeque<MergeStep>,
    /// Rows of the opened chunks that were not given out yet.
    opened: HashMap<usize, VecDeque<Row>>,
    /// Rows of the current record.
    ready: VecDeque<Row>,
}

impl<'a> Rows<'a> {
    /// Rows of these chunks, each once, also where they overlap.
    pub fn new(
        store: &'a dyn Store,
        generation_hash: &str,
        chunks: Vec<RowRange>,
    ) -> Result<Self, ChunkError> {
        let steps = plan::merge_order(&chunks)?.into();
        let generation_hash = generation_hash.into();
        Ok(Self {
            store,
            generation_hash,
            chunks,
            steps,
            opened: HashMap::new(),
            ready: VecDeque::new(),
        })
    }

    /// Collects the rows of the next record.
    fn advance(&mut self) -> Result<(), ChunkError> {
        let Some(step) = self.steps.front_mut() else { return Ok(()) };
        let record = step.records.start;
        let mut next_sample = 0;
        let chunks = step.chunks.clone();
        step.records.start += 1;
        if step.records.is_empty() {
            self.steps.pop_front();
        }
        for chunk in chunks {
            if !self.opened.contains_key(&chunk) {
                let rows = read(self.store, &self.generation_hash, &self.chunks[chunk])?;
                self.opened.insert(chunk, rows.into());
            }
            let Some(rows) = self.opened.get_mut(&chunk) else { continue };
            while let Some(row) = rows.pop_front_if(|row| row.id.record == record) {
                // Below that, a chunk before this one had the row.
                if row.id.sample >= next_sample {
                    next_sample = row.id.sample.saturating_add(1);
                    self.ready.push_back(row);
                }
            }
            if rows.is_empty() {
                self.opened.remove(&chunk);
            }
        }
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.steps.is_empty() {
            if let Err(error) = self.advance() {
                self.steps.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
