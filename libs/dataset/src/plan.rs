//! Which rows are still missing, and in which order finished chunks are merged: pure functions of
//! chunk ranges.
//!
//! A dataset is the rectangle records × samples. Chunks are smaller rectangles that tile it;
//! raising the limit or the samples per record enlarges the dataset, and only the difference is
//! planned.
//!
//! Chunks may overlap: of two pods that work on the same shard for a while (a node was lost and came back), each keeps
//! what it finished. A row depends on nothing but its request, so both hold the same one, and the merge takes it from
//! the first chunk that has it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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

impl RowRange {
    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        let records = self.records.end.saturating_sub(self.records.start);
        records.saturating_mul(u64::from(self.samples.end.saturating_sub(self.samples.start)))
    }

    /// Its rows, in row order.
    pub fn ids(&self) -> impl Iterator<Item = RowId> + use<> {
        let samples = self.samples.clone();
        self.records
            .clone()
            .flat_map(move |record| samples.clone().map(move |sample| RowId { record, sample }))
    }

    /// The part of it that lies in these records.
    pub fn within(&self, records: &Range<u64>) -> Option<Self> {
        let (start, end) =
            (self.records.start.max(records.start), self.records.end.min(records.end));
        (start < end).then(|| Self { records: start..end, samples: self.samples.clone() })
    }

    fn contains(&self, other: &Self) -> bool {
        let records =
            self.records.start <= other.records.start && other.records.end <= self.records.end;
        records
            && self.samples.start <= other.samples.start
            && other.samples.end <= self.samples.end
    }
}

impl fmt::Display for RowRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, samples } = self;
        write!(
            f,
            "records {}..{}, samples {}..{}",
            records.start, records.end, samples.start, samples.end
        )
    }
}

/// A set of chunks that cannot be one dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PlanError {
    #[error(
        "the output holds a chunk of rows ({chunk}) that this job does not ask for ({target}); \
         limit and samplesPerRecord can be raised but not lowered: use --fresh to start over"
    )]
    Foreign { chunk: RowRange, target: RowRange },
    #[error("a chunk has no rows ({0})")]
    Empty(RowRange),
}

/// The chunks that are still to be made so that `existing` and they cover `target` exactly once, in
/// row order, each of at most `max_rows` rows (at least one).
pub fn missing(
    target: &RowRange,
    existing: &[RowRange],
    max_rows: u64,
) -> Result<Vec<RowRange>, PlanError> {
    missing_within(target, existing, &target.records, max_rows)
}

/// [`missing`], of these records only: no chunk reaches into others.
pub fn missing_within(
    target: &RowRange,
    existing: &[RowRange],
    records: &Range<u64>,
    max_rows: u64,
) -> Result<Vec<RowRange>, PlanError> {
    if let Some(chunk) = existing.iter().find(|chunk| !target.contains(chunk)) {
        return Err(PlanError::Foreign { chunk: chunk.clone(), target: target.clone() });
    }
    check_not_empty(existing)?;
    let existing: Vec<RowRange> =
        existing.iter().filter_map(|chunk| chunk.within(records)).collect();
    let mut gaps: Vec<RowRange> = Vec::new();
    for band in bands(&existing, Some(records)) {
        let mut sample = target.samples.start;
        let taken = band.chunks.iter().map(|chunk| &existing[*chunk].samples);
        let end = target.samples.end..target.samples.end;
        for samples in taken.chain([&end]) {
            if sample < samples.start {
                push_gap(
                    &mut gaps,
                    RowRange { records: band.records.clone(), samples: sample..samples.start },
                );
            }
            sample = sample.max(samples.end);
        }
    }
    let mut chunks: Vec<RowRange> =
        gaps.into_iter().flat_map(|gap| split(gap, max_rows.max(1))).collect();
    chunks.sort_by_key(|chunk| (chunk.records.start, chunk.samples.start));
    Ok(chunks)
}

/// Adds a gap, joined to the one of the band before where both have the same samples.
fn push_gap(gaps: &mut Vec<RowRange>, gap: RowRange) {
    let touches = |other: &&mut RowRange| {
        other.samples == gap.samples && other.records.end == gap.records.start
    };
    match gaps
        .iter_mut()
        .rev()
        .take_while(|other| other.records.end >= gap.records.start)
        .find(touches)
    {
        Some(other) => other.records.end = gap.records.end,
        None => gaps.push(gap),
    }
}

/// Cuts a block so that no piece has more rows: whole records together, and a record apart only
/// where it alone is too large.
fn split(block: RowRange, max_rows: u64) -> Vec<RowRange> {
    let samples = u64::from(block.samples.end - block.samples.start);
    let records_each = (max_rows / samples).max(1);
    let samples_each = u32::try_from(max_rows).unwrap_or(u32::MAX);
    let mut pieces = Vec::new();
    let mut record = block.records.start;
    while record < block.records.end {
        let end = record.saturating_add(records_each).min(block.records.end);
        let mut sample = block.samples.start;
        while sample < block.samples.end {
            let sample_end = sample.saturating_add(samples_each).min(block.samples.end);
            pieces.push(RowRange { records: record..end, samples: sample..sample_end });
            sample = sample_end;
        }
        record = end;
    }
    pieces
}

/// Few row ranges that hold exactly the given rows: what an interrupted run keeps of a chunk that
/// is not whole.
pub fn cover(rows: &[RowId]) -> Vec<RowRange> {
    let rows: BTreeSet<RowId> = rows.iter().copied().collect();
    let mut runs: Vec<RowRange> = Vec::new();
    for RowId { record, sample } in rows {
        match runs.last_mut() {
            Some(run) if run.records.start == record && run.samples.end == sample => {
                run.samples.end += 1
            }
            _ => runs.push(RowRange {
                records: record..record.saturating_add(1),
                samples: sample..sample.saturating_add(1),
            }),
        }
    }
    let mut blocks = Vec::new();
    for run in runs {
        push_gap(&mut blocks, run);
    }
    blocks
}

/// A run of records whose rows come from the same chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeStep {
    /// The records, one after the other.
    pub records: Range<u64>,
    /// For each of the records: indices of the chunks that hold its rows, by first sample. A row that several of them
    /// hold is taken from the first.
    pub chunks: Vec<usize>,
}

/// The steps in which the chunks' rows follow each other in row order: record, then sample.
pub fn merge_order(chunks: &[RowRange]) -> Result<Vec<MergeStep>, PlanError> {
    check_not_empty(chunks)?;
    let mut steps = bands(chunks, None);
    steps.retain(|step| !step.chunks.is_empty());
    Ok(steps)
}

fn check_not_empty(chunks: &[RowRange]) -> Result<(), PlanError> {
    match chunks.iter().find(|chunk| chunk.rows() == 0) {
        Some(empty) => Err(PlanError::Empty(empty.clone())),
        None => Ok(()),
    }
}

/// Cuts the records wherever a chunk begins or ends; `within` adds its own ends. Chunks of a band
/// are ordered by first sample, the longer one first.
fn bands(chunks: &[RowRange], within: Option<&Range<u64>>) -> Vec<MergeStep> {
    let mut starts: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut cuts: BTreeSet<u64> =
        within.into_iter().flat_map(|range| [range.start, range.end]).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        starts.entry(chunk.records.start).or_default().push(index);
        cuts.extend([chunk.records.start, chunk.records.end]);
    }
    let cuts: Vec<u64> = cuts.into_iter().collect();
    // The chunks that hold rows of the current record.
    let mut active: BTreeSet<(u32, Reverse<u32>, usize)> = BTreeSet::new();
    let mut bands = Vec::new();
    for cut in cuts.windows(2) {
        active.retain(|(_, _, chunk)| chunks[*chunk].records.end > cut[0]);
        for &index in starts.get(&cut[0]).into_iter().flatten() {
            let samples = &chunks[index].samples;
            active.insert((samples.start, Reverse(samples.end), index));
        }
        bands.push(MergeStep {
            records: cut[0]..cut[1],
            chunks: active.iter().map(|(_, _, chunk)| *chunk).collect(),
        });
    }
    bands
}
