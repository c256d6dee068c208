//! Why a job is where it is. No I/O.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use textnlp_crds::GenerationJob;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::job_status::JobPhase;
use textnlp_crds::task::labels;

use super::super::standing::{Standing, is_ready, is_true, standing, telling};
use super::world::{World, is_of};
use super::{Step, child, fetch, model};

/// The chain from a job.
pub(super) fn steps(world: &World, job: &GenerationJob) -> Vec<Step> {
    let top = top(job);
    if job.metadata.deletion_timestamp.is_some() {
        return vec![top];
    }
    match standing(job) {
        Standing::Unseen | Standing::Succeeded | Standing::Suspended => vec![top],
        Standing::Failed => {
            let failure = job.status.as_ref().and_then(|status| status.failure.as_ref());
            [top].into_iter().chain(failure.and_then(failed_pod)).collect()
        }
        Standing::Unfinished => {
            let below = below(world, job);
            [top].into_iter().chain(below).collect()
        }
    }
}

/// The job's own words.
fn top(job: &GenerationJob) -> Step {
    let what = format!("gj/{}", job.name_any());
    if let Some(since) = &job.metadata.deletion_timestamp {
        let finalizers = job.finalizers().join(", ");
        let message = match finalizers.as_str() {
            "" => "it goes once its children are gone".to_owned(),
            finalizers => format!("it waits for {finalizers}"),
        };
        return Step::new(what, "Deleting", message, Some(since.0));
    }
    let created = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    match (standing(job), telling(job)) {
        (Standing::Unseen, _) => {
            Step::new(what, "Unseen", "the operator has not looked at it yet", created)
        }
        (Standing::Suspended, None) => {
            Step::new(what, "Suspended", "spec.execution.suspend is true", None)
        }
        (_, Some(condition)) => Step::new(
            what,
            &condition.reason,
            condition.message.clone(),
            Some(condition.last_transition_time.0),
        ),
        (_, None) => Step::new(what, "Pending", "it has no condition that says more", created),
    }
}

/// The pod in which it failed first.
pub(super) fn failed_pod(failure: &Failure) -> Option<Step> {
    let pod = failure.pod.as_ref()?;
    let mut message = failure.message.clone().unwrap_or_default();
    if let Some(code) = failure.exit_code {
        message = format!("exit code {code}: {message}");
    }
    let reason = failure.reason.clone().unwrap_or_else(|| "Failed".into());
    Some(Step::new(
        format!("pod/{pod}"),
        &reason,
        message,
        failure.time.as_ref().map(|time| time.0),
    ))
}

/// What keeps an unfinished job: its models, else its own pods.
fn below(world: &World, job: &GenerationJob) -> Vec<Step> {
    let own = newest(world, job).map(|job| child::steps(world, job)).unwrap_or_default();
    // A pod of the job in trouble is nearer than a model that is asleep until the job is prepared.
    if !own.is_empty() && !waits_for_a_model(job) {
        return own;
    }
    if waits_for_a_model(job) {
        for name in fetch::model_names(job) {
            let Some(found) = world.models.iter().find(|model| model.name_any() == name) else {
                return vec![model::missing(world, &name)];
            };
            if !is_ready(found) || is_at_zero(found) {
                return model::steps(world, found);
            }
        }
    }
    own
}

fn waits_for_a_model(job: &GenerationJob) -> bool {
    let Some(status) = &job.status else { return false };
    let reason = telling(job).map(|condition| condition.reason.as_str()).unwrap_or_default();
    let prepared = is_true(&status.conditions, types::PREPARED);
    let model_ready = is_true(&status.conditions, types::MODEL_READY);
    reason.starts_with("Model")
        || status.phase == Some(JobPhase::WaitingForModel)
        || (prepared && !model_ready && status.phase == Some(JobPhase::Running))
}

/// Whether a model counts as ready without any server.
fn is_at_zero(model: &textnlp_crds::ModelDeployment) -> bool {
    model.status.as_ref().is_some_and(|status| status.ready_replicas == Some(0))
}

/// The job's newest child Job that has not finished its work.
fn newest<'a>(world: &'a World, job: &GenerationJob) -> Option<&'a Job> {
    let uid = job.uid().unwrap_or_default();
    let mine = |candidate: &&Job| {
        ["prepare", "worker", "finalize"]
            .iter()
            .any(|component| is_of(&candidate.metadata, labels::JOB_UID, &uid, component))
    };
    let unfinished = |candidate: &&Job| !child::is_complete(candidate);
    world
        .jobs
        .iter()
        .filter(mine)
        .filter(unfinished)
        .max_by_key(|candidate| candidate.metadata.creation_timestamp.as_ref().map(|time| time.0))
}
