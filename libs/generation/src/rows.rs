//! The second step: the rows that are missing are made, many at once, and kept as chunks that appear whole.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use textnlp_dataset::chunk;
use textnlp_dataset::plan::{self, RowRange};
use textnlp_dataset::snapshot::SnapshotReader;
use textnlp_dataset::store::Store;
use textnlp_dataset::{Outcome, Row, RowId, SourceRecord};
use textnlp_telemetry::trace::TraceContext;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::completer::Models;
use crate::error::Error;
use crate::job::Job;
use crate::prepare::Prepared;
use crate::progress::{Cancel, Concurrency, Progress};
use crate::row::{RowMaker, RowTraces};
use crate::shards::Shard;

/// Most rows of a chunk: what a killed run can lose of one, against the number of files.
const CHUNK_ROWS: u64 = 32;

/// How rows are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows in flight at once.
    pub concurrency: Concurrency,
    /// Asks to stop early.
    pub cancel: Cancel,
    /// How long rows that are running may go on after that; none: until they are finished.
    pub grace: Option<Duration>,
    /// Only the rows of this part of the job.
    pub shard: Option<Shard>,
    /// What the rows are part of.
    pub trace: TraceContext,
}

impl Options {
    /// The whole job; what is running when it is asked to stop is finished.
    pub fn new(concurrency: impl Into<Concurrency>, cancel: Cancel) -> Self {
        Self {
            concurrency: concurrency.into(),
            cancel,
            grace: None,
            shard: None,
            trace: TraceContext::default(),
        }
    }
}

/// The row ranges of a job that no chunk holds yet.
pub fn missing(prepared: &Prepared, store: &dyn Store) -> Result<Vec<RowRange>, Error> {
    Ok(plan::missing(&prepared.target, &chunk::list(store)?, CHUNK_ROWS)?)
}

/// The same, of these records only.
pub fn missing_within(
    prepared: &Prepared,
    store: &dyn Store,
    records: &Range<u64>,
) -> Result<Vec<RowRange>, Error> {
    Ok(plan::missing_within(&prepared.target, &chunk::list(store)?, records, CHUNK_ROWS)?)
}

/// Makes every missing row of the job, or of a shard. Ends with [`Error::Interrupted`] when cancelled, or with the first
/// error that is no row's; in both cases the rows that were finished are kept.
pub async fn generate(
    job: Arc<Job>,
    models: Models,
    prepared: &Prepared,
    store: &dyn Store,
    progress: Arc<Progress>,
    options: &Options,
) -> Result<(), Error> {
    let (chunks, rows) = match &options.shard {
        Some(shard) => (missing_within(prepared, store, &shard.records())?, shard.rows),
        None => (missing(prepared, store)?, prepared.rows()),
    };
    let left: u64 = chunks.iter().map(RowRange::rows).sum();
    Progress::add(&progress.rows, rows);
    Progress::add(&progress.kept, rows.saturating_sub(left));
    progress.expect(job.models());
    let traces = RowTraces::new(options.trace.clone(), prepared.rows());
    let maker = Arc::new(RowMaker { job, models, progress, traces });
    let mut run = Run {
        feed: Feed::new(SnapshotReader::new(store, prepared.snapshot.clone()), chunks),
        store,
        recipe_hash: &prepared.recipe_hash,
        open: BTreeMap::new(),
        running: JoinSet::new(),
        maker,
    };
    let ended = run.drive(options).await;
    // Rows of chunks that did not get whole are kept too, in smaller chunks.
    run.flush()?;
    ended
}

/// Waits for a moment; for ever where there is none.
async fn passed(deadline: Option<&mut Pin<Box<Sleep>>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => std::future::pending().await,
    }
}

/// A chunk that is being filled.
struct Open {
    range: RowRange,
    rows: BTreeMap<RowId, Row>,
    expected: u64,
}

struct Run<'a> {
    feed: Feed<'a>,
    store: &'a dyn Store,
    recipe_hash: &'a str,
    open: BTreeMap<usize, Open>,
    running: JoinSet<(usize, Result<Row, Error>)>,
    maker: Arc<RowMaker>,
}

impl Run<'_> {
    async fn drive(&mut self, options: &Options) -> Result<(), Error> {
        let mut failed = None;
        let mut limit = options.concurrency.changes();
        // When running rows are given up; known once the run is asked to stop.
        let mut deadline: Option<Pin<Box<Sleep>>> = None;
        let mut stopping = false;
        loop {
            if !stopping && (failed.is_some() || options.cancel.is_cancelled()) {
                stopping = true;
                deadline = options.grace.map(|grace| Box::pin(tokio::time::sleep(grace)));
            }
            let rows = *limit.borrow_and_update();
            while !stopping && self.running.len() < rows {
                let Some((chunk, range, record, sample)) = self.feed.next()? else { break };
                self.begin(chunk, range, record, sample);
            }
            tokio::select! {
                done = self.running.join_next() => {
                    let Some(done) = done else { break };
                    let (chunk, row) =
                        done.map_err(|e| Error::Internal(format!("a row's task: {e}")))?;
                    match row {
                        Ok(row) => self.keep(chunk, row)?,
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                _ = limit.changed(), if !stopping => {}
                () = options.cancel.cancelled(), if !stopping => {}
                () = passed(deadline.as_mut()) => {
                    self.running.shutdown().await;
                    break;
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None if options.cancel.is_cancelled() && !self.is_whole() => Err(Error::Interrupted),
            None => Ok(()),
        }
    }

    /// Whether every row was made and kept.
    fn is_whole(&self) -> bool {
        self.feed.is_done() && self.open.is_empty()
    }

    fn begin(&mut self, chunk: usize, range: RowRange, record: Arc<SourceRecord>, sample: u32) {
        let expected = range.rows();
        self.open.entry(chunk).or_insert(Open { range, rows: BTreeMap::new(), expected });
        let maker = self.maker.clone();
        self.running.spawn(async move { (chunk, maker.make(&record, sample).await) });
    }

    fn keep(&mut self, chunk: usize, row: Row) -> Result<(), Error> {
        let progress = &self.maker.progress;
        Progress::add(&progress.finished, 1);
        if row.outcome != Outcome::Generated {
            Progress::add(&progress.failed, 1);
        }
        let Some(open) = self.open.get_mut(&chunk) else {
            return Err(Error::Internal(format!("row {} belongs to no open chunk", row.id)));
        };
        open.rows.insert(row.id, row);
        if open.rows.len() as u64 == open.expected
            && let Some(whole) = self.open.remove(&chunk)
        {
            let rows: Vec<Row> = whole.rows.into_values().collect();
            chunk::write(self.store, self.recipe_hash, &whole.range, &rows)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        for (_, mut open) in std::mem::take(&mut self.open) {
            let finished: Vec<RowId> = open.rows.keys().copied().collect();
            for range in plan::cover(&finished) {
                // Samples of a record must be there from the first on: the plan of the next run counts on it.
                if range.samples.start != open.range.samples.start {
                    continue;
                }
                let rows: Vec<Row> = range.ids().filter_map(|id| open.rows.remove(&id)).collect();
                chunk::write(self.store, self.recipe_hash, &range, &rows)?;
            }
        }
        Ok(())
    }
}

/// Hands out the rows of the missing chunks, in order, and their records from the snapshot.
struct Feed<'a> {
    snapshot: SnapshotReader<'a>,
    chunks: VecDeque<(usize, RowRange)>,
    rows: VecDeque<RowId>,
    record: Option<Arc<SourceRecord>>,
}

impl<'a> Feed<'a> {
    fn new(snapshot: SnapshotReader<'a>, chunks: Vec<RowRange>) -> Self {
        let rows = chunks.first().map(|range| range.ids().collect()).unwrap_or_default();
        Self { snapshot, chunks: chunks.into_iter().enumerate().collect(), rows, record: None }
    }

    fn is_done(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The next row: number and range of its chunk, its record, and which sample.
    #[allow(clippy::type_complexity)]
    fn next(&mut self) -> Result<Option<(usize, RowRange, Arc<SourceRecord>, u32)>, Error> {
        let Some((number, range)) = self.chunks.front().cloned() else { return Ok(None) };
        let Some(id) = self.rows.pop_front() else { return Ok(None) };
        if self.rows.is_empty() {
            self.chunks.pop_front();
            self.rows = self.chunks.front().map(|(_, r)| r.ids().collect()).unwrap_or_default();
        }
        let record = match &self.record {
            Some(record) if record.index == id.record => record.clone(),
            _ => Arc::new(self.snapshot.get(id.record)?),
        };
        self.record = Some(record.clone());
        Ok(Some((number, range, record, id.sample)))
    }
}
