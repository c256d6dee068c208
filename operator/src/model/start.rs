//! How long a server's start took, from what the cluster says about its pod. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use textnlp_crds::model_status::ColdStart;

use crate::pods;

/// The start of the server that became ready last; servers that were started again in their pod do not count. `load_seconds`
/// tells by a pod's UID how long it took to load the model.
pub fn cold_start<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    load_seconds: impl Fn(&str) -> Option<f64>,
) -> Option<ColdStart> {
    let fresh = pods.into_iter().filter(|pod| pods::is_ready(pod) && !was_restarted(pod));
    let (ready, pod) = fresh
        .filter_map(|pod| Some((since(pod, "Ready")?, pod)))
        .max_by_key(|(ready, _)| *ready)?;
    let created = pod.metadata.creation_timestamp.as_ref()?.0;
    let scheduled = since(pod, "PodScheduled");
    let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let seconds = to?.duration_since(from?).as_secs_f64();
        Some(seconds.max(0.0))
    };
    Some(ColdStart {
        schedule_seconds: seconds(Some(created), scheduled),
        pull_seconds: seconds(scheduled, started(pod)),
        load_seconds: pod
            .metadata
            .uid
            .as_deref()
            .and_then(load_seconds)
            .map(|s| (s * 10.0).round() / 10.0),
        total_seconds: seconds(Some(created), Some(ready)),
    })
}

fn was_restarted(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().any(|status| status.restart_count > 0)
}

/// Since when a condition of the pod holds.
fn since(pod: &Pod, type_: &str) -> Option<Timestamp> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let condition =
        conditions.find(|condition| condition.type_ == type_ && condition.status == "True")?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// When the container began: its image was there, its volumes were mounted.
fn started(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let running = statuses.first()?.state.as_ref()?.running.as_ref()?;
    running.started_at.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(uid: &str, created: &str, ready: &str, restarts: i32) -> Pod {
        let ready: Value = json!({"type": "Ready", "status": "True", "lastTransitionTime": ready});
        let pod = json!({
            "metadata": {"name": uid, "uid": uid, "creationTimestamp": created},
            "status": {
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-24T10:00:02Z"},
                    ready,
                ],
                "containerStatuses": [{
                    "name": "textnlp", "image": "", "imageID": "", "ready": true, "restartCount": restarts,
                    "state": {"running": {"startedAt": "2026-11-24T10:00:05Z"}},
                }],
            },
        });
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn the_last_start_is_divided_into_its_phases() {
        let first = pod("a", "2026-11-24T10:00:00Z", "2026-11-24T10:00:09Z", 0);
        let last = pod("b", "2026-11-24T10:00:01Z", "2026-11-24T10:00:20Z", 0);
        let again = pod("c", "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z", 1);
        let start = cold_start([&first, &last, &again], |uid| (uid == "b").then_some(3.12));
        let expect = ColdStart {
            schedule_seconds: Some(1.0),
            pull_seconds: Some(3.0),
            load_seconds: Some(3.1),
            total_seconds: Some(19.0),
        };
        assert_eq!(start, Some(expect));
    }

    #[test]
    fn a_server_that_is_not_ready_has_no_start_yet() {
        let mut pod = pod("a", "2026-11-24T10:00:00Z", "2026-11-24T10:00:09Z", 0);
        if let Some(conditions) = pod.status.as_mut().and_then(|status| status.conditions.as_mut())
        {
            conditions[1].status = "False".into();
        }
        assert_eq!(cold_start([&pod], |_| None), None);
    }
}
