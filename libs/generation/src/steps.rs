//! A job in the steps of a cluster: one pod prepares, many make a shard each, one finalizes. The same functions as
//! [`crate::local`], over any store; each step can be run again.

use std::sync::Arc;

use textnlp_dataset::plan::RowRange;
use textnlp_dataset::store::{Store, StoreError};

use crate::completer::Models;
use crate::error::Error;
use crate::finalize::{self, Closing};
use crate::job::Job;
use crate::local::{Finished, Verdict, claim};
use crate::prepare::{self, Prepared, Source};
use crate::progress::Progress;
use crate::rows::{self, Options};
use crate::shards::{Plan, Shard};

/// Shards for each worker that runs at once: so that the last of them end at nearly the same time.
const SHARDS_PER_WORKER: u64 = 4;

/// What decides an attempt's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharding {
    /// Number of the attempt.
    pub attempt: u32,
    /// Shards wanted; fewer where there are fewer records.
    pub shards: u64,
}

impl Sharding {
    /// What a job's `spec.execution` asks for.
    pub fn of(job: &Job, attempt: i32) -> Self {
        let execution = &job.spec.execution;
        let per_worker = u64::from(execution.parallelism.unsigned_abs()) * SHARDS_PER_WORKER;
        Self {
            attempt: attempt.unsigned_abs(),
            shards: execution.shards.map_or(per_worker, |shards| u64::from(shards.unsigned_abs())),
        }
    }
}

/// What the first step found and fixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Source and target.
    pub prepared: Prepared,
    /// The shards of what is missing.
    pub plan: Plan,
    /// Rows that are there already.
    pub finished: u64,
}

/// Claims the target, fixes the source, and cuts what is missing into shards.
pub fn prepare(
    job: &Job,
    models: &Models,
    source: &Source,
    store: &dyn Store,
    owner: &str,
    sharding: Sharding,
) -> Result<Split, Error> {
    let _lock = store.lock()?;
    claim(store, owner)?;
    let prepared = prepare::prepare(job, models, source, store)?;
    let mut plan = Plan::fix(&prepared, sharding.attempt, sharding.shards, store)?;
    let missing: u64 = rows::missing(&prepared, store)?.iter().map(RowRange::rows).sum();
    let finished = prepared.rows() - missing;
    if missing == 0 {
        // The plan of this attempt was worked off: there is nothing to start workers for.
        plan.shards.clear();
    }
    Ok(Split { prepared, plan, finished })
}

/// A shard, and what is needed to make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What prepare found.
    pub prepared: Prepared,
    /// The shard.
    pub shard: Shard,
}

/// Finds a shard of an attempt.
pub fn part(
    job: &Job,
    models: &Models,
    store: &dyn Store,
    owner: &str,
    attempt: i32,
    index: u32,
) -> Result<Part, Error> {
    check_owner(store, owner)?;
    let prepared = prepare::load(job, models, store)?;
    let plan = Plan::load(&prepared, attempt.unsigned_abs(), store)?
        .ok_or_else(|| Error::NotPrepared(format!("attempt {attempt} of {}", store.place())))?;
    match plan.shards.get(index as usize) {
        Some(&shard) => Ok(Part { prepared, shard }),
        None => Err(Error::Shard(format!(
            "there is no shard {index}: attempt {attempt} has {} shards, counted from 0",
            plan.shards.len()
        ))),
    }
}

/// A target may have been cleared, or given to another job, since it was claimed.
fn check_owner(store: &dyn Store, owner: &str) -> Result<(), Error> {
    match store.owner()? {
        Some(found) if found == owner => Ok(()),
        Some(found) => Err(StoreError::Owned { path: store.place(), owner: found }.into()),
        None => Err(Error::NotPrepared(store.place())),
    }
}

/// Makes the rows that a shard lacks. No lock is taken: another pod may have the same shard for a while, when a node was
/// lost and comes back. Both write whole chunks of the same rows, and a row that two chunks hold is read once.
pub async fn work(
    job: Arc<Job>,
    models: Models,
    store: &dyn Store,
    part: &Part,
    progress: Arc<Progress>,
    options: &Options,
) -> Result<(), Error> {
    let options = Options { shard: Some(part.shard), ..options.clone() };
    rows::generate(job, models, &part.prepared, store, progress, &options).await
}

/// Merges, scores, gates and writes. An output that is finished under the same hashes gives its report again.
pub fn finalize(
    job: &Job,
    models: &Models,
    store: &dyn Store,
    owner: &str,
    closing: Closing<'_>,
) -> Result<Finished, Error> {
    let _lock = store.lock()?;
    check_owner(store, owner)?;
    let prepared = prepare::load(job, models, store)?;
    if let Some(report) = finalize::finished(job, &prepared, store)? {
        return Ok(Finished { verdict: Verdict::of(job, &report), report, was_finished: true });
    }
    let report = finalize::finalize(job, models, &prepared, store, closing)?;
    Ok(Finished { verdict: Verdict::of(job, &report), report, was_finished: false })
}
