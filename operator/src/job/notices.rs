//! Which Kubernetes Events a change of status is worth. No I/O.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use textnlp_crds::conditions::{Condition, types};
use textnlp_crds::{GenerationJob, GenerationJobStatus};

use crate::conditions;
use crate::events::{Notice, Severity};
use crate::job::reasons;

/// Reasons of `Reconciling` that are the ordinary course of a job.
const ORDINARY: [&str; 6] = [
    reasons::PENDING,
    reasons::PREPARING,
    reasons::GENERATING,
    reasons::FINALIZING,
    reasons::MODEL_NOT_READY,
    "PullingImage",
];

/// The events between two statuses of a job.
pub(crate) fn between(
    job: &GenerationJob,
    before: &GenerationJobStatus,
    after: &GenerationJobStatus,
) -> Vec<Notice> {
    let regarding = ObjectReference { resource_version: None, ..job.object_ref(&()) };
    let notice = |severity, condition: &Condition| Notice {
        regarding: regarding.clone(),
        severity,
        reason: condition.reason.clone(),
        note: condition.message.clone(),
        action: "Reconcile",
    };
    let changed = |type_: &str| {
        let now = conditions::find(&after.conditions, type_)?;
        let then = conditions::find(&before.conditions, type_);
        let same = then.is_some_and(|then| then.status == now.status && then.reason == now.reason);
        (!same).then_some(now)
    };
    let mut notices = Vec::new();
    if let Some(condition) = changed(types::PREPARED).filter(|condition| condition.status == "True")
    {
        notices.push(notice(Severity::Normal, condition));
    }
    if let Some(condition) =
        changed(types::RECONCILING).filter(|condition| condition.status == "True")
    {
        match condition.reason.as_str() {
            reasons::WAITING_FOR_QUOTA => notices.push(notice(Severity::Normal, condition)),
            reason if ORDINARY.contains(&reason) => {}
            _ => notices.push(notice(Severity::Warning, condition)),
        }
    }
    let suspended = changed(types::SUSPENDED)
        .filter(|condition| condition.reason != reasons::WAITING_FOR_QUOTA);
    if let Some(condition) = suspended {
        let was = conditions::find(&before.conditions, types::SUSPENDED);
        match condition.status.as_str() {
            "True" => notices.push(notice(Severity::Normal, condition)),
            _ if was.is_some_and(|was| was.reason == reasons::SUSPENDED) => {
                let mut resumed = notice(Severity::Normal, condition);
                resumed.reason = "Resumed".into();
                resumed.note = "the job goes on".into();
                notices.push(resumed);
            }
            _ => {}
        }
    }
    match changed(types::SUCCEEDED) {
        Some(condition) if condition.status == "True" => {
            notices.push(notice(Severity::Normal, condition))
        }
        Some(condition) if condition.status == "False" => {
            notices.push(notice(Severity::Warning, condition))
        }
        _ => {}
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::{begun, conditions, job, with_status};
    use serde_json::json;

    fn check(before: &[&str], after: &[&str], expect: &[(&str, Severity)]) {
        let status = |of: &[&str]| {
            let job = with_status(job(json!({})), begun(json!({"conditions": conditions(of)})));
            job.status.expect("a status")
        };
        let notices = between(&job(json!({})), &status(before), &status(after));
        let found: Vec<_> =
            notices.iter().map(|notice| (notice.reason.as_str(), notice.severity)).collect();
        assert_eq!(found, expect, "{before:?} {after:?}");
    }

    #[test]
    fn events_tell_what_a_user_would_ask_for_and_nothing_twice() {
        use Severity::{Normal, Warning};
        check(&[], &["Reconciling=True/ModelNotFound"], &[("ModelNotFound", Warning)]);
        check(&["Reconciling=True/ModelNotFound"], &["Reconciling=True/ModelNotFound"], &[]);
        check(&["Reconciling=True/ModelNotFound"], &["Reconciling=True/Preparing"], &[]);
        check(&["Prepared=False/Preparing"], &["Prepared=True/Prepared"], &[("Prepared", Normal)]);
        let waits = ["Reconciling=True/WaitingForQuota", "Suspended=True/WaitingForQuota"];
        check(&[], &waits, &[("WaitingForQuota", Normal)]);
        check(&waits, &["Reconciling=True/Generating", "Suspended=False/NotSuspended"], &[]);
        check(&[], &["Suspended=True/Suspended"], &[("Suspended", Normal)]);
        check(
            &["Suspended=True/Suspended"],
            &["Suspended=False/NotSuspended"],
            &[("Resumed", Normal)],
        );
        check(
            &["Succeeded=Unknown/NotYet"],
            &["Succeeded=True/Succeeded"],
            &[("Succeeded", Normal)],
        );
        check(
            &["Succeeded=Unknown/NotYet"],
            &["Succeeded=False/GateFailed"],
            &[("GateFailed", Warning)],
        );
    }
}
