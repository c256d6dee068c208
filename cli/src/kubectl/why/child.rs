//! Why a child Job does not go on: its pods, a quota, a queue. No I/O.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::world::{World, time};
use super::{Step, pod};

/// Label by which Kueue finds a Job.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Whether all of a Job's work is done.
pub(super) fn is_complete(job: &Job) -> bool {
    condition(job, "Complete")
}

fn condition(job: &Job, type_: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == type_ && c.status == "True")
}

/// The chain from a child Job; nothing where its pods run as they should.
pub(super) fn steps(world: &World, job: &Job) -> Vec<Step> {
    let what = format!("job/{}", job.name_any());
    let started =
        job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let since = started.or(job.metadata.creation_timestamp.as_ref().map(|time| time.0));
    if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
        return suspended(world, job, what, since);
    }
    let pods = world.pods_of(job);
    let troubled = pod::troubled(world, &pods);
    if !troubled.is_empty() {
        let own = Step::new(what, "PodsNotReady", counts(job), since);
        return [own].into_iter().chain(troubled).collect();
    }
    let refused = world.event(job.metadata.uid.as_deref(), &["FailedCreate"]);
    if let (true, Some(event)) = (pods.is_empty(), refused) {
        let message = event.message.clone().unwrap_or_default();
        let own =
            Step::new(what, &pod::reason("FailedCreate", &message), message.clone(), time(event));
        return [own].into_iter().chain(quota(world, &message)).collect();
    }
    if condition(job, "Failed") {
        return vec![Step::new(what, "JobFailed", counts(job), since)];
    }
    match pods.is_empty() {
        true => vec![Step::new(what, "NoPods", "its pods are not created yet", since)],
        false => Vec::new(),
    }
}

fn counts(job: &Job) -> String {
    let status = job.status.clone().unwrap_or_default();
    let count = |number: Option<i32>| number.unwrap_or(0);
    format!(
        "{} active, {} ready, {} failed",
        count(status.active),
        count(status.ready),
        count(status.failed)
    )
}

/// The quota that a refusal names: what is used of what there is.
pub(super) fn quota(world: &World, message: &str) -> Option<Step> {
    let (_, rest) = message.split_once("exceeded quota: ")?;
    let name = rest.split(',').next().unwrap_or_default().trim();
    let quota: Option<&ResourceQuota> = world.quotas.iter().find(|quota| quota.name_any() == name);
    let used = quota.and_then(|quota| quota.status.as_ref()).map(|status| {
        let hard = status.hard.clone().unwrap_or_default();
        let used = status.used.clone().unwrap_or_default();
        let lines: Vec<String> = hard
            .iter()
            .map(|(what, hard)| {
                format!("{what} {} of {}", used.get(what).map_or("0", |used| &used.0), hard.0)
            })
            .collect();
        format!("used: {}", lines.join(", "))
    });
    Some(Step::new(format!("quota/{name}"), "QuotaExceeded", used.unwrap_or_default(), None))
}

/// A Job that waits to be let in.
fn suspended(world: &World, job: &Job, what: String, since: Option<Timestamp>) -> Vec<Step> {
    let Some(queue) = job.labels().get(QUEUE) else {
        return vec![Step::new(what, "Suspended", "its spec.suspend is true", since)];
    };
    let own = Step::new(
        what,
        "WaitingForQuota",
        format!("it waits to be admitted by the queue {queue}"),
        since,
    );
    let uid = job.metadata.uid.as_deref();
    let workload = world.workloads.iter().find(|workload| {
        let owners = workload["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == uid)
    });
    [own].into_iter().chain(workload.map(|workload| workload_step(workload, queue))).collect()
}

fn workload_step(workload: &Value, queue: &str) -> Step {
    let what = format!("workload/{}", workload["metadata"]["name"].as_str().unwrap_or_default());
    let conditions = workload["status"]["conditions"].as_array();
    let telling = conditions.into_iter().flatten().filter(|condition| {
        let is = |key: &str, value: &str| condition[key].as_str() == Some(value);
        (is("type", "QuotaReserved") && is("status", "False"))
            || (is("type", "Evicted") && is("status", "True"))
    });
    let newest =
        telling.max_by_key(|condition| condition["lastTransitionTime"].as_str().map(str::to_owned));
    match newest {
        Some(condition) => {
            let text = |key: &str| condition[key].as_str().unwrap_or_default();
            let since = text("lastTransitionTime").parse().ok();
            Step::new(
                what,
                "WaitingForQuota",
                format!("{}: {}", text("reason"), text("message")),
                since,
            )
        }
        None => Step::new(
            what,
            "WaitingForQuota",
            format!("Kueue has said nothing yet; is there a queue {queue}?"),
            None,
        ),
    }
}
