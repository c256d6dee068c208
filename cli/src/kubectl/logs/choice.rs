//! Which pods' logs are read, and in which order. No I/O.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt;
use textnlp_crds::task::labels;

use super::super::args::Step;

/// Annotation: the attempt that a child Job belongs to.
const ATTEMPT: &str = "textnlp.dev/attempt";
/// Annotation and label of the pods of an Indexed Job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The main container of all pods.
const CONTAINER: &str = "textnlp";

/// A pod whose log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Its name.
    pub(crate) name: String,
    /// Its container.
    pub(crate) container: String,
    /// Whether there is a log.
    pub(crate) state: State,
    /// Tells this log from others: a container that starts again begins another.
    pub(crate) stream: String,
}

/// Whether a container has a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not started.
    Waiting,
    /// It runs, or has ended.
    Started,
    /// It has ended and waits to be started again: its last run has the log.
    BetweenStarts,
}

/// The pods of a job's latest attempt: prepare, workers by their index, finalize; the older one first.
pub(crate) fn of_job(jobs: &[Job], pods: &[Pod], step: Option<Step>) -> Vec<Choice> {
    let attempt = |job: &Job| {
        job.annotations().get(ATTEMPT).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)
    };
    let latest = jobs.iter().map(attempt).max().unwrap_or(0);
    let uids: Vec<String> =
        jobs.iter().filter(|job| attempt(job) == latest).filter_map(ResourceExt::uid).collect();
    let mut found: Vec<(Step, i64, &Pod)> = pods
        .iter()
        .filter(|pod| pod.owner_references().iter().any(|owner| uids.contains(&owner.uid)))
        .filter_map(|pod| {
            let of = Step::of(pod.labels().get(labels::COMPONENT)?)?;
            step.is_none_or(|wanted| wanted == of).then(|| (of, index(pod), pod))
        })
        .collect();
    found.sort_by_key(|(step, index, pod)| (*step, *index, created(pod), pod.name_any()));
    found.into_iter().map(|(_, _, pod)| choice(pod)).collect()
}

/// The pods of a model: those that fetch it, then its servers.
pub(crate) fn of_model(pods: &[Pod]) -> Vec<Choice> {
    let mut pods: Vec<&Pod> = pods.iter().collect();
    pods.sort_by_key(|pod| {
        let component = pod.labels().get(labels::COMPONENT).cloned();
        (component.as_deref() != Some("fetch"), created(pod), pod.name_any())
    });
    pods.into_iter().map(choice).collect()
}

fn index(pod: &Pod) -> i64 {
    let text = pod.annotations().get(INDEX).or_else(|| pod.labels().get(INDEX));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn created(pod: &Pod) -> Option<k8s_openapi::jiff::Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn choice(pod: &Pod) -> Choice {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let names: Vec<&str> = containers.map(|container| container.name.as_str()).collect();
    // Sidecars that a mesh injects are not ours.
    let container = names
        .iter()
        .find(|name| **name == CONTAINER)
        .or(names.first())
        .copied()
        .unwrap_or(CONTAINER);
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let status = statuses.into_iter().flatten().find(|status| status.name == container);
    let begun = |state: &Option<ContainerState>| {
        state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    let state = match status {
        Some(status) if begun(&status.state) => State::Started,
        Some(status) if begun(&status.last_state) => State::BetweenStarts,
        _ => State::Waiting,
    };
    let restarts = status.map_or(0, |status| status.restart_count);
    let uid = pod.uid().unwrap_or_default();
    Choice {
        name: pod.name_any(),
        container: container.into(),
        state,
        stream: format!("{uid}/{restarts}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubectl::testing::read;

    fn job(uid: &str, attempt: &str) -> Job {
        read(json!({"metadata": {"name": uid, "uid": uid, "annotations": {ATTEMPT: attempt}}}))
    }

    fn pod(name: &str, owner: &str, component: &str, index: &str, state: Value) -> Pod {
        read(json!({
            "metadata": {"name": name, "uid": name, "labels": {labels::COMPONENT: component},
                "annotations": {INDEX: index},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": owner, "controller": true}]},
            "spec": {"containers": [{"name": "mesh"}, {"name": "textnlp"}]},
            "status": {"containerStatuses": [{"name": "textnlp", "image": "", "imageID": "", "ready": false,
                "restartCount": 1, "state": state, "lastState": {"terminated": {"exitCode": 1}}}]},
        }))
    }

    #[test]
    fn the_latest_attempt_is_told_in_the_order_of_its_steps() {
        let running = json!({"running": {}});
        let jobs =
            [job("old", "0"), job("prepare", "1"), job("generate", "1"), job("finalize", "1")];
        let pods = [
            pod(
                "f",
                "finalize",
                "finalize",
                "0",
                json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            ),
            pod("w10", "generate", "worker", "10", running.clone()),
            pod("w2", "generate", "worker", "2", running.clone()),
            pod("p", "prepare", "prepare", "0", running.clone()),
            pod("before", "old", "prepare", "0", running.clone()),
            pod("stranger", "somebody", "worker", "0", running),
        ];
        let names =
            |step| of_job(&jobs, &pods, step).into_iter().map(|pod| pod.name).collect::<Vec<_>>();
        assert_eq!(names(None), ["p", "w2", "w10", "f"]);
        assert_eq!(names(Some(Step::Worker)), ["w2", "w10"]);
        let last = of_job(&jobs, &pods, Some(Step::Finalize));
        assert_eq!(
            last,
            [Choice {
                name: "f".into(),
                container: "textnlp".into(),
                state: State::BetweenStarts,
                stream: "f/1".into()
            }]
        );
        assert!(of_job(&[], &pods, None).is_empty());
    }

    #[test]
    fn a_models_fetch_is_told_before_its_servers() {
        let running = json!({"running": {}});
        let pods =
            [pod("s", "x", "server", "0", running.clone()), pod("z", "x", "fetch", "0", running)];
        let names: Vec<_> = of_model(&pods).into_iter().map(|pod| pod.name).collect();
        assert_eq!(names, ["z", "s"]);
    }
}
