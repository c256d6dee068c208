//! Why a pod does not run. No I/O.
//!
//! What scheduler and kubelet say stands in three places: the pod's conditions (no node fits), its container statuses (image, crash,
//! memory), and, for mounts and claims, only in Events about it.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use textnlp_crds::task::Termination;

use super::world::{World, time};
use super::{Step, schedule};

/// The chain from the pod that says the most, of those that belong together; nothing where they run as they should. Pods that have
/// failed or are leaving have successors: they count where there is no other.
pub(super) fn troubled(world: &World, pods: &[&Pod]) -> Vec<Step> {
    let (over, live): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(|pod| is_over(pod));
    if live.is_empty() {
        return over.last().map(|pod| steps(world, pod)).unwrap_or_default();
    }
    let chains = live.into_iter().map(|pod| steps(world, pod));
    // The first of the longest.
    chains.rev().max_by_key(Vec::len).unwrap_or_default()
}

fn is_over(pod: &Pod) -> bool {
    let failed = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
    failed || pod.metadata.deletion_timestamp.is_some()
}

/// The chain from a pod; nothing where it runs as it should, or has done its work.
pub(super) fn steps(world: &World, pod: &Pod) -> Vec<Step> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if phase == "Succeeded" {
        return Vec::new();
    }
    if let Some(since) = &pod.metadata.deletion_timestamp {
        return vec![Step::new(what(pod), "Terminating", "it is being deleted", Some(since.0))];
    }
    if phase == "Failed" {
        return vec![ended(pod)];
    }
    let waits = statuses(pod).any(|status| waiting(status).is_some());
    if let Some(crash) = statuses(pod).find_map(|status| crashed(pod, status)) {
        return vec![crash];
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        return schedule::steps(world, pod, unscheduled);
    }
    if let Some(found) = statuses(pod).find_map(|status| image_or_configuration(pod, status)) {
        return found;
    }
    if waits || phase == "Pending" {
        return starting(world, pod);
    }
    match condition(pod, "Ready").filter(|c| c.status == "False") {
        Some(ready) => {
            let message =
                ready.message.clone().unwrap_or_else(|| "its probe does not pass yet".into());
            let since = ready.last_transition_time.as_ref().map(|time| time.0);
            vec![Step::new(
                what(pod),
                "NotReady",
                format!("it runs{}; {message}", place(pod)),
                since,
            )]
        }
        None => Vec::new(),
    }
}

/// The one name of a trouble that the cluster names in several ways, the same as in conditions.
pub(super) fn reason(reason: &str, message: &str) -> String {
    let says = |words: &str| message.to_ascii_lowercase().contains(words);
    let named = match reason {
        _ if says("exceeded quota") => "QuotaExceeded",
        _ if says("persistentvolumeclaim") || reason == "FailedAttachVolume" => "ClaimNotBound",
        "FailedMount" | "CreateContainerConfigError" if says("secret") && says("not found") => {
            "SecretMissing"
        }
        "FailedMount" | "CreateContainerConfigError" if says("configmap") && says("not found") => {
            "ConfigMapNotFound"
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable" => "ImagePullFailed",
        "CrashLoopBackOff" => "CrashLoop",
        "OOMKilled" => "OutOfMemory",
        "FailedScheduling" => "Unschedulable",
        "" => "Unknown",
        reason => reason,
    };
    named.to_owned()
}

pub(super) fn what(pod: &Pod) -> String {
    format!("pod/{}", pod.name_any())
}

/// ` (on NODE)`, once there is one.
fn place(pod: &Pod) -> String {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.map(|node| format!(" (on {node})")).unwrap_or_default()
}

pub(super) fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().flatten().chain(main.into_iter().flatten())
}

fn waiting(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

/// Since when the pod has been where it is: bound to a node, or made.
fn since(pod: &Pod) -> Option<Timestamp> {
    let bound = condition(pod, "PodScheduled")
        .and_then(|condition| condition.last_transition_time.as_ref());
    bound.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

/// A pod that failed for good.
fn ended(pod: &Pod) -> Step {
    let status = pod.status.clone().unwrap_or_default();
    let terminated = statuses(pod).find_map(|status| status.state.as_ref()?.terminated.clone());
    let since = terminated.as_ref().and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0);
    let (own, said) = terminated.as_ref().map(told).unwrap_or_default();
    let given = status.reason.unwrap_or(own);
    let message = status.message.unwrap_or(said);
    Step::new(what(pod), &reason(&given, &message), format!("{message}{}", place(pod)), since)
}

/// A container that ended and is started again.
fn crashed(pod: &Pod, status: &ContainerStatus) -> Option<Step> {
    let last =
        |state: &Option<ContainerState>| state.as_ref().and_then(|state| state.terminated.clone());
    let terminated = last(&status.last_state)?;
    let backs_off = waiting(status).is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    if status.ready || !(backs_off || terminated.reason.as_deref() == Some("OOMKilled")) {
        return None;
    }
    let (own, said) = told(&terminated);
    let named = if own == "Error" { "CrashLoop".to_owned() } else { reason(&own, &said) };
    let message = format!("{said}; {} time(s) so far{}", status.restart_count, place(pod));
    Some(Step::new(what(pod), &named, message, terminated.finished_at.as_ref().map(|time| time.0)))
}

/// How a container ended: its own word and sentence, if it left them.
fn told(ended: &ContainerStateTerminated) -> (String, String) {
    let given = ended.message.as_deref().map(str::trim).unwrap_or_default();
    if let Some(Termination::Failed(failure)) = Termination::read(given)
        && !failure.reason.is_empty()
    {
        return (failure.reason, format!("exit code {}: {}", ended.exit_code, failure.message));
    }
    let reason = ended.reason.clone().unwrap_or_else(|| "Error".into());
    let said = match given {
        "" => format!("the container ended with exit code {}", ended.exit_code),
        given => format!("the container ended with exit code {}: {given}", ended.exit_code),
    };
    (reason, said)
}

/// An image that cannot be had, or a container that cannot be made: the pod, and what it lacks.
fn image_or_configuration(pod: &Pod, status: &ContainerStatus) -> Option<Vec<Step>> {
    let (given, message) = waiting(status)?;
    if matches!(given, "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff" | "") {
        return None;
    }
    let named = reason(given, message);
    let own = Step::new(
        what(pod),
        &named,
        format!("the container {} waits{}: {given}", status.name, place(pod)),
        since(pod),
    );
    let lacks = match named.as_str() {
        "ImagePullFailed" => format!("image {}", status.image),
        "SecretMissing" => quoted(message, "secret")
            .map_or_else(|| "secret".into(), |name| format!("secret/{name}")),
        "ConfigMapNotFound" => quoted(message, "configmap")
            .map_or_else(|| "configmap".into(), |name| format!("configmap/{name}")),
        _ => format!("container {}", status.name),
    };
    Some(vec![own, Step::new(lacks, &named, message, None)])
}

/// The name in quotation marks after a word: `secret "keys" not found`.
pub(super) fn quoted<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let lower = message.to_ascii_lowercase();
    let start = lower.find(&format!("{word} \""))? + word.len() + 2;
    let rest = message.get(start..)?;
    rest.split('"').next().map(|name| name.rsplit('/').next().unwrap_or(name))
}

/// A pod that has a node, and whose containers are not there yet: only Events say why.
fn starting(world: &World, pod: &Pod) -> Vec<Step> {
    let uid = pod.metadata.uid.as_deref();
    let Some(event) = world.warning(uid) else {
        let pulling = world.event(uid, &["Pulling"]);
        let pulled = world.event(uid, &["Pulled"]);
        let step = match pulling
            .filter(|pulling| pulled.is_none_or(|pulled| time(pulled) < time(pulling)))
        {
            Some(event) => Step::new(
                what(pod),
                "PullingImage",
                event.message.clone().unwrap_or_default(),
                time(event),
            ),
            None => Step::new(
                what(pod),
                "Starting",
                format!("its containers are being created{}", place(pod)),
                since(pod),
            ),
        };
        return vec![step];
    };
    let message = event.message.clone().unwrap_or_default();
    let named = reason(event.reason.as_deref().unwrap_or_default(), &message);
    let own = Step::new(what(pod), &named, format!("{message}{}", place(pod)), since(pod));
    let lacks = match named.as_str() {
        "SecretMissing" => quoted(&message, "secret").map(|name| {
            Step::new(
                format!("secret/{name}"),
                &named,
                "there is no such Secret, or it lacks a key",
                None,
            )
        }),
        "ConfigMapNotFound" => quoted(&message, "configmap").map(|name| {
            Step::new(
                format!("configmap/{name}"),
                &named,
                "there is no such ConfigMap, or it lacks a key",
                None,
            )
        }),
        "ClaimNotBound" => return [own].into_iter().chain(schedule::claims(world, pod)).collect(),
        _ => None,
    };
    [own].into_iter().chain(lacks).collect()
}
