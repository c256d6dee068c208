//! `status`: how a job or a model stands, or all of a namespace; `--watch` follows one to its end. I/O; the pages are made by
//! [`job`] and [`model`].

mod job;
mod list;
mod model;
mod watch;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use textnlp_crds::{GenerationJob, ModelDeployment};

use super::args::StatusArgs;
use super::cluster::Cluster;
use super::error::Error;
use super::standing::{
    Standing, exit_code, is_ready, is_stalled, standing, telling, telling_of_model,
};
use super::target::{Found, find};
use super::why;
use crate::failure::Failure;
use crate::{print_json, print_text};

/// Shows what was asked for.
pub(crate) async fn run(cluster: &Cluster, args: &StatusArgs) -> Result<(), Failure> {
    let Some(name) = &args.name else { return Ok(all(cluster, args.json).await?) };
    let found = find(cluster, name).await?;
    if !args.watch {
        show(&found, args.json);
        return Ok(());
    }
    let limit = args.timeout_seconds.map(Duration::from_secs);
    let watched = watch::until_end(cluster, found, limit).await?;
    show(&watched.found, args.json);
    if watched.is_late {
        let limit = limit.unwrap_or_default().as_secs();
        let why = why::text(cluster, &watched.found).await?;
        return Err(Failure::failed(format!("{name}: not at its end within {limit} s\n{why}")));
    }
    match ended_with(&watched.found) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// The exit code of a verb that follows something to its end.
fn ended_with(found: &Found) -> u8 {
    match found {
        Found::Job(job) => exit_code(job),
        Found::Model(model) => u8::from(!is_ready(model)),
    }
}

fn show(found: &Found, as_json: bool) {
    let now = Timestamp::now();
    match (found, as_json) {
        (Found::Job(job), true) => print_json(&job_document(job)),
        (Found::Model(model), true) => print_json(&model_document(model)),
        (Found::Job(job), false) => print_text(&job::page(job, now)),
        (Found::Model(model), false) => print_text(&model::page(model, now)),
    }
}

async fn all(cluster: &Cluster, as_json: bool) -> Result<(), Error> {
    let jobs = cluster.list::<GenerationJob>("").await?;
    let models = cluster.list::<ModelDeployment>("").await?;
    if as_json {
        print_json(&json!({
            "namespace": cluster.namespace,
            "jobs": jobs.iter().map(job_document).collect::<Vec<_>>(),
            "models": models.iter().map(model_document).collect::<Vec<_>>(),
        }));
    } else {
        print_text(&list::page(&cluster.namespace, &jobs, &models, Timestamp::now()));
    }
    Ok(())
}

/// A job for programs: how it stands, in one word and one sentence, and its whole status.
fn job_document(job: &GenerationJob) -> Value {
    let telling = telling(job);
    json!({
        "kind": "GenerationJob",
        "namespace": job.namespace(),
        "name": job.name_any(),
        "ended": matches!(standing(job), Standing::Succeeded | Standing::Failed),
        "succeeded": standing(job) == Standing::Succeeded,
        "suspended": job.spec.execution.suspend,
        "reason": telling.map(|condition| &condition.reason),
        "message": telling.map(|condition| &condition.message),
        "status": job.status,
    })
}

/// A model for programs.
fn model_document(model: &ModelDeployment) -> Value {
    let telling = telling_of_model(model);
    json!({
        "kind": "ModelDeployment",
        "namespace": model.namespace(),
        "name": model.name_any(),
        "ready": is_ready(model),
        "stalled": is_stalled(model),
        "reason": telling.map(|condition| &condition.reason),
        "message": telling.map(|condition| &condition.message),
        "status": model.status,
    })
}
