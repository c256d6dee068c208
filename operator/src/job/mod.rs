//! The controller of GenerationJobs: `observe → validate → plan → apply → status`, each a file. Only observe, apply and the write of the
//! status take a client.

mod apply;
mod build;
mod children;
pub(crate) mod clock;
#[cfg(test)]
mod fixture;
mod notices;
mod observe;
mod plan;
mod position;
pub mod progress;
pub mod reasons;
#[cfg(test)]
mod scenarios;
pub(crate) mod spec;
mod status;
mod trace;
mod triggers;
mod validate;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Action;
use kube::runtime::reflector::store::Writer;
use textnlp_crds::{GenerationJob, GenerationJobStatus};

use crate::context::Context;
use crate::controller;
use crate::error::Error;
use crate::job::apply::Applied;
use crate::job::observe::Observed;

/// The controller's name in metrics and events.
pub const CONTROLLER: &str = "generationjob";

/// Runs the controller until its watches end; the writers are those of its caches in the [`Context`].
pub async fn controller(
    context: Arc<Context>,
    jobs: Writer<GenerationJob>,
    children: Writer<Job>,
    pods: Writer<Pod>,
) {
    let store = context.jobs.clone();
    let triggers = triggers::triggers(&context, jobs, children, pods);
    controller::run(CONTROLLER, context, store, triggers, reconcile).await;
}

/// Brings one job a step further.
async fn reconcile(cached: Arc<GenerationJob>, context: Arc<Context>) -> Result<Action, Error> {
    context.filling.done().await;
    let job = context.written_jobs.newest(cached);
    if job.metadata.deletion_timestamp.is_some() {
        // The garbage collector takes the children.
        return Ok(Action::await_change());
    }
    let observed = observe::observe(job, &context, Timestamp::now()).await?;
    let validated = validate::validate(&observed);
    let plan = plan::plan(&observed, &validated, context.config(), Timestamp::now())?;
    let applied = apply::execute(plan, &observed, &context).await?;
    let status = status::status(&observed, &applied, Timestamp::now());
    let written = write_status(&observed, &applied, status, &context).await?;
    Ok(clock::next_look(&observed, &applied, written, context.config(), Timestamp::now()))
}

/// Writes the status if it says anything new; false if that was put off, since it only shows progress and the budget is spent.
async fn write_status(
    observed: &Observed,
    applied: &Applied,
    status: GenerationJobStatus,
    context: &Context,
) -> Result<bool, Error> {
    let before = observed.job.status.clone().unwrap_or_default();
    if status == before {
        return Ok(true);
    }
    let shared = &context.shared;
    if status::only_shows_progress(&before, &status, &applied.stand)
        && !shared.budget.take(Instant::now())
    {
        shared.metrics.progress_deferred.inc();
        return Ok(false);
    }
    let written = crate::apply::status(context.client(), &*observed.job, &status).await?;
    let written = Arc::new(crate::watch::slim(written));
    context.written_jobs.insert(&observed.job, written, &context.jobs);
    for notice in notices::between(&observed.job, &before, &status) {
        shared.events.send(notice);
    }
    trace::between(&observed.job, &before, &status);
    Ok(true)
}
