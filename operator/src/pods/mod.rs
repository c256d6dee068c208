//! Why a pod is stuck, and how one ended: the same words for both controllers. No I/O.
//!
//! What kubelet and scheduler say stands in three places: the pod's conditions (no node fits), its container statuses (image, crash,
//! out of memory), and, for mounts, claims and Secrets, only in Events about it. Events are read when a pod has waited
//! [`PATIENCE`] and says nothing itself ([`needs_events`]).

mod end;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Event, Pod};
use kube::ResourceExt;
use textnlp_crds::task::Termination;

pub use end::{End, end};

/// How long a pod may be starting before someone is told why.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word, as a condition's reason.
    pub reason: String,
    /// A sentence with the cluster's own words.
    pub message: String,
    /// The pod.
    pub pod: String,
}

/// Why a pod does not run, once it has waited long enough; none if it runs, has ended, or is only starting. `events` are those
/// about this pod, where [`needs_events`] asked for them.
pub fn why(pod: &Pod, events: &[Event], now: Timestamp) -> Option<Trouble> {
    if has_ended(pod) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let trouble = |(word, message): (String, String)| Trouble {
        reason: reason(&word, &message),
        message,
        pod: pod.name_any(),
    };
    if let Some(crash) = statuses(pod).find_map(crashed) {
        return Some(trouble(crash));
    }
    if !is_waiting(pod) || waited(pod, now) < PATIENCE {
        return None;
    }
    unscheduled(pod)
        .or_else(|| statuses(pod).find_map(image_or_configuration))
        .or_else(|| reported(events))
        .or_else(|| statuses(pod).find_map(creating))
        .map(trouble)
}

/// Whether only Events can say why the pod waits.
pub fn needs_events(pod: &Pod, now: Timestamp) -> bool {
    let waits = !has_ended(pod) && pod.metadata.deletion_timestamp.is_none() && is_waiting(pod);
    waits
        && waited(pod, now) >= PATIENCE
        && unscheduled(pod).is_none()
        && statuses(pod)
            .find_map(crashed)
            .or_else(|| statuses(pod).find_map(image_or_configuration))
            .is_none()
}

/// How long until [`why`] speaks of a pod that waits; none if it does not wait, or has waited long enough.
pub fn patience_left(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let left = PATIENCE.checked_sub(waited(pod, now)).filter(|left| !left.is_zero());
    left.filter(|_| is_waiting(pod))
}

/// Whether the pod waits for its start, so that it should be looked at again after [`PATIENCE`].
pub fn is_waiting(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, None | Some("Pending")) || statuses(pod).any(|status| waiting(status).is_some())
}

/// Whether the pod has succeeded or failed.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the pod can take requests.
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// The one name of a trouble that the cluster names in several ways, or not at all: `reason` and `message` are its own.
pub fn reason(reason: &str, message: &str) -> String {
    let says = |words: &str| message.to_ascii_lowercase().contains(words);
    let named = match reason {
        _ if says("exceeded quota") => "QuotaExceeded",
        // A pod waits for its claim in the scheduler, in the attacher and in the kubelet.
        _ if says("persistentvolumeclaim") || reason == "FailedAttachVolume" => "ClaimNotBound",
        "FailedMount" | "CreateContainerConfigError" if says("secret") && says("not found") => {
            "SecretMissing"
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

fn condition<'a>(
    pod: &'a Pod,
    type_: &str,
) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
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

/// Time since then; none if clocks differ so much that it is still to come.
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).max(SignedDuration::ZERO).unsigned_abs()
}

/// Time since the pod was bound to a node, or made.
fn waited(pod: &Pod, now: Timestamp) -> Duration {
    let bound = condition(pod, "PodScheduled")
        .and_then(|condition| condition.last_transition_time.as_ref());
    let since = bound.or(pod.metadata.creation_timestamp.as_ref());
    since.map_or(Duration::ZERO, |time| self::since(time.0, now))
}

fn unscheduled(pod: &Pod) -> Option<(String, String)> {
    let condition =
        condition(pod, "PodScheduled").filter(|condition| condition.status == "False")?;
    let reason = condition.reason.clone().unwrap_or_else(|| "Unschedulable".into());
    Some((
        reason,
        condition.message.clone().unwrap_or_else(|| "no node has been found for the pod".into()),
    ))
}

/// A container that ended and is started again.
fn crashed(status: &ContainerStatus) -> Option<(String, String)> {
    let last =
        |state: &Option<ContainerState>| state.as_ref().and_then(|state| state.terminated.clone());
    let terminated = last(&status.last_state)?;
    let code = terminated.exit_code;
    let failed = terminated.message.as_deref().and_then(Termination::read);
    let said = match (&failed, terminated.message.as_deref().map(str::trim)) {
        (Some(Termination::Failed(failure)), _) => format!(": {}", failure.message),
        (None, Some(message)) if !message.is_empty() => format!(": {message}"),
        _ => String::new(),
    };
    let times = status.restart_count;
    if terminated.reason.as_deref() == Some("OOMKilled") && !status.ready {
        return Some((
            "OOMKilled".into(),
            format!(
                "the container used more memory than its limit, {times} time(s) so far: raise resources.limits.memory"
            ),
        ));
    }
    let waits = waiting(status).map(|(reason, _)| reason);
    // Between two crashes it runs for a moment, and is not ready: that is the same trouble.
    let runs_again = waits.is_none() && !status.ready && code != 0;
    if waits != Some("CrashLoopBackOff") && !runs_again {
        return None;
    }
    let reason = match failed {
        Some(Termination::Failed(failure)) if !failure.reason.is_empty() => failure.reason,
        _ => "CrashLoopBackOff".to_owned(),
    };
    Some((
        reason,
        format!("the container ended with exit code {code}, {times} time(s) so far{said}"),
    ))
}

/// What the container's status says of an image that cannot be had, or a container that cannot be made.
fn image_or_configuration(status: &ContainerStatus) -> Option<(String, String)> {
    let (reason, message) = waiting(status)?;
    let reason = match reason {
        // The two alternate; one name keeps the condition quiet.
        "ErrImagePull" => "ImagePullBackOff",
        "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => reason,
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PostStartHookError" => reason,
        _ => return None,
    };
    let message = if message.is_empty() { "the kubelet gives no details" } else { message };
    Some((reason.to_owned(), format!("image {}: {message}", status.image)))
}

/// What an Event says: the newest warning, or that the image is still being pulled.
fn reported(events: &[Event]) -> Option<(String, String)> {
    let warning = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .max_by_key(|event| event_time(event));
    if let Some(event) = warning {
        let reason = event
            .reason
            .clone()
            .filter(|reason| !reason.is_empty())
            .unwrap_or_else(|| "Warning".into());
        return Some((reason, event.message.clone().unwrap_or_default()));
    }
    let newest = events.iter().max_by_key(|event| event_time(event))?;
    (newest.reason.as_deref() == Some("Pulling"))
        .then(|| ("PullingImage".into(), newest.message.clone().unwrap_or_default()))
}

/// When an event was seen last.
pub fn event_time(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(event.event_time.as_ref().map(|time| time.0))
}

/// Why a Job, Deployment or ReplicaSet has no pods: what its events say of a quota, or of an admission that refuses them.
pub fn not_created(events: &[Event], name: &str) -> Option<Trouble> {
    let failed = events.iter().filter(|event| event.reason.as_deref() == Some("FailedCreate"));
    let newest = failed.max_by_key(|event| event_time(event))?;
    let message = newest.message.clone().unwrap_or_default();
    let reason = if message.contains("exceeded quota") { "QuotaExceeded" } else { "FailedCreate" };
    Some(Trouble { reason: reason.into(), message, pod: name.into() })
}

/// A container that is being made, and nobody says what it waits for.
fn creating(status: &ContainerStatus) -> Option<(String, String)> {
    let (reason, message) = waiting(status)?;
    let reason = if reason.is_empty() { "ContainerCreating" } else { reason };
    let message = if message.is_empty() { "the container is being created" } else { message };
    Some((reason.to_owned(), message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("a valid time")
    }

    fn pod(status: Value) -> Pod {
        let created = at(0).to_string();
        let pod = json!({
            "metadata": {"name": "p", "creationTimestamp": created},
            "spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]},
            "status": status,
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn container(state: Value) -> Value {
        let mut status = json!({"name": "main", "image": "i:1", "imageID": "", "ready": false, "restartCount": 3});
        status
            .as_object_mut()
            .expect("an object")
            .extend(state.as_object().expect("an object").clone());
        json!({"phase": "Pending", "containerStatuses": [status]})
    }

    fn waiting_for(reason: &str, message: &str) -> Value {
        container(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
    }

    fn event(type_: &str, reason: &str, message: &str, second: i64) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "type": type_, "reason": reason, "message": message,
            "lastTimestamp": at(second).to_string(),
        }))
        .expect("an event")
    }

    #[test]
    fn a_trouble_has_one_name_however_the_cluster_words_it() {
        let check = |of: &str, message: &str, expect: &str| {
            assert_eq!(reason(of, message), expect, "{of}: {message}");
        };
        let quota = "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1";
        check("FailedCreate", quota, "QuotaExceeded");
        let unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
        check("Unschedulable", unbound, "ClaimNotBound");
        check("Unschedulable", "persistentvolumeclaim \"models\" not found", "ClaimNotBound");
        check("FailedAttachVolume", "Multi-Attach error for volume", "ClaimNotBound");
        check("FailedMount", "MountVolume.SetUp failed: secret \"s3\" not found", "SecretMissing");
        check("FailedMount", "timed out", "FailedMount");
        check("ImagePullBackOff", "not found", "ImagePullFailed");
        check("ErrImageNeverPull", "", "ImagePullFailed");
        check("CrashLoopBackOff", "", "CrashLoop");
        check("OOMKilled", "", "OutOfMemory");
        check("Unschedulable", "1 Insufficient nvidia.com/gpu", "Unschedulable");
        check("DigestMismatch", "the file is truncated", "DigestMismatch");
        check("", "", "Unknown");
    }

    fn check(status: Value, events: &[Event], second: i64, expected: Option<(&str, &str)>) {
        let found = why(&pod(status.clone()), events, at(second));
        let found =
            found.as_ref().map(|trouble| (trouble.reason.as_str(), trouble.message.as_str()));
        assert_eq!(found, expected, "{status}");
    }

    #[test]
    fn a_pod_that_is_only_starting_is_in_no_trouble() {
        check(json!({"phase": "Pending"}), &[], 14, None);
        let starting = pod(json!({"phase": "Pending"}));
        assert_eq!(patience_left(&starting, at(14)), Some(Duration::from_secs(1)));
        assert_eq!(patience_left(&starting, at(15)), None);
        check(waiting_for("ErrImagePull", "not found"), &[], 14, None);
        check(json!({"phase": "Running"}), &[], 1000, None);
        check(json!({"phase": "Failed"}), &[], 1000, None);
    }

    #[test]
    fn the_scheduler_is_quoted() {
        let unschedulable = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            "lastTransitionTime": at(5).to_string()}]});
        check(unschedulable.clone(), &[], 19, None);
        check(
            unschedulable,
            &[],
            20,
            Some(("Unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")),
        );
    }

    #[test]
    fn an_image_that_cannot_be_had_has_one_name() {
        for reason in ["ErrImagePull", "ImagePullBackOff"] {
            check(
                waiting_for(reason, "not found"),
                &[],
                15,
                Some(("ImagePullFailed", "image i:1: not found")),
            );
        }
        check(
            waiting_for("CreateContainerConfigError", ""),
            &[],
            15,
            Some(("CreateContainerConfigError", "image i:1: the kubelet gives no details")),
        );
    }

    #[test]
    fn mounts_are_explained_by_the_newest_warning() {
        let events = [
            event("Warning", "FailedMount", "secret \"s3\" not found", 9),
            event("Warning", "FailedScheduling", "old", 2),
            event("Normal", "Scheduled", "", 10),
        ];
        let creating = waiting_for("ContainerCreating", "");
        assert!(
            needs_events(&pod(creating.clone()), at(15))
                && !needs_events(&pod(creating.clone()), at(14))
        );
        check(creating.clone(), &events, 15, Some(("SecretMissing", "secret \"s3\" not found")));
        let pulling = [event("Normal", "Pulling", "Pulling image \"i:1\"", 3)];
        check(creating.clone(), &pulling, 15, Some(("PullingImage", "Pulling image \"i:1\"")));
        check(creating, &[], 15, Some(("ContainerCreating", "the container is being created")));
        assert!(!needs_events(&pod(waiting_for("ImagePullBackOff", "x")), at(15)));
    }

    #[test]
    fn a_crash_is_told_at_once_in_the_program_s_own_words() {
        let state = |last: Value| {
            container(
                json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": last}}),
            )
        };
        check(
            state(json!({"exitCode": 1, "message": "boom\n"})),
            &[],
            1,
            Some(("CrashLoop", "the container ended with exit code 1, 3 time(s) so far: boom")),
        );
        let message = r#"{"failed":{"reason":"DigestMismatch","message":"the file is truncated"}}"#;
        check(
            state(json!({"exitCode": 2, "message": message})),
            &[],
            1,
            Some((
                "DigestMismatch",
                "the container ended with exit code 2, 3 time(s) so far: the file is truncated",
            )),
        );
        let runs_again = |ready: bool, code: i32| {
            let last = json!({"terminated": {"exitCode": code}});
            container(json!({"state": {"running": {}}, "ready": ready, "lastState": last}))
        };
        let same = "the container ended with exit code 1, 3 time(s) so far";
        check(runs_again(false, 1), &[], 1, Some(("CrashLoop", same)));
        check(runs_again(true, 1), &[], 1, None);
        check(runs_again(false, 0), &[], 1, None);
        check(
            state(json!({"exitCode": 137, "reason": "OOMKilled"})),
            &[],
            1,
            Some((
                "OutOfMemory",
                "the container used more memory than its limit, 3 time(s) so far: raise resources.limits.memory",
            )),
        );
    }
}
