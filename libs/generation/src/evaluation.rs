//! Scores texts that are there already, of a file or a request: on all cores, in bounded memory, and with the same result whatever the
//! number of threads.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use serde_json::{Map, Value, json};
use textnlp_dataset::manifest::RowCounts;
use textnlp_dataset::source::SourceError;
use textnlp_dataset::{Record, SourceRecord};
use textnlp_validation::{Gate, GivenValues, Range};

use crate::error::Error;
use crate::report::{Failures, GateReport, NamedDistribution, Rejection, Score};
use crate::scoring::{Judgement, Scored, Scorer, Scoring};

/// Records that one thread takes at once, unless their texts are long.
const BATCH: usize = 256;

/// Bytes of text from which on a batch is full.
const BATCH_BYTES: usize = 1 << 20;

/// Batches in flight for each thread.
const AHEAD: usize = 4;

/// Rows that the report shows.
const SAMPLES: usize = 3;

/// Bytes of a shown field.
const SHOWN: usize = 4_000;

/// A record to be scored.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The record.
    pub record: SourceRecord,
    /// The values that other programs gave it, one for each [`Given`]; or why there are none.
    pub given: Result<Vec<f64>, String>,
}

/// A metric whose row values come from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// What its mean must be.
    pub gate: Option<Range>,
}

/// What is measured and how.
pub struct Evaluation<'a> {
    /// The metrics.
    pub scoring: &'a Scoring,
    /// Those of other programs.
    pub given: &'a [Given],
    /// The column that the report names beside them.
    pub column: &'a str,
    /// Threads that score.
    pub threads: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// How many records there were, were accepted, rejected, and could not be scored.
    pub rows: RowCounts,
    /// How many each filter rejected.
    pub rejections: Vec<Rejection>,
    /// Why some could not be.
    pub failures: Vec<Failures>,
    /// The dataset's scores.
    pub scores: Vec<Score>,
    /// The distributions of row values.
    pub distributions: Vec<NamedDistribution>,
    /// The first rows.
    pub samples: Vec<Record>,
}

/// One thread's share of the dataset.
struct Share<'a> {
    scorer: Scorer<'a>,
    given: Vec<GivenValues>,
    accepted: u64,
    /// By the filter.
    rejected: BTreeMap<String, u64>,
    /// By the step at which they failed: how many rows, and index and message of the first.
    failed: BTreeMap<String, (u64, u64, String)>,
    /// The first rows, by index.
    samples: BTreeMap<u64, Record>,
}

/// Entries, each with a new id where its own has occurred before.
type Batch = (u64, Vec<(Entry, Option<String>)>);

/// A record under an id that no other has.
struct Named<'a> {
    record: &'a SourceRecord,
    /// In place of the record's own.
    id: Option<&'a str>,
}

impl Scored for Named<'_> {
    fn id(&self) -> Cow<'_, str> {
        self.id.map_or_else(|| self.record.id(), Cow::Borrowed)
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.record.field(name)
    }

    fn tokens(&self, column: &str) -> Option<u64> {
        self.record.tokens(column)
    }

    fn finish_reason(&self, column: &str) -> Option<&str> {
        self.record.finish_reason(column)
    }

    fn flat(&self) -> Map<String, Value> {
        self.record.flat()
    }
}

impl Evaluation<'_> {
    /// Scores all entries. Each one's scores are written to `rows` as a line of JSON, in their order: `{"id", "scores": {metric:
    /// value}}`, with `"rejectedBy"` where a filter did, or `{"id", "error"}` where it could not be scored.
    ///
    /// # Errors
    /// What stopped reading, or writing.
    pub fn run(
        &self,
        entries: impl Iterator<Item = Result<Entry, SourceError>>,
        rows: Option<&mut (dyn Write + Send)>,
    ) -> Result<Evaluated, Error> {
        let threads = self.threads.max(1);
        let lines = rows.is_some();
        let (work, batches) = sync_channel::<Batch>(threads);
        let (permits, permitted) = sync_channel::<()>(threads * AHEAD);
        let (done, finished) = channel::<(u64, Vec<u8>)>();
        let batches = Mutex::new(batches);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let (batches, done) = (&batches, done.clone());
                    scope.spawn(move || self.work(batches, &done, lines))
                })
                .collect();
            drop(done);
            (0..threads * AHEAD).for_each(|_| _ = permits.try_send(()));
            let writer = scope.spawn(move || write_in_order(&finished, &permits, rows));
            let read = feed(entries, &work, &permitted);
            drop(work);
            let shares: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            let written = writer.join();
            read?;
            match written {
                Ok(written) => written?,
                Err(_) => return Err(Error::Internal("writing the rows ended early".to_owned())),
            }
            let mut whole = self.share();
            for share in shares {
                let share = share.ok().flatten();
                let share = share.ok_or_else(|| Error::Internal("a metric panicked".to_owned()))?;
                whole.merge(share)?;
            }
            Ok(self.conclude(whole))
        })
    }

    fn share(&self) -> Share<'_> {
        Share {
            scorer: self.scoring.scorer(),
            given: vec![GivenValues::default(); self.given.len()],
            accepted: 0,
            rejected: BTreeMap::new(),
            failed: BTreeMap::new(),
            samples: BTreeMap::new(),
        }
    }

    /// Scores batches until there are no more; `None` if a metric panicked, which no text should bring about.
    fn work(
        &self,
        batches: &Mutex<Receiver<Batch>>,
        done: &Sender<(u64, Vec<u8>)>,
        lines: bool,
    ) -> Option<Share<'_>> {
        let mut share = Some(self.share());
        loop {
            let next = batches.lock().map(|batches| batches.recv());
            let Ok(Ok((number, entries))) = next else { return share };
            let mut out = Vec::new();
            if let Some(mut of_thread) = share.take() {
                let scored = catch_unwind(AssertUnwindSafe(|| {
                    for (entry, id) in &entries {
                        let judgement = self.judge(entry, id.as_deref(), &mut of_thread);
                        if lines {
                            out.extend_from_slice(line(entry, &judgement).to_string().as_bytes());
                            out.push(b'\n');
                        }
                        of_thread.count(entry, judgement);
                    }
                    of_thread
                }));
                share = scored.ok();
            }
            // Batches go on being taken after a panic, so that nobody waits for this thread.
            let _ = done.send((number, out));
        }
    }

    /// What becomes of an entry; its scores are in the share's sums.
    fn judge(&self, entry: &Entry, id: Option<&str>, share: &mut Share<'_>) -> Judgement {
        let record = Named { record: &entry.record, id };
        let given = match (&entry.record.record, &entry.given) {
            (Err(error), _) => return failed(error.message.clone()),
            (Ok(_), Err(message)) => return failed(message.clone()),
            (Ok(_), Ok(given)) => given,
        };
        let mut scores = match self.scoring.decide(&record) {
            Judgement::Accepted { scores } => scores,
            other => return other,
        };
        if let Err(error) = share.scorer.add(&record) {
            return failed(error.to_string());
        }
        for ((metric, value), sum) in self.given.iter().zip(given).zip(&mut share.given) {
            sum.add(*value);
            scores.insert(metric.name.clone(), json!(value));
        }
        Judgement::Accepted { scores }
    }

    fn conclude(&self, whole: Share<'_>) -> Evaluated {
        let rejected = whole.rejected.values().sum::<u64>();
        let failed = whole.failed.values().map(|(rows, ..)| rows).sum::<u64>();
        let rows = RowCounts {
            requested: whole.accepted + rejected + failed,
            accepted: whole.accepted,
            rejected,
            failed,
        };
        let rejection = |filter: &str| Rejection {
            filter: filter.to_owned(),
            rows: whole.rejected.get(filter).copied().unwrap_or(0),
        };
        let rejections = self.scoring.rejecters().map(rejection).collect();
        let (mut scores, mut distributions) = whole.scorer.finish(&rows);
        for (metric, values) in self.given.iter().zip(&whole.given) {
            let signature = format!("{}|given", metric.name);
            let found = values.score(&signature);
            let column = Some(self.column.to_owned());
            scores.push(Score {
                metric: metric.name.clone(),
                column: column.clone(),
                value: found.as_ref().map(|found| found.value),
                ci: None,
                gate: metric
                    .gate
                    .map(|range| GateReport::new(&Gate::on_given(range), None, found.as_ref())),
                signature,
            });
            if let Some(distribution) = found.and_then(|found| found.distribution) {
                let metric = metric.name.clone();
                distributions.push(NamedDistribution { metric, column, distribution });
            }
        }
        let failures = whole.failed.into_iter();
        let failures = failures.map(|(stage, (rows, _, first))| Failures { stage, rows, first });
        Evaluated {
            rows,
            rejections,
            failures: failures.collect(),
            scores,
            distributions,
            samples: whole.samples.into_values().collect(),
        }
    }
}

impl Share<'_> {
    fn merge(&mut self, other: Share<'_>) -> Result<(), Error> {
        self.scorer.merge(other.scorer).map_err(|error| Error::Internal(error.to_string()))?;
        for (values, more) in self.given.iter_mut().zip(other.given) {
            values.merge(more);
        }
        self.accepted += other.accepted;
        for (filter, rows) in other.rejected {
            *self.rejected.entry(filter).or_default() += rows;
        }
        for (stage, failures) in other.failed {
            self.fail(stage, failures);
        }
        self.samples.extend(other.samples);
        self.trim_samples();
        Ok(())
    }

    fn count(&mut self, entry: &Entry, judgement: Judgement) {
        let record = &entry.record;
        match judgement {
            Judgement::Accepted { .. } => {
                self.accepted += 1;
                if self.samples.len() < SAMPLES
                    || self.samples.last_key_value().is_some_and(|(last, _)| record.index < *last)
                {
                    self.samples.insert(record.index, shown(record.fields()));
                    self.trim_samples();
                }
            }
            Judgement::Rejected { filter, .. } => *self.rejected.entry(filter).or_default() += 1,
            Judgement::Failed { stage, message } => {
                self.fail(stage, (1, record.index, format!("row {}: {message}", record.id())));
            }
        }
    }

    fn fail(&mut self, stage: String, (rows, index, first): (u64, u64, String)) {
        let known = self.failed.entry(stage).or_insert((0, u64::MAX, String::new()));
        known.0 += rows;
        if index < known.1 {
            (known.1, known.2) = (index, first);
        }
    }

    fn trim_samples(&mut self) {
        while self.samples.len() > SAMPLES {
            self.samples.pop_last();
        }
    }
}

/// What is written of an entry.
fn line(entry: &Entry, judgement: &Judgement) -> Value {
    let id = entry.record.id();
    match judgement {
        Judgement::Accepted { scores } => json!({"id": id, "scores": scores}),
        Judgement::Rejected { filter, scores } => {
            json!({"id": id, "scores": scores, "rejectedBy": filter})
        }
        Judgement::Failed { message, .. } => json!({"id": id, "error": message}),
    }
}

fn failed(message: String) -> Judgement {
    Judgement::Failed { stage: "metric".to_owned(), message }
}

/// Reads, and hands out full batches as fast as they are done with.
fn feed(
    entries: impl Iterator<Item = Result<Entry, SourceError>>,
    work: &SyncSender<Batch>,
    permitted: &Receiver<()>,
) -> Result<(), Error> {
    let (mut number, mut batch, mut bytes) = (0, Vec::new(), 0);
    let mut ids = HashSet::new();
    // If nobody takes batches or gives permits any more, whoever stopped says why.
    let mut send = |batch| {
        let sent = permitted.recv().is_ok() && work.send((number, batch)).is_ok();
        number += 1;
        sent
    };
    for entry in entries {
        let entry = entry.map_err(Error::Source)?;
        bytes += entry.record.fields().values().map(size).sum::<usize>();
        // Samples and resamples are drawn by ids: rows of several datasets may have the same.
        let id = entry.record.id();
        let new_id = (!ids.insert(hash(&id))).then(|| format!("{id}#{}", entry.record.index));
        drop(id);
        batch.push((entry, new_id));
        if batch.len() == BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            if !send(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        send(batch);
    }
    Ok(())
}

/// 64 bits of an id. Of two ids that meet by chance one gets a new name.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// About how many bytes a value takes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(values) => 32 + values.iter().map(size).sum::<usize>(),
        Value::Object(fields) => {
            32 + fields.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>()
        }
        _ => 32,
    }
}

/// Writes the lines of batches in the order of the batches, and permits another batch for each.
fn write_in_order(
    finished: &Receiver<(u64, Vec<u8>)>,
    permits: &SyncSender<()>,
    mut rows: Option<&mut (dyn Write + Send)>,
) -> Result<(), Error> {
    let failed = |error| Error::Format(textnlp_dataset::format::FormatError::Io(error));
    let (mut next, mut early) = (0, BTreeMap::new());
    for (number, lines) in finished {
        early.insert(number, lines);
        while let Some(lines) = early.remove(&next) {
            if let Some(rows) = &mut rows {
                rows.write_all(&lines).map_err(failed)?;
            }
            next += 1;
            let _ = permits.try_send(());
        }
    }
    match rows {
        Some(rows) => rows.flush().map_err(failed),
        None => Ok(()),
    }
}

/// A record as a report shows it.
fn shown(fields: &Record) -> Record {
    let cut = |value: &Value| match value.as_str() {
        Some(text) if text.len() > SHOWN => {
            let end = text.floor_char_boundary(SHOWN);
            Value::from(format!("{}…", text.get(..end).unwrap_or_default()))
        }
        _ => value.clone(),
    };
    let fields = fields.iter().filter(|(name, _)| *name != "_textnlp");
    fields.map(|(name, value)| (name.clone(), cut(value))).collect()
}
