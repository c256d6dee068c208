//! What a kubelet would write into a pod's status. No I/O.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use textnlp_crds::task::labels;

use crate::answers;

/// What is to be done for a pod.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// It starts, and serves until it is stopped.
    Serve(Value),
    /// It starts, and its work is done at once: the two statuses.
    Work(Value, Value),
    /// It is to go.
    Remove,
    /// Nothing.
    Nothing,
}

/// What is to be done for a pod that a node at `address` has, at `now`.
pub(crate) fn step(pod: &Pod, address: &str, now: &str) -> Step {
    if pod.metadata.deletion_timestamp.is_some() {
        return Step::Remove;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if !matches!(phase, None | Some("Pending")) {
        return Step::Nothing;
    }
    let running = status(pod, address, now, &json!({"running": {"startedAt": now}}));
    let component = pod.labels().get(labels::COMPONENT).map_or("", String::as_str);
    let index = pod.annotations().get("batch.kubernetes.io/job-completion-index");
    let shard = index.and_then(|index| index.parse().ok()).unwrap_or(0);
    match answers::answer(component, shard) {
        None => Step::Serve(running),
        Some(answer) => {
            let terminated = json!({"terminated": {
                "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now, "message": answer.write()
            }});
            Step::Work(running, status(pod, address, now, &terminated))
        }
    }
}

/// A status in which all containers are in one state.
fn status(pod: &Pod, address: &str, now: &str, state: &Value) -> Value {
    let runs = state.get("running").is_some();
    let ready = if runs { "True" } else { "False" };
    let condition = |kind: &str, status: &str, reason: Option<&str>| json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": now});
    let ended = (!runs).then_some("PodCompleted");
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let containers: Vec<Value> = containers
        .map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": container.image, "containerID": "none://0",
                "ready": runs, "started": runs, "restartCount": 0, "state": state
            })
        })
        .collect();
    json!({"status": {
        "phase": if runs { "Running" } else { "Succeeded" },
        "conditions": [
            condition("PodScheduled", "True", None),
            condition("PodReadyToStartContainers", ready, None),
            condition("Initialized", "True", ended),
            condition("ContainersReady", ready, ended),
            condition("Ready", ready, ended),
        ],
        "hostIP": address, "podIP": address, "podIPs": [{"ip": address}], "startTime": now,
        "containerStatuses": containers
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(component: &str, extra: Value) -> Pod {
        let mut pod = json!({
            "metadata": {
                "name": "p", "labels": {"app.kubernetes.io/component": component},
                "annotations": {"batch.kubernetes.io/job-completion-index": "3"}
            },
            "spec": {"containers": [{"name": "textnlp", "image": "i"}]},
            "status": {"phase": "Pending"}
        });
        for (key, value) in extra.as_object().expect("an object") {
            pod[key] = value.clone();
        }
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn a_step_ends_with_its_answer_a_server_stays_ready() {
        let Step::Work(running, done) =
            step(&pod("worker", json!({})), "10.0.0.1", "2026-01-01T00:00:00Z")
        else {
            panic!("a worker works")
        };
        assert_eq!(running["status"]["phase"], "Running");
        assert_eq!(done["status"]["phase"], "Succeeded");
        let message = &done["status"]["containerStatuses"][0]["state"]["terminated"]["message"];
        assert_eq!(message, r#"{"generated":{"shard":3,"rows":32,"failed":0}}"#);

        let Step::Serve(status) =
            step(&pod("server", json!({})), "10.0.0.1", "2026-01-01T00:00:00Z")
        else {
            panic!("a server serves")
        };
        let ready =
            status["status"]["conditions"].as_array().expect("a list").last().expect("one").clone();
        assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("True")));
    }

    #[test]
    fn a_pod_that_was_looked_after_is_left_alone_until_it_is_deleted() {
        let running = json!({"status": {"phase": "Running"}});
        assert_eq!(step(&pod("server", running), "", ""), Step::Nothing);
        let leaving =
            json!({"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(step(&pod("server", leaving), "", ""), Step::Remove);
    }
}
