//! Shards: the missing rows of a job, cut into ranges of whole records, one for each index of an Indexed Job.
//!
//! A plan belongs to a job's rows (their generation hash) and to an attempt, and so does its name: whoever asks for it
//! again finds the same, and an attempt that comes after plans anew over what is still missing.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use textnlp_dataset::chunk;
use textnlp_dataset::plan::{self, RowRange};
use textnlp_dataset::store::Store;

use crate::error::Error;
use crate::prepare::Prepared;

/// Folder of the plans.
const FOLDER: &str = "chunks/shards";

/// Version of the file's layout.
const LAYOUT: &str = "textnlp-shards/1";

/// A part of a job: whole records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Absolute position of its first record.
    pub first: u64,
    /// One beyond the last.
    pub end: u64,
    /// Rows that were missing in it when it was planned.
    pub rows: u64,
}

impl Shard {
    /// Its records.
    pub fn records(&self) -> Range<u64> {
        self.first..self.end
    }
}

/// The shards of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    layout: String,
    generation_hash: String,
    /// In the order of their records.
    pub shards: Vec<Shard>,
}

impl Plan {
    /// Where the plan of an attempt is kept.
    fn path(prepared: &Prepared, attempt: u32) -> String {
        let hash = prepared.generation_hash.trim_start_matches("sha256:");
        format!("{FOLDER}/{}-{attempt:06}.json", &hash[..hash.len().min(16)])
    }

    /// The plan of an attempt, if there is one for exactly these rows.
    pub fn load(
        prepared: &Prepared,
        attempt: u32,
        store: &dyn Store,
    ) -> Result<Option<Self>, Error> {
        let bytes = match store.get(&Self::path(prepared, attempt)) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let plan: Option<Self> = serde_json::from_slice(&bytes).ok();
        Ok(plan.filter(|plan| {
            plan.layout == LAYOUT && plan.generation_hash == prepared.generation_hash
        }))
    }

    /// The plan of an attempt: the one that is there, or a new one of at most so many shards over what is missing.
    pub fn fix(
        prepared: &Prepared,
        attempt: u32,
        wanted: u64,
        store: &dyn Store,
    ) -> Result<Self, Error> {
        let missing = plan::missing(&prepared.target, &chunk::list(store)?, u64::MAX)?;
        if let Some(plan) = Self::load(prepared, attempt, store)?
            && plan.covers(&missing)
        {
            return Ok(plan);
        }
        let plan = Self {
            layout: LAYOUT.to_owned(),
            generation_hash: prepared.generation_hash.clone(),
            shards: split(&missing, wanted),
        };
        let mut text = serde_json::to_vec(&plan).map_err(|e| Error::Internal(e.to_string()))?;
        text.push(b'\n');
        store.put(&Self::path(prepared, attempt), &text)?;
        Ok(plan)
    }

    /// Whether every missing row is in a shard. (Rows that somebody removed may be in none.)
    fn covers(&self, missing: &[RowRange]) -> bool {
        missing.iter().all(|gap| {
            let shards = self.shards.iter().filter_map(|shard| gap.within(&shard.records()));
            shards.map(|part| part.rows()).sum::<u64>() == gap.rows()
        })
    }
}

/// Records one after the other, of each of which as many rows are missing.
struct Stretch {
    records: Range<u64>,
    rows: u64,
}

/// Cuts what is missing into at most `wanted` shards of nearly as many rows. Each has whole records, and at least one of
/// which a row is missing.
pub fn split(missing: &[RowRange], wanted: u64) -> Vec<Shard> {
    let stretches = stretches(missing);
    let records: u64 = stretches.iter().map(|s| s.records.end - s.records.start).sum();
    let rows: u64 = stretches.iter().map(|s| (s.records.end - s.records.start) * s.rows).sum();
    let count = wanted.clamp(1, records.max(1));
    let mut shards: Vec<Shard> = Vec::new();
    // What the shards that are closed hold, and the records that no shard has yet.
    let (mut done, mut left) = (0, records);
    let mut open: Option<Shard> = None;
    for stretch in stretches {
        let mut record = stretch.records.start;
        while record < stretch.records.end {
            let shard = open.get_or_insert(Shard { first: record, end: record, rows: 0 });
            let later = count - shards.len() as u64 - 1;
            // The shard ends where its share of all rows does, as long as each later one still gets a record.
            let share = u128::from(rows) * u128::from(shards.len() as u64 + 1) / u128::from(count);
            let lacking =
                u64::try_from(share).unwrap_or(u64::MAX).saturating_sub(done + shard.rows);
            let takes = lacking
                .div_ceil(stretch.rows)
                .max(u64::from(shard.rows == 0))
                .min(stretch.records.end - record)
                .min(left - later);
            record += takes;
            left -= takes;
            shard.end = record;
            shard.rows += takes * stretch.rows;
            let is_full = later > 0 && (u128::from(done + shard.rows) >= share || left == later);
            if is_full && let Some(full) = open.take() {
                done += full.rows;
                shards.push(full);
            }
        }
    }
    shards.extend(open);
    shards
}

/// How many rows each record lacks, for records of which any is missing.
fn stretches(missing: &[RowRange]) -> Vec<Stretch> {
    let mut cuts: Vec<u64> =
        missing.iter().flat_map(|gap| [gap.records.start, gap.records.end]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    // What begins and ends to be missing at each cut.
    let mut changes = vec![0_i64; cuts.len()];
    for gap in missing {
        let samples = i64::from(gap.samples.end.saturating_sub(gap.samples.start));
        for (at, change) in [(gap.records.start, samples), (gap.records.end, -samples)] {
            if let Ok(index) = cuts.binary_search(&at) {
                changes[index] += change;
            }
        }
    }
    let mut rows = 0;
    let mut stretches = Vec::new();
    for (pair, change) in cuts.windows(2).zip(changes) {
        rows += change;
        if rows > 0 {
            stretches.push(Stretch { records: pair[0]..pair[1], rows: rows.unsigned_abs() });
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: u64, end: u64, sample: u32, sample_end: u32) -> RowRange {
        RowRange { records: first..end, samples: sample..sample_end }
    }

    fn shard(first: u64, end: u64, rows: u64) -> Shard {
        Shard { first, end, rows }
    }

    #[test]
    fn shards_are_whole_records_of_nearly_as_many_rows() {
        let check = |missing: &[RowRange], wanted, expect: &[Shard]| {
            assert_eq!(split(missing, wanted), expect, "{missing:?} in {wanted}");
        };
        check(&[], 4, &[]);
        check(&[range(0, 64, 0, 2)], 1, &[shard(0, 64, 128)]);
        check(&[range(5, 15, 0, 2)], 3, &[shard(5, 8, 6), shard(8, 12, 8), shard(12, 15, 6)]);
        // No more shards than records of which a row is missing.
        check(&[range(0, 2, 0, 9)], 8, &[shard(0, 1, 9), shard(1, 2, 9)]);
        // Records that are finished lie inside of shards, and cost nothing.
        check(&[range(0, 2, 0, 1), range(90, 92, 0, 1)], 2, &[shard(0, 2, 2), shard(90, 92, 2)]);
        // More samples of old records, all samples of new ones.
        check(&[range(0, 6, 2, 3), range(6, 8, 0, 3)], 2, &[shard(0, 6, 6), shard(6, 8, 6)]);
    }

    proptest! {
        #[test]
        fn every_missing_row_is_in_exactly_one_shard(
            gaps in proptest::collection::vec((0u64..40, 1u64..10, 0u32..4, 1u32..3), 0..6),
            wanted in 1u64..12,
        ) {
            let gaps: Vec<RowRange> =
                gaps.into_iter().map(|(r, n, s, m)| range(r, r + n, s, s + m)).collect();
            // Gaps of a plan do not overlap: the existing chunks are what the random ones leave.
            let missing = plan::missing(&range(0, 60, 0, 8), &gaps, u64::MAX).unwrap();
            let rows: u64 = missing.iter().map(RowRange::rows).sum();
            let shards = split(&missing, wanted);
            prop_assert!(shards.len() as u64 <= wanted);
            prop_assert!(shards.windows(2).all(|pair| pair[0].end <= pair[1].first));
            for shard in &shards {
                let inside = missing.iter().filter_map(|gap| gap.within(&shard.records()));
                prop_assert_eq!(inside.map(|part| part.rows()).sum::<u64>(), shard.rows);
                prop_assert!(shard.rows > 0);
                // A shard is too large by less than one record.
                prop_assert!(shard.rows <= rows / shards.len() as u64 + 2 * 8, "{:?}", shards);
            }
            prop_assert_eq!(shards.iter().map(|s| s.rows).sum::<u64>(), rows);
        }
    }
}
