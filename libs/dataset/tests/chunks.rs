//! Chunks, plans, merges and snapshots: nothing lost, nothing twice, in row order, whatever the history of a directory.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use textnlp_dataset::chunk::{self, Rows};
use textnlp_dataset::plan::{MergeStep, RowRange, cover, merge_order, missing, missing_within};
use textnlp_dataset::snapshot::{BLOCK, Snapshot, SnapshotReader, SnapshotWriter};
use textnlp_dataset::store::{LocalStore, Store};
use textnlp_dataset::{Outcome, Record, RecordError, Row, RowId, RowMeta, SourceRecord};

fn range(first: u64, end: u64, sample: u32, sample_end: u32) -> RowRange {
    RowRange { records: first..end, samples: sample..sample_end }
}

fn row(id: RowId) -> Row {
    let mut columns = Record::new();
    columns.insert("x".into(), json!(0.1 + 0.2 * id.record as f64));
    let (fields, attributes) = (Record::new(), Record::new());
    Row { id, fields, attributes, columns, outcome: Outcome::Generated, meta: RowMeta::default() }
}

fn rows(range: &RowRange) -> Vec<Row> {
    range.ids().map(row).collect()
}

fn store() -> (tempfile::TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    (directory, store)
}

#[test]
fn a_plan_asks_for_whole_records_and_only_for_what_is_missing() {
    let plan = |target, existing: &[RowRange], max| missing(&target, existing, max);
    assert_eq!(
        plan(range(5, 10, 0, 2), &[], 4),
        Ok(vec![range(5, 7, 0, 2), range(7, 9, 0, 2), range(9, 10, 0, 2)])
    );
    // A raised limit.
    assert_eq!(plan(range(0, 6, 0, 1), &[range(0, 4, 0, 1)], 32), Ok(vec![range(4, 6, 0, 1)]));
    // More samples per record.
    assert_eq!(plan(range(0, 4, 0, 3), &[range(0, 4, 0, 1)], 32), Ok(vec![range(0, 4, 1, 3)]));
    // A hole.
    assert_eq!(
        plan(range(0, 9, 0, 1), &[range(0, 3, 0, 1), range(6, 9, 0, 1)], 32),
        Ok(vec![range(3, 6, 0, 1)])
    );
    // More samples than a chunk has rows.
    assert_eq!(
        plan(range(0, 1, 0, 5), &[], 2),
        Ok(vec![range(0, 1, 0, 2), range(0, 1, 2, 4), range(0, 1, 4, 5)])
    );
    assert_eq!(plan(range(0, 2, 0, 2), &[range(0, 2, 0, 2)], 1), Ok(vec![]));
}

#[test]
fn chunks_that_nobody_asked_for_or_that_are_empty_are_refused() {
    let error =
        |existing: &[RowRange]| missing(&range(0, 10, 0, 2), existing, 32).unwrap_err().to_string();
    assert_eq!(
        error(&[range(8, 12, 0, 2)]),
        "the output holds a chunk of rows (records 8..12, samples 0..2) that this job does not ask for (records 0..10, \
         samples 0..2); limit and samplesPerRecord can be raised but not lowered: use --fresh to start over"
    );
    assert_eq!(error(&[range(2, 2, 0, 1)]), "a chunk has no rows (records 2..2, samples 0..1)");
}

#[test]
fn chunks_of_different_samples_are_merged_record_by_record() {
    let step = |records, chunks: &[usize]| MergeStep { records, chunks: chunks.to_vec() };
    let chunks = [range(2, 5, 1, 2), range(0, 3, 0, 1), range(3, 5, 0, 1)];
    assert_eq!(
        merge_order(&chunks),
        Ok(vec![step(0..2, &[1]), step(2..3, &[1, 0]), step(3..5, &[2, 0])])
    );
}

#[test]
fn what_is_missing_of_some_records_does_not_reach_into_others() {
    let existing = [range(0, 4, 0, 2), range(9, 12, 0, 2)];
    assert_eq!(
        missing_within(&range(0, 20, 0, 2), &existing, &(3..10), 4),
        Ok(vec![range(4, 6, 0, 2), range(6, 8, 0, 2), range(8, 9, 0, 2)])
    );
    assert_eq!(missing_within(&range(0, 20, 0, 2), &existing, &(0..3), 4), Ok(vec![]));
}

#[test]
fn rows_that_two_chunks_hold_are_read_once() {
    let (_directory, store) = store();
    // Two pods had the same shard: one was stopped in the middle of a chunk that the other made whole.
    let chunks = [range(0, 4, 0, 2), range(0, 2, 0, 2), range(2, 3, 0, 1), range(3, 6, 0, 3)];
    for chunk in &chunks {
        chunk::write(&store, "h", chunk, &rows(chunk)).unwrap();
    }
    let target = range(0, 6, 0, 3);
    let rest = missing(&target, &chunk::list(&store).unwrap(), 32).unwrap();
    assert_eq!(rest, [range(0, 3, 2, 3)]);
    chunk::write(&store, "h", &rest[0], &rows(&rest[0])).unwrap();
    let found: Vec<Row> = Rows::new(&store, "h", chunk::list(&store).unwrap())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(found, rows(&target));
}

#[test]
fn a_chunk_has_one_name_and_only_that() {
    let path = chunk::path(&range(32, 64, 0, 2));
    assert_eq!(path, "chunks/rows/000000000032-000000000064-s000000-000002.jsonl");
    assert_eq!(chunk::parse_path(&path), Some(range(32, 64, 0, 2)));
    for path in [
        "chunks/rows/32-64-s0-2.jsonl",
        "chunks/rows/000000000032-000000000032-s000000-000002.jsonl",
        "chunks/rows/000000000064-000000000032-s000000-000002.jsonl",
        "chunks/rows/000000000032-000000000064-s000000-000002.jsonl.tmp",
        "chunks/rows/+00000000032-000000000064-s000000-000002.jsonl",
        "chunks/source/000000.jsonl",
    ] {
        assert_eq!(chunk::parse_path(path), None, "{path}");
    }
}

#[test]
fn a_chunk_that_was_cut_changed_or_made_by_another_run_is_refused() {
    let (_directory, store) = store();
    let chunk = range(0, 2, 0, 2);
    chunk::write(&store, "hash", &chunk, &rows(&chunk)).unwrap();
    assert_eq!(chunk::read(&store, "hash", &chunk).unwrap(), rows(&chunk));
    assert_eq!(chunk::list(&store).unwrap(), std::slice::from_ref(&chunk));
    let message = chunk::read(&store, "other", &chunk).unwrap_err().to_string();
    assert!(
        message.contains("was made under generation hash hash, this run has other; use --fresh"),
        "{message}"
    );

    let path = chunk::path(&chunk);
    let good = store.get(&path).unwrap();
    for length in (0..good.len()).step_by(29) {
        store.put(&path, &good[..length]).unwrap();
        let message = chunk::read(&store, "hash", &chunk).unwrap_err().to_string();
        assert!(message.contains("is no chunk of rows"), "{length}: {message}");
    }
    let changed = String::from_utf8(good.clone()).unwrap().replace("\"0-1\"", "\"0-3\"");
    store.put(&path, changed.as_bytes()).unwrap();
    assert!(
        chunk::read(&store, "hash", &chunk)
            .unwrap_err()
            .to_string()
            .contains("its digest does not match")
    );
    // The right contents under a wrong name.
    let wrong = range(1, 3, 0, 2);
    store.put(&chunk::path(&wrong), &good).unwrap();
    let message = chunk::read(&store, "hash", &wrong).unwrap_err().to_string();
    assert!(
        message.contains("row 0-0 stands where row 1-0 of the chunk was expected"),
        "{message}"
    );
    store.put("chunks/rows/notes.txt", b"").unwrap();
    assert!(chunk::list(&store).unwrap_err().to_string().contains("its name is not"));
    assert!(chunk::write(&store, "hash", &chunk, &rows(&chunk)[1..]).is_err());
}

proptest! {
    /// A directory's history: targets that grow in either direction, each worked on in chunks of some size, and
    /// interrupted at some row of some chunk.
    #[test]
    fn any_history_covers_each_row_exactly_once_and_merges_in_row_order(
        first in 0u64..50,
        steps in proptest::collection::vec((1u64..20, 1u32..5, 1u64..12, 0usize..8, any::<u64>()), 1..6),
    ) {
        let (mut end, mut samples) = (first, 0);
        let mut chunks: Vec<RowRange> = Vec::new();
        for (records, more, max, finished, mask) in steps {
            end = end.max(first + records);
            samples = samples.max(more);
            let plan = missing(&range(first, end, 0, samples), &chunks, max).unwrap();
            for (index, chunk) in plan.into_iter().enumerate() {
                prop_assert!(chunk.rows() <= max && chunk.rows() > 0);
                if index < finished {
                    chunks.push(chunk);
                } else if index == finished {
                    // Interrupted: any subset of the chunk's rows is kept.
                    let kept: Vec<RowId> = chunk.ids().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, id)| id).collect();
                    chunks.extend(cover(&kept));
                }
            }
        }
        let target = range(first, end, 0, samples);
        let rest = missing(&target, &chunks, 32).unwrap();
        let order: Vec<(u64, u32)> = rest.iter().map(|c| (c.records.start, c.samples.start)).collect();
        prop_assert!(order.is_sorted());
        chunks.extend(rest);
        let merged: Vec<RowId> = merge_order(&chunks).unwrap().into_iter()
            .flat_map(|step| step.records.clone().flat_map(move |record| step.chunks.clone().into_iter().map(move |c| (record, c))))
            .flat_map(|(record, c)| chunks[c].samples.clone().map(move |sample| RowId { record, sample }))
            .collect();
        prop_assert_eq!(merged, target.ids().collect::<Vec<_>>());
        prop_assert_eq!(missing(&target, &chunks, 32), Ok(vec![]));
    }

    #[test]
    fn a_cover_holds_exactly_the_rows_it_was_asked_for(ids in proptest::collection::btree_set((0u64..6, 0u32..6), 0..20)) {
        let ids: BTreeSet<RowId> = ids.into_iter().map(|(record, sample)| RowId { record, sample }).collect();
        let covered: Vec<RowId> = cover(&ids.iter().copied().collect::<Vec<_>>()).iter().flat_map(RowRange::ids).collect();
        prop_assert_eq!(covered.len(), ids.len());
        prop_assert_eq!(covered.into_iter().collect::<BTreeSet<_>>(), ids);
    }
}

proptest! {
    // Each case writes files.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Pods of one shard that know nothing of each other: chunks of any place and size.
    #[test]
    fn chunks_that_overlap_in_any_way_give_each_row_once(
        chunks in proptest::collection::vec((0u64..12, 1u64..6, 0u32..6, 1u32..4), 0..12),
    ) {
        let chunks: Vec<RowRange> = chunks
            .into_iter()
            .map(|(record, records, sample, samples)| range(record, record + records, sample, sample + samples))
            .collect();
        let (_directory, store) = store();
        for chunk in &chunks {
            chunk::write(&store, "h", chunk, &rows(chunk)).unwrap();
        }
        let held: BTreeSet<RowId> = chunks.iter().flat_map(RowRange::ids).collect();
        let read = Rows::new(&store, "h", chunk::list(&store).unwrap()).unwrap();
        let read: Vec<RowId> = read.map(|row| row.unwrap().id).collect();
        prop_assert_eq!(read, held.iter().copied().collect::<Vec<_>>());
        let target = range(0, 20, 0, 10);
        let rest: Vec<RowId> = missing(&target, &chunks, 7).unwrap().iter().flat_map(RowRange::ids).collect();
        prop_assert_eq!(rest.len() + held.len(), target.rows() as usize);
        prop_assert!(rest.iter().all(|id| !held.contains(id)));
    }
}

#[test]
fn rows_are_streamed_in_row_order_across_chunks() {
    let (_directory, store) = store();
    let chunks = [range(0, 3, 1, 3), range(0, 2, 0, 1), range(2, 5, 0, 1), range(3, 5, 1, 3)];
    for chunk in &chunks {
        chunk::write(&store, "h", chunk, &rows(chunk)).unwrap();
    }
    let found: Vec<Row> = Rows::new(&store, "h", chunk::list(&store).unwrap())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(found, rows(&range(0, 5, 0, 3)));
    // A chunk that is gone is an error, and then nothing more.
    store.delete(&chunk::path(&chunks[2])).unwrap();
    let mut rows = Rows::new(&store, "h", chunks.to_vec()).unwrap();
    assert_eq!(rows.by_ref().take_while(Result::is_ok).count(), 6);
    assert!(rows.next().is_none());
}

fn source(range: std::ops::Range<u64>, text: &str) -> Vec<SourceRecord> {
    let record = |index: u64| {
        let record = Record::from_iter([("text".to_owned(), json!(format!("{text}{index}")))]);
        let message = "half of a surrogate pair".to_owned();
        SourceRecord {
            index,
            record: if index == 7 { Err(RecordError { message, record }) } else { Ok(record) },
        }
    };
    range.map(record).collect()
}

fn snapshot(store: &LocalStore, records: &[SourceRecord]) -> Result<Snapshot, String> {
    let previous = Snapshot::load(store).unwrap();
    let mut writer =
        SnapshotWriter::new(store, records[0].index, previous).map_err(|e| e.to_string())?;
    for record in records {
        writer.push(record).map_err(|e| e.to_string())?;
    }
    writer.finish().map_err(|e| e.to_string())
}

#[test]
fn a_snapshot_gives_back_any_record_and_is_extended_by_more() {
    let (_directory, store) = store();
    assert_eq!(Snapshot::load(&store).unwrap(), None);
    let records = source(5..5 + 2 * BLOCK + 10, "r");
    let first = snapshot(&store, &records[..1500]).unwrap();
    assert_eq!((first.range(), &first.fields[..]), (5..1505, &["text".to_owned()][..]));
    assert_eq!(snapshot(&store, &records[..1500]).unwrap(), first);
    let second = snapshot(&store, &records).unwrap();
    assert_eq!(Snapshot::load(&store).unwrap().as_ref(), Some(&second));
    assert_ne!(first.digest, second.digest);
    let reader = SnapshotReader::new(&store, second);
    for record in
        [&records[0], &records[2], &records[999], &records[1000], &records[2009], &records[1]]
    {
        assert_eq!(&reader.get(record.index).unwrap(), record);
    }
    assert!(reader.get(4).is_err());
    assert_eq!(
        reader.get(2015).unwrap_err().to_string(),
        "record 2015 is not in the snapshot, which holds 5..2015"
    );
}

#[test]
fn a_source_that_changed_shrank_or_begins_elsewhere_is_refused_and_nothing_is_overwritten() {
    let (_directory, store) = store();
    let records = source(0..1200, "r");
    let kept = snapshot(&store, &records).unwrap();
    let mut changed = source(0..1300, "r");
    changed[1100].record = Ok(Record::new());
    let message = snapshot(&store, &changed).unwrap_err();
    assert!(
        message.starts_with("the first 1200 records of the source changed since the run began"),
        "{message}"
    );
    let message = snapshot(&store, &records[..1100]).unwrap_err();
    assert!(
        message.starts_with("the source has 1100 records now, the run began with 1200"),
        "{message}"
    );
    let message = snapshot(&store, &records[1..]).unwrap_err();
    assert!(message.starts_with("the run began at offset 0 of the source, not 1"), "{message}");
    let reader = SnapshotReader::new(&store, kept.clone());
    assert_eq!(Snapshot::load(&store).unwrap(), Some(kept));
    assert!(records.iter().all(|record| &reader.get(record.index).unwrap() == record));
}

#[test]
fn a_damaged_snapshot_is_an_error() {
    let (_directory, store) = store();
    let kept = snapshot(&store, &source(0..10, "r")).unwrap();
    let block = store.get("chunks/source/000000.jsonl").unwrap();
    store.put("chunks/source/000000.jsonl", &block[..block.len() / 2]).unwrap();
    let error = SnapshotReader::new(&store, kept).get(0).unwrap_err().to_string();
    assert!(error.contains("`chunks/source/000000.jsonl` is damaged"), "{error}");
    store.put("chunks/source/snapshot.json", b"{}").unwrap();
    assert!(Snapshot::load(&store).unwrap_err().to_string().contains("snapshot.json` is damaged"));
}
