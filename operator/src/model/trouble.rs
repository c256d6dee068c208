//! Why a model's pods do not run, of all that the cluster says about them: the first cause. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;

use super::fetch::{FetchFailure, HOPELESS, asks_for_another_look};
use crate::error::Error;
use crate::pods;

/// Why something does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word, as a condition's reason.
    pub reason: String,
    /// A sentence, with the cluster's own words.
    pub message: String,
    /// The pod, if it is one.
    pub pod: Option<String>,
    /// The exit code of its container, if it ended.
    pub exit_code: Option<i32>,
    /// Whether nothing more will happen until the spec, or what it names, changes.
    pub stalled: bool,
}

/// Events about what waits, by its UID.
pub type Events = HashMap<String, Vec<Event>>;

/// Why servers do not run: what the oldest pod in trouble says, else why the Deployment cannot make pods.
pub fn of_servers(
    deployment: Option<&Deployment>,
    pods: &[Arc<Pod>],
    events: &Events,
    now: Timestamp,
) -> Option<Trouble> {
    of_pods(pods, events, now).or_else(|| refused_pods(deployment?))
}

/// Why a fetch Job does not run: what its pod says, else what Events say about a Job that has none.
pub fn of_fetch(
    job: Option<&Job>,
    pods: &[Arc<Pod>],
    events: &Events,
    now: Timestamp,
) -> Option<Trouble> {
    of_pods(pods, events, now).or_else(|| {
        let about_job = events.get(job?.metadata.uid.as_ref()?)?;
        let refused = pods::not_created(about_job, "")?;
        Some(Trouble::no_pods(&refused.reason, &refused.message))
    })
}

fn of_pods(pods: &[Arc<Pod>], events: &Events, now: Timestamp) -> Option<Trouble> {
    let about = |pod: &Pod| {
        pod.metadata.uid.as_ref().and_then(|uid| events.get(uid)).map_or(&[][..], Vec::as_slice)
    };
    let why = |pod: &Arc<Pod>| Some((pod.clone(), pods::why(pod, about(pod), now)?));
    let mut troubled: Vec<_> = pods.iter().filter_map(why).collect();
    troubled.sort_by_key(|(pod, _)| (pod.creation_timestamp(), pod.name_any()));
    let (pod, why) = troubled.into_iter().next()?;
    let exit_code = exit_code(&pod);
    Some(Trouble {
        pod: Some(why.pod),
        exit_code,
        // The same flags will not do better the next time; a model is looked at again, and that tells.
        stalled: exit_code == Some(HOPELESS) && !asks_for_another_look(&why.reason),
        ..Trouble::named(&why.reason, why.message)
    })
}

/// The exit code of a container that ended and is started again.
fn exit_code(pod: &Pod) -> Option<i32> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .iter()
        .find_map(|status| Some(status.last_state.as_ref()?.terminated.as_ref()?.exit_code))
}

/// Why the Deployment's ReplicaSet cannot make pods: a quota, or an admission rule.
fn refused_pods(deployment: &Deployment) -> Option<Trouble> {
    let mut conditions = deployment.status.as_ref()?.conditions.iter().flatten();
    let failed = conditions
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let reason = failed.reason.as_deref().unwrap_or("FailedCreate");
    Some(Trouble::no_pods(reason, failed.message.as_deref().unwrap_or_default()))
}

impl Trouble {
    /// A trouble that can still be mended, under the name that this project gives it.
    fn named(reason: &str, message: String) -> Self {
        Self {
            reason: pods::reason(reason, &message),
            message,
            pod: None,
            exit_code: None,
            stalled: false,
        }
    }

    /// No pod can be made. The name of the pod that could not be is another each time, and left out.
    fn no_pods(reason: &str, message: &str) -> Self {
        let why = message.split_once(" is forbidden: ").map_or(message, |(_, why)| why);
        Self::named(reason, format!("the cluster refuses its pods: {why}"))
    }

    /// Names the claim that a pod waits for: the scheduler does not always.
    pub fn with_claim(self, claim: &str) -> Self {
        match self.reason == "ClaimNotBound" && !self.message.contains(claim) {
            true => Self { message: format!("the claim {claim}: {}", self.message), ..self },
            false => self,
        }
    }

    /// The API server does not take a child as it is.
    pub fn refused(error: &Error) -> Self {
        let stalled = matches!(error.code(), Some(400 | 422));
        Self { stalled, ..Self::named(error.reason(), error.to_string()) }
    }

    /// The model could not be fetched.
    pub fn not_fetched(failure: &FetchFailure) -> Self {
        Self {
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            pod: failure.pod.clone(),
            exit_code: failure.exit_code,
            stalled: failure.permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    /// A pod that has waited for a minute; `created` orders pods.
    fn pod(uid: &str, created: i64, waiting: Value) -> Arc<Pod> {
        let created = Timestamp::from_second(1_800_000_000 - created).expect("a time").to_string();
        let pod = json!({
            "metadata": {"name": uid, "uid": uid, "creationTimestamp": created},
            "status": {
                "phase": "Pending",
                "containerStatuses": [{
                    "name": "textnlp", "image": "i:1", "imageID": "", "ready": false, "restartCount": 1,
                    "state": {"waiting": waiting},
                    "lastState": {"terminated": {"exitCode": 3}},
                }],
            },
        });
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    fn creating(uid: &str) -> Arc<Pod> {
        pod(uid, 60, json!({"reason": "ContainerCreating"}))
    }

    fn events(uid: &str, reason: &str, message: &str) -> Events {
        let event = json!({"metadata": {}, "involvedObject": {}, "type": "Warning", "reason": reason, "message": message});
        Events::from([(uid.to_owned(), vec![serde_json::from_value(event).expect("an event")])])
    }

    #[test]
    fn the_oldest_pod_tells_the_first_cause() {
        let pods = [
            pod("b", 60, json!({"reason": "ImagePullBackOff", "message": "not found"})),
            pod("a", 90, json!({"reason": "CrashLoopBackOff"})),
        ];
        let trouble = of_servers(None, &pods, &Events::new(), now()).expect("a trouble");
        assert_eq!(
            (trouble.reason.as_str(), trouble.pod.as_deref(), trouble.exit_code),
            ("CrashLoop", Some("a"), Some(3))
        );
    }

    #[test]
    fn a_server_that_says_that_it_never_can_is_stalled_unless_the_model_is_at_fault() {
        let check = |exit_code: i32, reason: &str, stalled: bool| {
            let message = format!(r#"{{"failed":{{"reason":"{reason}","message":"why"}}}}"#);
            let mut pod = (*pod("a", 60, json!({"reason": "CrashLoopBackOff"}))).clone();
            let statuses =
                pod.status.as_mut().and_then(|status| status.container_statuses.as_mut());
            let last = json!({"terminated": {"exitCode": exit_code, "message": message}});
            statuses.expect("statuses")[0].last_state =
                serde_json::from_value(last).expect("a state");
            let trouble =
                of_servers(None, &[Arc::new(pod)], &Events::new(), now()).expect("a trouble");
            assert_eq!(
                (trouble.reason.as_str(), trouble.stalled),
                (reason, stalled),
                "{exit_code}"
            );
        };
        check(2, "UnsupportedEngine", true);
        check(1, "EngineFailed", false);
        check(2, "ModelChanged", false);
    }

    #[test]
    fn events_explain_a_pod_that_says_nothing() {
        let mount = events(
            "a",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"secret\": secret \"hub\" not found",
        );
        let trouble = of_fetch(None, &[creating("a")], &mount, now()).expect("a trouble");
        assert_eq!(trouble.reason, "SecretMissing");
    }

    #[test]
    fn a_claim_that_is_waited_for_is_named() {
        let trouble = Trouble::named(
            "Unschedulable",
            "pod has unbound immediate PersistentVolumeClaims".into(),
        );
        let expect = "the claim models: pod has unbound immediate PersistentVolumeClaims";
        assert_eq!(trouble.with_claim("models").message, expect);
        let named =
            Trouble::named("Unschedulable", "persistentvolumeclaim \"models\" not found".into());
        assert_eq!(named.clone().with_claim("models"), named);
    }

    #[test]
    fn a_quota_shows_at_the_deployment_and_in_the_events_of_a_job() {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {},
            "status": {"conditions": [{
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                "message": "pods \"a\" is forbidden: exceeded quota: small",
            }]},
        }))
        .expect("a Deployment");
        let trouble = of_servers(Some(&deployment), &[], &Events::new(), now()).expect("a trouble");
        assert_eq!(trouble.reason, "QuotaExceeded");
        assert_eq!(trouble.message, "the cluster refuses its pods: exceeded quota: small");

        let job: Job = serde_json::from_value(json!({"metadata": {"uid": "j"}})).expect("a Job");
        let refused = events(
            "j",
            "FailedCreate",
            "Error creating: pods \"a\" is forbidden: exceeded quota: small",
        );
        let trouble = of_fetch(Some(&job), &[], &refused, now()).expect("a trouble");
        assert_eq!(trouble.reason, "QuotaExceeded");
        assert_eq!(of_fetch(Some(&job), &[], &Events::new(), now()), None);
    }
}
