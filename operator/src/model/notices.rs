//! Which Kubernetes Events a change of status is worth. Pure.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use textnlp_crds::conditions::{Condition, types};
use textnlp_crds::{ModelDeployment, ModelDeploymentStatus};

use crate::conditions;
use crate::events::{Notice, Severity};

/// Reasons of `Reconciling` that are the ordinary course of a model.
const ORDINARY: [&str; 6] =
    ["Fetching", "Starting", "ScalingUp", "RollingOut", "PullingImage", "ContainerCreating"];

/// The events between two statuses of a model.
pub fn between(
    model: &ModelDeployment,
    before: &ModelDeploymentStatus,
    after: &ModelDeploymentStatus,
) -> Vec<Notice> {
    let regarding = ObjectReference { resource_version: None, ..model.object_ref(&()) };
    let notice = |severity, reason: &str, note: &str| Notice {
        regarding: regarding.clone(),
        severity,
        reason: reason.into(),
        note: note.into(),
        action: "Reconcile",
    };
    let changed = |type_: &str| -> Option<&Condition> {
        let now = conditions::find(&after.conditions, type_)?;
        let then = conditions::find(&before.conditions, type_);
        let same = then.is_some_and(|then| then.status == now.status && then.reason == now.reason);
        (!same).then_some(now)
    };
    let mut notices = Vec::new();
    for type_ in [types::MODEL_CACHED, types::READY] {
        if let Some(now) = changed(type_).filter(|now| now.status == "True") {
            notices.push(notice(Severity::Normal, &now.reason, &now.message));
        }
    }
    for type_ in [types::RECONCILING, types::STALLED] {
        let is_news =
            |now: &&Condition| now.status == "True" && !ORDINARY.contains(&now.reason.as_str());
        if let Some(now) = changed(type_).filter(is_news) {
            notices.push(notice(Severity::Warning, &now.reason, &now.message));
        }
    }
    if let Some(now) = changed(types::SCALED).filter(|now| now.status != "True") {
        notices.push(notice(Severity::Warning, &now.reason, &now.message));
    }
    if let (Some(then), Some(now)) = (before.desired_replicas, after.desired_replicas)
        && then != now
    {
        notices.push(notice(Severity::Normal, "Scaled", &format!("from {then} to {now} servers")));
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::super::fixture::deployment;
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    fn status(
        conditions: &[(&str, conditions::State, &str)],
        desired: i32,
    ) -> ModelDeploymentStatus {
        let mut set = conditions::Conditions::new(&[], Some(1), Timestamp::UNIX_EPOCH);
        for (type_, state, reason) in conditions {
            set.set(type_, *state, reason, "why");
        }
        let conditions = set.finish();
        ModelDeploymentStatus {
            conditions,
            desired_replicas: Some(desired),
            ..ModelDeploymentStatus::default()
        }
    }

    fn check(
        before: &ModelDeploymentStatus,
        after: &ModelDeploymentStatus,
        expect: &[(Severity, &str)],
    ) {
        let model = deployment(json!({"source": {"huggingFace": {"repo": "a/b"}}}));
        let notices = between(&model, before, after);
        let found: Vec<_> =
            notices.iter().map(|notice| (notice.severity, notice.reason.as_str())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn events_tell_what_changed_and_nothing_ordinary() {
        use conditions::State::{False, True};
        let fresh = ModelDeploymentStatus::default();
        let fetching =
            status(&[("Ready", False, "Fetching"), ("Reconciling", True, "Fetching")], 1);
        check(&fresh, &fetching, &[]);
        let unschedulable =
            status(&[("Ready", False, "Unschedulable"), ("Reconciling", True, "Unschedulable")], 1);
        check(&fetching, &unschedulable, &[(Severity::Warning, "Unschedulable")]);
        check(&unschedulable, &unschedulable, &[]);
        let serving = status(&[("Ready", True, "Serving"), ("Reconciling", False, "Serving")], 3);
        check(
            &unschedulable,
            &serving,
            &[(Severity::Normal, "Serving"), (Severity::Normal, "Scaled")],
        );
        let stalled =
            status(&[("Ready", False, "InvalidModel"), ("Stalled", True, "InvalidModel")], 3);
        check(&serving, &stalled, &[(Severity::Warning, "InvalidModel")]);
        let taken = status(&[("Scaled", False, "ReplicasOwnedByOther")], 3);
        check(&stalled, &taken, &[(Severity::Warning, "ReplicasOwnedByOther")]);
    }
}
