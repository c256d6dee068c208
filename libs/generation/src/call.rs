//! A job whose records and rows are a program's own: nothing is read or kept, the rows come in their order, each as soon as it and
//! those before it are made and judged.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use textnlp_dataset::manifest::RowCounts;
use textnlp_dataset::{Record, Row, SourceRecord};
use textnlp_telemetry::trace::TraceContext;

use crate::completer::Models;
use crate::error::Error;
use crate::finalize::{Counted, Judge, Tally};
use crate::job::Job;
use crate::prepare::{FieldNames, Source};
use crate::progress::Progress;
use crate::report::{Failures, ModelReport, NamedDistribution, Rejection, Score, Usage, passes};
use crate::row::{RowMaker, RowTraces};

/// Rows that are being made.
pub struct Call<'a> {
    rows: Pin<Box<dyn Stream<Item = Result<Row, Error>> + Send + 'a>>,
    judge: Judge<'a>,
    tally: Tally<'a>,
    model: Option<ModelReport>,
    records: u64,
}

/// A finished row, flat, as the files of a dataset have it.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    /// It would be in the dataset.
    Accepted(Record),
    /// A filter rejected it; `_textnlp` says which.
    Rejected(Record),
    /// It could not be made or scored; `_textnlp` says why.
    Failed(Record),
}

/// What the rows came to: a report without what belongs to files.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Records.
    pub records: u64,
    /// How many rows ended how; they balance.
    pub rows: RowCounts,
    /// Rows that each filter rejected; the removal of duplicates counts as the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// Rows that failed, by the step at which they did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failures>,
    /// Metrics over the accepted rows, gates among them.
    pub scores: Vec<Score>,
    /// Spread of the metrics that have a value for each row.
    pub distributions: Vec<NamedDistribution>,
    /// Whether there are rows, and all gates passed.
    pub passed: bool,
    /// Dataset digest: that of the dataset which the same job gives anywhere.
    pub digest: String,
    /// The model of the generated columns, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    /// What was asked of it.
    pub usage: Usage,
}

impl<'a> Call<'a> {
    /// Checks the records against the job. Nothing is made until [`next`](Self::next) is called; `width` rows are made at once then,
    /// inside `trace`.
    ///
    /// # Errors
    /// [`Error::Spec`] and [`Error::Source`]: the call can never work.
    pub fn new(
        job: &'a Arc<Job>,
        models: &Models,
        source: &Source,
        width: usize,
        trace: TraceContext,
    ) -> Result<Self, Error> {
        let records = records(job, source, usize::MAX)?;
        let (count, total) = (records.len() as u64, rows_of(job, &records));
        let traces = RowTraces::new(trace, total);
        let rows = rows(job, models, records, (width, usize::MAX), traces);
        Ok(Self {
            rows: Box::pin(rows),
            judge: Judge::new(job),
            tally: Tally::new(job, total),
            model: ModelReport::of(job, models),
            records: count,
        })
    }

    /// The next row; none after the last one. An error ends the call: the model has stopped working.
    pub async fn next(&mut self) -> Result<Option<Made>, Error> {
        let Some(row) = self.rows.next().await else { return Ok(None) };
        let (row, judgement) = self.judge.row(row?);
        Ok(Some(match self.tally.add(row, judgement)? {
            Counted::Accepted(flat, _) => Made::Accepted(flat),
            Counted::Rejected(flat) => Made::Rejected(flat),
            Counted::Failed(flat) => Made::Failed(flat),
        }))
    }

    /// What the rows came to, once there are no more.
    pub fn finish(self) -> Summary {
        let rows = self.tally.finish();
        Summary {
            records: self.records,
            passed: passes(&rows.scores, &rows.counts),
            rows: rows.counts,
            rejections: rows.rejections,
            failures: rows.failures,
            scores: rows.scores,
            distributions: rows.distributions,
            digest: rows.digest,
            model: self.model,
            usage: rows.usage,
        }
    }
}

/// The first `keep` records, after all of them were checked as a run would.
pub(crate) fn records(
    job: &Job,
    source: &Source,
    keep: usize,
) -> Result<Vec<Arc<SourceRecord>>, Error> {
    let mut fields = FieldNames::default();
    let mut records = Vec::new();
    for record in source.records(&job.spec.source)? {
        let record = record?;
        fields.add(&record);
        if records.len() < keep {
            records.push(Arc::new(record));
        }
    }
    job.check_fields(&fields.into_names())?;
    Ok(records)
}

/// Number of the rows of records.
fn rows_of(job: &Job, records: &[Arc<SourceRecord>]) -> u64 {
    records.len() as u64 * u64::from(job.samples)
}

/// Makes the rows of records, `width` at once and at most `limit`, in their order.
pub(crate) fn rows(
    job: &Arc<Job>,
    models: &Models,
    records: Vec<Arc<SourceRecord>>,
    (width, limit): (usize, usize),
    traces: RowTraces,
) -> impl Stream<Item = Result<Row, Error>> + Send + use<> {
    let samples = job.samples;
    let maker = Arc::new(RowMaker {
        job: Arc::clone(job),
        models: models.clone(),
        progress: Arc::new(Progress::default()),
        traces,
    });
    let wanted = records
        .into_iter()
        .flat_map(move |record| (0..samples).map(move |sample| (Arc::clone(&record), sample)));
    stream::iter(wanted.take(limit))
        .map(move |(record, sample)| {
            let maker = Arc::clone(&maker);
            async move { maker.make(&record, sample).await }
        })
        .buffered(width.max(1))
}
