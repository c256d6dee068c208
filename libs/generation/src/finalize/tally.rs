//! What is counted, scored and digested of rows as they pass in their order, whoever wants the rows themselves.

use std::collections::BTreeMap;

use textnlp_dataset::digest::DatasetDigest;
use textnlp_dataset::format::{self, Verdict};
use textnlp_dataset::manifest::RowCounts;
use textnlp_dataset::{Outcome, Record, Row};

use crate::error::Error;
use crate::job::Job;
use crate::report::{Failures, NamedDistribution, Rejection, Score, Usage};
use crate::scoring::{Judgement, Scorer};

/// Counts and scores of the rows so far.
pub(crate) struct Tally<'a> {
    scorer: Scorer<'a>,
    digest: DatasetDigest,
    counts: RowCounts,
    rejections: Vec<Rejection>,
    failures: Vec<Failures>,
    usage: Usage,
    by_model: BTreeMap<String, Usage>,
    /// The model of each generated column.
    models: BTreeMap<&'a str, &'a str>,
}

/// A row as it is written, and among which rows.
#[derive(Debug)]
pub(crate) enum Counted {
    /// In the dataset; and the row before it was flattened.
    Accepted(Record, Box<Row>),
    /// A filter rejected it.
    Rejected(Record),
    /// It could not be made or scored.
    Failed(Record),
}

/// What the rows came to.
pub(crate) struct Tallied {
    pub(crate) counts: RowCounts,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) failures: Vec<Failures>,
    pub(crate) usage: Usage,
    /// The same, by the name of the model.
    pub(crate) by_model: BTreeMap<String, Usage>,
    /// `sha256:…` over the accepted rows.
    pub(crate) digest: String,
    pub(crate) scores: Vec<Score>,
    pub(crate) distributions: Vec<NamedDistribution>,
}

impl<'a> Tally<'a> {
    /// Of a job that should have so many rows.
    pub(crate) fn new(job: &'a Job, requested: u64) -> Self {
        let rejections = job.scoring.rejecters();
        let generated = job
            .columns
            .iter()
            .filter_map(|column| Some((column.name.as_str(), column.generated()?.model.as_str())));
        Self {
            scorer: job.scoring.scorer(),
            digest: DatasetDigest::new(),
            counts: RowCounts { requested, ..RowCounts::default() },
            rejections: rejections
                .map(|filter| Rejection { filter: filter.to_owned(), rows: 0 })
                .collect(),
            failures: Vec::new(),
            usage: Usage::default(),
            by_model: BTreeMap::new(),
            models: generated.collect(),
        }
    }

    /// The next row.
    pub(crate) fn add(&mut self, row: Row, judgement: Judgement) -> Result<Counted, Error> {
        for (column, tokens) in &row.meta.tokens {
            self.usage.add(tokens);
            let Some(model) = self.models.get(column.as_str()) else { continue };
            match self.by_model.get_mut(*model) {
                Some(used) => used.add(tokens),
                None => self.by_model.entry((*model).to_owned()).or_default().add(tokens),
            }
        }
        match judgement {
            Judgement::Accepted { scores } => {
                self.counts.accepted += 1;
                self.scorer
                    .add(&row)
                    .map_err(|e| Error::Internal(format!("row {}: {e}", row.id)))?;
                self.digest.add(&row);
                let flat = format::flatten(&row, &Verdict { scores, rejected_by: None });
                Ok(Counted::Accepted(flat, Box::new(row)))
            }
            Judgement::Rejected { filter, scores } => {
                self.counts.rejected += 1;
                if let Some(rejection) = self.rejections.iter_mut().find(|r| r.filter == filter) {
                    rejection.rows += 1;
                }
                let verdict = Verdict { scores, rejected_by: Some(filter) };
                Ok(Counted::Rejected(format::flatten(&row, &verdict)))
            }
            Judgement::Failed { stage, message } => {
                self.fail(&stage, || format!("row {}: {message}", row.id));
                let row = Row { outcome: Outcome::Failed { stage, message }, ..row };
                Ok(Counted::Failed(format::flatten(&row, &Verdict::default())))
            }
        }
    }

    fn fail(&mut self, stage: &str, first: impl FnOnce() -> String) {
        self.counts.failed += 1;
        match self.failures.iter_mut().find(|failures| failures.stage == stage) {
            Some(failures) => failures.rows += 1,
            None => {
                let first = first();
                self.failures.push(Failures { stage: stage.to_owned(), rows: 1, first });
            }
        }
    }

    /// All rows were there.
    pub(crate) fn finish(self) -> Tallied {
        let (scores, distributions) = self.scorer.finish(&self.counts);
        Tallied {
            counts: self.counts,
            rejections: self.rejections,
            failures: self.failures,
            usage: self.usage,
            by_model: self.by_model,
            digest: format!("sha256:{}", self.digest.current()),
            scores,
            distributions,
        }
    }
}
