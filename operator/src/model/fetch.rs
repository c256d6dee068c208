//! The fetch Job: what it looks like, and what became of it. Pure.
//!
//! Its name carries the hash of the source, so that another source has another Job. Its answer is kept in an annotation of the
//! Job, where it survives the pods and the operator. A Job that failed is made again after a pause that grows to five minutes:
//! mending the file, the Secret or the network is enough, nothing needs to be deleted.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use textnlp_crds::task::{Fetched, Termination};

use crate::{meta, pods};

/// Component of fetch pods, and the command that they run.
pub const FETCH: &str = "fetch";
/// Annotation of a fetch Job: the JSON of its [`Fetched`].
pub const FETCHED: &str = "textnlp.dev/fetched";
/// Annotation of a fetch Job: the JSON of its [`FetchFailure`], or of its predecessor's while it runs.
pub const FAILURE: &str = "textnlp.dev/failure";
/// Annotation of a fetch Job: how many Jobs failed before it.
pub const ATTEMPT: &str = "textnlp.dev/attempt";

/// The exit code of a pod whose work cannot succeed however often it is tried.
pub const HOPELESS: i32 = 2;
/// Reasons with which a server ends that finds another model than the fetch Job found, or none.
const ANOTHER_MODEL: [&str; 3] = ["ModelChanged", "InvalidModel", "ModelUnreadable"];
/// The pause before a failed Job is made again: this long, then twice as long each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);

/// Why a model could not be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchFailure {
    /// One word, as a condition's reason.
    pub reason: String,
    /// What happened, and what to do.
    pub message: String,
    /// Whether only another source, or another file there, can help (exit code 2).
    pub permanent: bool,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The exit code of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl FetchFailure {
    fn is_like(&self, other: &Self) -> bool {
        (&self.reason, &self.message, self.exit_code)
            == (&other.reason, &other.message, other.exit_code)
    }
}

/// What became of the fetch Job.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetch {
    /// There is none.
    Missing,
    /// It is being deleted.
    Leaving,
    /// It runs, or will.
    Running {
        /// Why the Job before it failed, if there was one, or why a pod of this one did.
        failure: Option<FetchFailure>,
    },
    /// The model is there.
    Done {
        /// The answer.
        fetched: Box<Fetched>,
        /// Whether the answer still has to be written down.
        record: bool,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: FetchFailure,
        /// Whether that still has to be written down.
        record: bool,
        /// When it is made again.
        again: Timestamp,
    },
    /// It ended well, but nobody can read its answer any more.
    Lost,
}

/// Reads a fetch Job and its pods.
pub fn read(job: Option<&Job>, pods: &[&Pod]) -> Fetch {
    let Some(job) = job else { return Fetch::Missing };
    if job.metadata.deletion_timestamp.is_some() {
        return Fetch::Leaving;
    }
    if let Some(fetched) = annotation::<Fetched>(job, FETCHED) {
        return Fetch::Done { fetched: Box::new(fetched), record: false };
    }
    let recorded = annotation::<FetchFailure>(job, FAILURE);
    let own_pods: Vec<&Pod> = pods.iter().copied().filter(|pod| is_of(pod, job)).collect();
    let failure = match (last_failure(&own_pods), recorded.clone()) {
        // The first cause stays: it is the same again in each attempt, only the pod is another.
        (Some(new), Some(old)) if new.is_like(&old) => Some(old),
        (new, old) => new.or(old),
    };
    let status = job.status.as_ref();
    if ended(status, "Complete").is_some() {
        return match own_pods.iter().find_map(|pod| answer(pod)) {
            Some(fetched) => Fetch::Done { fetched: Box::new(fetched), record: true },
            None => Fetch::Lost,
        };
    }
    match ended(status, "Failed") {
        Some((at, reason, message)) => {
            let failure = failure.unwrap_or_else(|| FetchFailure {
                reason: "FetchFailed".into(),
                message: format!("the fetch Job failed ({reason}): {message}"),
                ..FetchFailure::default()
            });
            let record = recorded.as_ref() != Some(&failure);
            Fetch::Failed {
                failure,
                record,
                again: at.saturating_add(pause(attempt(job))).unwrap_or(at),
            }
        }
        None => Fetch::Running { failure },
    }
}

/// How many Jobs failed before this one.
pub fn attempt(job: &Job) -> u32 {
    job.annotations().get(ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the Job is still what would be created now. A Job cannot be changed; one that waits for an image that the spec no
/// longer names is replaced.
pub fn is_current(job: &Job, wanted: &Job) -> bool {
    job.annotations().get(meta::DESIRED_HASH) == wanted.annotations().get(meta::DESIRED_HASH)
}

/// The Job, as the one after `attempts` that failed, the last of them for `failure`.
pub fn after(mut wanted: Job, attempts: u32, failure: &FetchFailure) -> Job {
    let failure = serde_json::to_string(failure).unwrap_or_default();
    let annotations = wanted.annotations_mut();
    annotations.insert(ATTEMPT.into(), attempts.to_string());
    annotations.insert(FAILURE.into(), failure);
    wanted
}

fn pause(attempts: u32) -> SignedDuration {
    FIRST_PAUSE.checked_mul(1 << attempts.min(8)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

fn annotation<T: for<'a> Deserialize<'a>>(job: &Job, key: &str) -> Option<T> {
    serde_json::from_str(job.annotations().get(key)?).ok()
}

fn is_of(pod: &Pod, job: &Job) -> bool {
    let uid = job.metadata.uid.as_deref();
    pod.owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid)
}

/// Whether a server that ended with this reason makes the operator look at the model again.
pub fn asks_for_another_look(reason: &str) -> bool {
    ANOTHER_MODEL.contains(&reason)
}

/// Whether a server that ended after the Job did says that the model is another than the Job found: then it has to be looked at
/// again. A user's claim may change under the servers.
pub fn is_outdated(job: &Job, servers: &[Arc<Pod>]) -> bool {
    let Some((looked, ..)) = ended(job.status.as_ref(), "Complete") else { return false };
    servers.iter().flat_map(|pod| ends_of_containers(pod)).any(|end| {
        let later = end.finished_at.as_ref().is_some_and(|time| time.0 > looked);
        let said = end.message.as_deref().and_then(Termination::read);
        later && matches!(said, Some(Termination::Failed(failure)) if asks_for_another_look(&failure.reason))
    })
}

/// How the pod's containers ended, the last time and the time before.
fn ends_of_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStateTerminated> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let states =
        statuses.into_iter().flatten().flat_map(|status| [&status.state, &status.last_state]);
    states.filter_map(|state| state.as_ref()?.terminated.as_ref())
}

/// When and why a Job ended with a condition.
fn ended(status: Option<&JobStatus>, type_: &str) -> Option<(Timestamp, String, String)> {
    let conditions = status?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == type_ && c.status == "True")?;
    let at = condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some((
        at,
        condition.reason.clone().unwrap_or_default(),
        condition.message.clone().unwrap_or_default(),
    ))
}

fn answer(pod: &Pod) -> Option<Fetched> {
    match pods::end(pod)?.answer? {
        Termination::Fetched(fetched) => Some(fetched),
        _ => None,
    }
}

/// The failure of the pod that failed last.
fn last_failure(pods: &[&Pod]) -> Option<FetchFailure> {
    let failed = pods.iter().filter_map(|pod| Some((pod.creation_timestamp(), failure(pod)?)));
    failed.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, failure)| failure)
}

fn failure(pod: &Pod) -> Option<FetchFailure> {
    let end = pods::end(pod).filter(|end| end.exit_code != Some(0))?;
    let (reason, message) = match end.answer {
        Some(Termination::Failed(failure)) => (failure.reason, failure.message),
        _ => (pods::reason(&end.reason, &end.message), end.message),
    };
    Some(FetchFailure {
        reason,
        message,
        permanent: end.exit_code == Some(HOPELESS),
        pod: Some(end.pod),
        exit_code: end.exit_code,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::fetched;
    use super::*;
    use serde_json::{Value, json};
    use textnlp_crds::task::TaskFailure;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn job(annotations: Value, condition: Option<&str>) -> Job {
        let conditions = condition.map(|type_| {
            json!([{
                "type": type_, "status": "True", "reason": "PodFailurePolicy", "message": "exit code 2",
                "lastTransitionTime": at(0).to_string(),
            }])
        });
        serde_json::from_value(json!({
            "metadata": {"name": "fetch", "uid": "job-1", "annotations": annotations},
            "status": {"conditions": conditions},
        }))
        .expect("a Job")
    }

    /// A pod that ended with that exit code and message; its Job is `job-1`.
    fn pod(name: &str, exit_code: i32, message: &str) -> Pod {
        owned_pod("job-1", name, exit_code, message)
    }

    fn owned_pod(owner: &str, name: &str, exit_code: i32, message: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "fetch", "uid": owner, "controller": true}],
            },
            "status": {
                "phase": if exit_code == 0 { "Succeeded" } else { "Failed" },
                "containerStatuses": [{
                    "name": "textnlp", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": exit_code, "reason": "Error", "message": message}},
                }],
            },
        }))
        .expect("a pod")
    }

    fn answered() -> String {
        Termination::Fetched(fetched()).write()
    }

    fn truncated(pod: &str) -> FetchFailure {
        FetchFailure {
            reason: "ModelUnreadable".into(),
            message: "the file is truncated".into(),
            permanent: true,
            pod: Some(pod.into()),
            exit_code: Some(2),
        }
    }

    const TRUNCATED: &str =
        r#"{"failed":{"reason":"ModelUnreadable","message":"the file is truncated"}}"#;

    fn check(job: &Job, pods: &[Pod], expect: Fetch) {
        let pods: Vec<&Pod> = pods.iter().collect();
        assert_eq!(read(Some(job), &pods), expect);
    }

    #[test]
    fn an_answer_is_read_from_the_pod_once_and_then_from_the_job() {
        let done = |record| Fetch::Done { fetched: Box::new(fetched()), record };
        check(&job(json!({}), Some("Complete")), &[pod("a", 0, &answered())], done(true));
        let recorded = json!({FETCHED: serde_json::to_string(&fetched()).expect("JSON")});
        check(&job(recorded, Some("Complete")), &[], done(false));
    }

    #[test]
    fn a_job_whose_answer_nobody_can_read_is_lost() {
        check(&job(json!({}), Some("Complete")), &[], Fetch::Lost);
        check(&job(json!({}), Some("Complete")), &[pod("a", 0, "Killed")], Fetch::Lost);
        check(
            &job(json!({}), Some("Complete")),
            &[owned_pod("job-0", "a", 0, &answered())],
            Fetch::Lost,
        );
    }

    #[test]
    fn a_job_that_has_not_ended_runs() {
        check(&job(json!({}), None), &[], Fetch::Running { failure: None });
        let tried_again =
            pod("a", 1, r#"{"failed":{"reason":"Unreachable","message":"no route"}}"#);
        let failure = FetchFailure {
            reason: "Unreachable".into(),
            message: "no route".into(),
            permanent: false,
            pod: Some("a".into()),
            exit_code: Some(1),
        };
        check(&job(json!({}), None), &[tried_again], Fetch::Running { failure: Some(failure) });
        assert_eq!(read(None, &[]), Fetch::Missing);
    }

    #[test]
    fn a_failed_job_is_made_again_after_a_pause_that_grows() {
        let failed = |pause: i64, record| Fetch::Failed {
            failure: truncated("a"),
            record,
            again: at(pause),
        };
        check(&job(json!({}), Some("Failed")), &[pod("a", 2, TRUNCATED)], failed(30, true));
        for (attempt, pause) in [(1, 60), (2, 120), (3, 240), (4, 300), (4_000_000, 300)] {
            let recorded = serde_json::to_string(&truncated("a")).expect("JSON");
            let job = job(json!({ATTEMPT: attempt.to_string(), FAILURE: recorded}), Some("Failed"));
            // The pod of a later attempt says the same: the first cause stays.
            check(&job, &[pod("b", 2, TRUNCATED)], failed(pause, false));
        }
    }

    #[test]
    fn a_job_that_failed_without_a_word_tells_what_kubernetes_says() {
        let failure = FetchFailure {
            reason: "FetchFailed".into(),
            message: "the fetch Job failed (PodFailurePolicy): exit code 2".into(),
            ..FetchFailure::default()
        };
        check(
            &job(json!({}), Some("Failed")),
            &[],
            Fetch::Failed { failure, record: true, again: at(30) },
        );
    }

    #[test]
    fn the_next_job_knows_why_the_one_before_failed() {
        let next = after(job(json!({}), None), 3, &truncated("a"));
        assert_eq!(attempt(&next), 3);
        check(&next, &[], Fetch::Running { failure: Some(truncated("a")) });
    }

    #[test]
    fn a_server_that_finds_another_model_asks_for_another_look() {
        let server = |second: i64, reason: &str| {
            let message =
                Termination::Failed(TaskFailure { reason: reason.into(), message: "m".into() })
                    .write();
            let last = json!({"terminated": {"exitCode": 2, "finishedAt": at(second).to_string(), "message": message}});
            let status = json!({"name": "textnlp", "image": "", "imageID": "", "ready": false, "restartCount": 1, "lastState": last});
            Arc::new(
                serde_json::from_value(
                    json!({"metadata": {}, "status": {"containerStatuses": [status]}}),
                )
                .expect("a pod"),
            )
        };
        let check = |second: i64, reason: &str, expect: bool| {
            let looked = job(json!({}), Some("Complete"));
            assert_eq!(
                is_outdated(&looked, &[server(second, reason)]),
                expect,
                "{reason} at {second}"
            );
        };
        check(1, "ModelChanged", true);
        check(1, "InvalidModel", true);
        check(1, "UnsupportedEngine", false);
        check(0, "ModelChanged", false);
        check(-5, "ModelChanged", false);
        assert!(!is_outdated(&job(json!({}), None), &[server(1, "ModelChanged")]));
    }

    #[test]
    fn annotations_that_are_no_answer_are_passed_over() {
        check(
            &job(json!({FETCHED: "{", FAILURE: "[]", ATTEMPT: "-1"}), None),
            &[],
            Fetch::Running { failure: None },
        );
    }
}
