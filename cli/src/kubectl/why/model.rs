//! Why a model does not answer. No I/O.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use textnlp_crds::ModelDeployment;
use textnlp_crds::task::labels;

use super::super::standing::{is_ready, is_stalled, telling_of_model};
use super::super::target::distance;
use super::world::{World, is_of};
use super::{Step, child, job, pod};

/// Names that are listed where one was not found.
const LISTED: usize = 5;

/// The chain from a model.
pub(super) fn steps(world: &World, model: &ModelDeployment) -> Vec<Step> {
    let top = top(model);
    let servers = model.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    if model.metadata.deletion_timestamp.is_some() || (is_ready(model) && servers > 0) {
        return vec![top];
    }
    if is_stalled(model) {
        let failure = model.status.as_ref().and_then(|status| status.failure.as_ref());
        return [top].into_iter().chain(failure.and_then(job::failed_pod)).collect();
    }
    let below = below(world, model);
    [top].into_iter().chain(below).collect()
}

/// A model that a job names and that is not there.
pub(super) fn missing(world: &World, name: &str) -> Step {
    let mut names: Vec<String> = world.models.iter().map(ResourceExt::name_any).collect();
    names.sort_by_cached_key(|candidate| (distance(name, candidate), candidate.clone()));
    names.truncate(LISTED);
    let message = match names.is_empty() {
        true => format!("there is no model in the namespace {}", world.namespace),
        false => format!(
            "there is no such model in the namespace {}; there are: {}",
            world.namespace,
            names.join(", ")
        ),
    };
    Step::new(format!("mdl/{name}"), "ModelNotFound", message, None)
}

/// The model's own words.
fn top(model: &ModelDeployment) -> Step {
    let what = format!("mdl/{}", model.name_any());
    if let Some(since) = &model.metadata.deletion_timestamp {
        return Step::new(what, "Deleting", "it goes once its children are gone", Some(since.0));
    }
    let created = model.metadata.creation_timestamp.as_ref().map(|time| time.0);
    match telling_of_model(model) {
        Some(found) => Step::new(
            what,
            &found.reason,
            found.message.clone(),
            Some(found.last_transition_time.0),
        ),
        None => Step::new(what, "Unseen", "the operator has not looked at it yet", created),
    }
}

/// What keeps a model: its fetch Job, else its Deployment.
fn below(world: &World, model: &ModelDeployment) -> Vec<Step> {
    let uid = model.uid().unwrap_or_default();
    let fetches =
        world.jobs.iter().filter(|job| is_of(&job.metadata, labels::MODEL_UID, &uid, "fetch"));
    let fetch: Option<&Job> = fetches
        .filter(|job| !child::is_complete(job))
        .max_by_key(|job| job.metadata.creation_timestamp.as_ref().map(|time| time.0));
    if let Some(fetch) = fetch {
        return child::steps(world, fetch);
    }
    let mine =
        |candidate: &&Deployment| is_of(&candidate.metadata, labels::MODEL_UID, &uid, "server");
    let Some(deployment) = world.deployments.iter().find(mine) else { return Vec::new() };
    let (own, refused) = deployment_step(deployment);
    if let Some(refused) = refused {
        return [own].into_iter().chain(child::quota(world, &refused)).collect();
    }
    let troubled = pod::troubled(world, &world.servers_of(&uid));
    [own].into_iter().chain(troubled).collect()
}

/// A Deployment, and why it can make no pods.
fn deployment_step(deployment: &Deployment) -> (Step, Option<String>) {
    let what = format!("deployment/{}", deployment.name_any());
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let conditions = status.conditions.unwrap_or_default();
    if let Some(failed) =
        conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")
    {
        let message = failed.message.clone().unwrap_or_default();
        let reason = pod::reason(failed.reason.as_deref().unwrap_or("FailedCreate"), &message);
        let since = failed.last_transition_time.as_ref().map(|time| time.0);
        return (Step::new(what, &reason, message.clone(), since), Some(message));
    }
    let ready = status.ready_replicas.unwrap_or(0);
    let available = conditions.iter().find(|c| c.type_ == "Available");
    let since =
        available.filter(|c| c.status == "False").and_then(|c| c.last_transition_time.as_ref());
    let reason = if wanted == 0 { "ScaledToZero" } else { "ServersNotReady" };
    (
        Step::new(
            what,
            reason,
            format!("{ready} of {wanted} servers are ready"),
            since.map(|time| time.0),
        ),
        None,
    )
}
