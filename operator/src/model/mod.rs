//! The controller of ModelDeployments: observe → validate → plan → apply → status. I/O in [`mod@observe`], [`mod@apply`] and the
//! status patch alone.

mod access;
pub mod apply;
pub mod caches;
pub mod demand;
pub mod fetch;
pub mod fetch_job;
#[cfg(test)]
mod fixture;
mod formats;
pub mod load;
pub mod memory;
pub mod network;
pub mod notices;
pub mod observe;
pub mod place;
pub mod plan;
pub mod scale;
pub mod scaled;
pub mod scaling;
#[cfg(test)]
mod scenarios;
pub mod server;
pub mod standing;
pub mod start;
pub mod status;
pub mod triggers;
pub mod trouble;
pub mod validate;
mod write;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Action;
use kube::runtime::reflector::store::Writer;
use textnlp_crds::{ModelDeployment, ModelDeploymentStatus};

use self::apply::Applied;
use self::caches::Caches;
use self::fetch::Fetch;
use self::observe::Observed;
use self::status::Facts;
use self::trouble::Trouble;
use self::validate::{Source, Validated};
use crate::context::Context;
use crate::error::Error;
use crate::{controller, pods};

/// Name of the controller, in metrics and logs.
pub const CONTROLLER: &str = "modeldeployment";
/// Time until something that waits for others is looked at again.
const RECHECK: Duration = Duration::from_secs(15);
/// Time until the API server is asked again for a child that it refused.
const REFUSED: Duration = Duration::from_secs(60);

/// Runs the controller until its watches end; `models` is the writing end of [`Context::models`].
pub async fn controller(context: Arc<Context>, models: Writer<ModelDeployment>) {
    let (caches, triggers) = triggers::triggers(&context, models);
    let store = context.models.clone();
    controller::run(CONTROLLER, context, store, triggers, move |model, context| {
        let caches = caches.clone();
        async move { reconcile(model, &context, &caches).await }
    })
    .await;
}

/// Brings one model a step nearer to its spec, and says how it stands.
async fn reconcile(
    model: Arc<ModelDeployment>,
    context: &Context,
    caches: &Caches,
) -> Result<Action, Error> {
    context.filling.done().await;
    caches.filling.done().await;
    let now = Timestamp::now();
    let model = context.written_models.newest(model);
    if model.metadata.deletion_timestamp.is_some() {
        // Its children go when it is gone: they name it as their owner.
        return Ok(Action::await_change());
    }
    let validated = match validate::validate(&model) {
        Ok(validated) => validated,
        Err(error) => {
            let status =
                status::invalid(&write::before(&model), model.metadata.generation, &error, now);
            write::status(context, caches, &model, status, now).await?;
            return Ok(Action::await_change());
        }
    };
    let observed = observe::observe(context, caches, &validated, now).await?;
    let fetch = read_fetch(&validated, &observed);
    let plan = plan::plan(&validated, context.config(), &observed, &fetch, now);
    let applied = apply::apply(context, &validated, &observed, plan).await?;
    let status = status_of(&model, &validated, &observed, &fetch, &applied, now);
    write::status(context, caches, &model, status, now).await?;
    let lively = caches.memory(validated.owner.uid(), |memory| memory.is_lively());
    Ok(next(context, &validated, &observed, &fetch, applied.refused.is_some(), lively, now))
}

fn read_fetch(model: &Validated, observed: &Observed) -> Fetch {
    let pods: Vec<&Pod> = observed.fetchers.iter().map(|pod| &**pod).collect();
    fetch::read(observed.fetch_job(model).map(|job| &**job), &pods)
}

fn status_of(
    model: &ModelDeployment,
    validated: &Validated,
    observed: &Observed,
    fetch: &Fetch,
    applied: &Applied,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let before = write::before(model);
    let generation = model.metadata.generation;
    if let Source::External(external) = &validated.source {
        return status::external(&before, generation, external, now);
    }
    let facts = Facts {
        model: validated,
        fetch,
        deployment: applied.deployment.as_ref(),
        decision: applied.decision,
        scaled: applied.scaled.as_ref(),
        blind: observed.blind,
        trouble: trouble(validated, observed, fetch, applied, now),
        load: observed.load.clone(),
        cold_start: observed.cold_start.clone(),
    };
    status::status(&before, generation, &facts, now)
}

/// Why it does not go on: the first of what stands in the way.
fn trouble(
    model: &Validated,
    observed: &Observed,
    fetch: &Fetch,
    applied: &Applied,
    now: Timestamp,
) -> Option<Trouble> {
    if let Some(refused) = &applied.refused {
        return Some(refused.clone());
    }
    let trouble = match fetch {
        Fetch::Done { .. } => trouble::of_servers(
            applied.deployment.as_ref(),
            &observed.servers,
            &observed.events,
            now,
        ),
        Fetch::Failed { failure, .. } | Fetch::Running { failure: Some(failure) } => {
            Some(Trouble::not_fetched(failure))
        }
        Fetch::Running { failure: None } | Fetch::Missing | Fetch::Leaving | Fetch::Lost => {
            let job = observed.fetch_job(model).map(|job| &**job);
            trouble::of_fetch(job, &observed.fetchers, &observed.events, now)
        }
    };
    trouble.map(|trouble| trouble.with_claim(&model.claim_name()))
}

/// When to look again, if nothing changes before: `refused` is whether a child was, `lively` whether the servers work.
fn next(
    context: &Context,
    model: &Validated,
    observed: &Observed,
    fetch: &Fetch,
    refused: bool,
    lively: bool,
    now: Timestamp,
) -> Action {
    let mut waits = Vec::new();
    if let Fetch::Failed { again, .. } = fetch {
        let left = again.duration_since(now).max(SignedDuration::from_secs(1));
        waits.push(left.unsigned_abs());
    }
    let pods = observed.servers.iter().chain(&observed.fetchers);
    let waiting = pods.filter(|pod| pods::is_waiting(pod));
    // A moment later than needed, the pod has waited long enough for sure.
    let left = |pod| pods::patience_left(pod, now).map(|left| left + Duration::from_millis(500));
    waits.extend(waiting.map(|pod| left(&**pod).unwrap_or(RECHECK)));
    if matches!(fetch, Fetch::Running { .. }) && observed.fetchers.is_empty() {
        waits.push(RECHECK);
    }
    if observed.servers.iter().any(|pod| pods::is_ready(pod)) {
        let interval = observe::interval(context, model, &observed.holds, lively);
        waits.push(Duration::from_secs_f64(interval));
    }
    if refused {
        waits.push(controller::jittered(REFUSED));
    }
    waits.into_iter().min().map_or_else(Action::await_change, Action::requeue)
}
