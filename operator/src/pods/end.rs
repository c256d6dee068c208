//! How a pod ended. No I/O.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;
use textnlp_crds::task::Termination;

use super::{has_ended, statuses};

/// How a pod's main container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The pod.
    pub pod: String,
    /// The container's exit code; none if it never ran (the pod was evicted before).
    pub exit_code: Option<i32>,
    /// The cluster's word, such as `Completed`, `Error`, `OOMKilled`, `Evicted`.
    pub reason: String,
    /// The cluster's sentence, if it has one.
    pub message: String,
    /// What the container answered, if it can be read.
    pub answer: Option<Termination>,
    /// When it ended.
    pub time: Option<Timestamp>,
}

/// How the pod ended; none while it runs or waits.
pub fn end(pod: &Pod) -> Option<End> {
    if !has_ended(pod) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let terminated = statuses(pod).find_map(|status| status.state.as_ref()?.terminated.as_ref());
    let own = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(match terminated {
        Some(terminated) => End {
            pod: pod.name_any(),
            exit_code: Some(terminated.exit_code),
            // `Evicted` and the like stand at the pod, and say more than the container's `Error`.
            reason: status
                .reason
                .clone()
                .or_else(|| terminated.reason.clone())
                .unwrap_or_else(|| "Error".into()),
            message: status.message.clone().unwrap_or_else(|| ended(pod, terminated)),
            answer: terminated.message.as_deref().and_then(Termination::read),
            time: terminated.finished_at.as_ref().map(|time| time.0),
        },
        None => End {
            pod: pod.name_any(),
            exit_code: None,
            reason: status.reason.clone().unwrap_or_else(|| "PodFailed".into()),
            message: own(&status.message),
            answer: None,
            time: None,
        },
    })
}

/// A sentence on how a container ended.
fn ended(pod: &Pod, terminated: &ContainerStateTerminated) -> String {
    if terminated.reason.as_deref() == Some("OOMKilled") {
        let limit = pod.spec.as_ref().and_then(|spec| {
            let limits = spec.containers.first()?.resources.as_ref()?.limits.as_ref()?;
            limits.get("memory").map(|memory| memory.0.clone())
        });
        return match limit {
            Some(limit) => format!("the container used more memory than its limit of {limit}: raise resources.limits.memory"),
            None => "the container was killed since the node ran out of memory: set resources.requests.memory".into(),
        };
    }
    let said =
        match terminated.message.as_deref().map(|message| (Termination::read(message), message)) {
            Some((Some(Termination::Failed(failure)), _)) => format!(": {}", failure.message),
            Some((None, message)) if !message.trim().is_empty() => format!(": {}", message.trim()),
            _ => String::new(),
        };
    format!("the container ended with exit code {}{said}", terminated.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        let container = json!({"name": "main", "resources": {"limits": {"memory": "1Gi"}}});
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}, "status": status});
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn an_end_has_code_reason_and_answer() {
        let ended = |state: Value| {
            let container = json!({"name": "main", "image": "i:1", "imageID": "", "ready": false, "restartCount": 3,
                "state": {"terminated": state}});
            end(&pod(json!({"phase": "Failed", "containerStatuses": [container]})))
                .expect("it has ended")
        };
        let failed = ended(
            json!({"exitCode": 2, "reason": "Error", "message": r#"{"failed":{"reason":"X","message":"y"}}"#}),
        );
        assert_eq!((failed.exit_code, failed.reason.as_str()), (Some(2), "Error"));
        assert!(
            matches!(failed.answer, Some(Termination::Failed(failure)) if failure.reason == "X")
        );
        let killed = ended(json!({"exitCode": 137, "reason": "OOMKilled"}));
        assert!(killed.message.contains("limit of 1Gi"), "{}", killed.message);
        let evicted =
            pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on disk"}));
        let evicted = end(&evicted).expect("it has ended");
        assert_eq!(
            (evicted.exit_code, evicted.reason.as_str(), evicted.message.as_str()),
            (None, "Evicted", "low on disk")
        );
        assert_eq!(end(&pod(json!({"phase": "Running"}))), None);
    }
}
