//! A whole job in one process: prepare, the missing rows, finalize.

use std::sync::Arc;
use std::time::Instant;

use textnlp_crds::validation::OnGateFailure;
use textnlp_dataset::store::Store;

use crate::completer::Models;
use crate::error::Error;
use crate::finalize::{Closing, LOST_STAGE, Missing, finalize, finished};
use crate::job::Job;
use crate::prepare::{Source, prepare};
use crate::progress::Progress;
use crate::report::Report;
use crate::rows::{self, Options};

/// How a finished job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The dataset is there, and its gates passed, or only warn.
    Succeeded,
    /// The dataset is there, but a gate refuses it.
    GateFailed,
    /// No row was accepted.
    NoRows,
    /// Rows of lost shards are missing; they count as failed.
    ShardsLost,
}

impl Verdict {
    /// What a report means under the job's `onGateFailure`.
    pub fn of(job: &Job, report: &Report) -> Self {
        let warn =
            job.spec.validation.as_ref().is_some_and(|v| v.on_gate_failure == OnGateFailure::Warn);
        if report.failures.iter().any(|failures| failures.stage == LOST_STAGE) {
            Self::ShardsLost
        } else if report.rows.accepted == 0 {
            Self::NoRows
        } else if report.gate_failed() && !warn {
            Self::GateFailed
        } else {
            Self::Succeeded
        }
    }

    /// The command line's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::NoRows | Self::ShardsLost => 1,
            Self::GateFailed => 3,
        }
    }
}

/// A job that came to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Counts, scores, digest.
    pub report: Report,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether all of it was there already.
    pub was_finished: bool,
}

/// Runs a job into a directory, or another store. `connect` makes the models usable; it is called only if rows are missing, so that a
/// finished directory, or one that only needs other scores, loads no weights.
pub async fn run(
    job: Arc<Job>,
    mut models: Models,
    source: &Source,
    store: &dyn Store,
    progress: Arc<Progress>,
    options: &Options,
    connect: impl FnOnce(&mut Models) -> Result<(), Error>,
) -> Result<Finished, Error> {
    let begun = Instant::now();
    let _lock = store.lock()?;
    claim(store, &format!("GenerationJob {}", job.name))?;
    let preparing = options.trace.child("prepare");
    let prepared = prepare(&job, &models, source, store)?;
    drop(preparing);
    if let Some(report) = finished(&job, &prepared, store)? {
        let verdict = Verdict::of(&job, &report);
        return Ok(Finished { report, verdict, was_finished: true });
    }
    if !rows::missing(&prepared, store)?.is_empty() {
        let loading = options.trace.child("load");
        connect(&mut models)?;
        drop(loading);
        let span = options.trace.child("generate");
        let options = Options { trace: span.context().clone(), ..options.clone() };
        rows::generate(job.clone(), models.clone(), &prepared, store, progress, &options).await?;
    }
    let span = options.trace.child("finalize");
    let closing =
        Closing { missing: Missing::Refuse, place: &store.place(), begun, trace: span.context() };
    let report = finalize(&job, &models, &prepared, store, closing)?;
    let verdict = Verdict::of(&job, &report);
    Ok(Finished { report, verdict, was_finished: false })
}

/// Removes a dataset to start over. A place that no run has made is left alone: what is in it is somebody else's.
pub fn clear(store: &dyn Store) -> Result<(), Error> {
    let lock = store.lock()?;
    if store.owner()?.is_some() {
        store.clear(&lock)?;
    }
    Ok(())
}

/// Takes a place for a job: an empty one, or one that this job began.
pub(crate) fn claim(store: &dyn Store, owner: &str) -> Result<(), Error> {
    if store.owner()?.is_none() && !store.list("")?.is_empty() {
        return Err(Error::spec(
            "output",
            format!(
                "{} is not empty, and no run has made what is in it; choose another place                  (spec.output.destination, or --output of a local run)",
                store.place()
            ),
        ));
    }
    Ok(store.claim(owner)?)
}
