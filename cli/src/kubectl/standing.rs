//! Where a job or a model stands, from its conditions, which programs read (the phase is for people). No I/O.

use textnlp_crds::conditions::{Condition, types};
use textnlp_crds::{GenerationJob, ModelDeployment};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The operator has not looked at it.
    Unseen,
    /// It works, or waits for something.
    Unfinished,
    /// It is paused by its spec.
    Suspended,
    /// It ended with a dataset that passed.
    Succeeded,
    /// It ended without.
    Failed,
}

/// Where a job stands.
pub(crate) fn standing(job: &GenerationJob) -> Standing {
    let status = job.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    match condition(conditions, types::SUCCEEDED).map(|succeeded| succeeded.status.as_str()) {
        Some("True") => Standing::Succeeded,
        Some("False") => Standing::Failed,
        // A spec that can never work ends before anything else is said.
        _ if is_true(conditions, types::STALLED) => Standing::Failed,
        _ if job.spec.execution.suspend => Standing::Suspended,
        _ if status.and_then(|status| status.observed_generation).unwrap_or(-1) < 0
            && conditions.is_empty() =>
        {
            Standing::Unseen
        }
        _ => Standing::Unfinished,
    }
}

/// The condition that says the most about a job: why it ended, what it waits for.
pub(crate) fn telling(job: &GenerationJob) -> Option<&Condition> {
    let conditions = &job.status.as_ref()?.conditions;
    let first = |wanted: &[(&str, &str)]| {
        wanted.iter().find_map(|(type_, status)| {
            condition(conditions, type_).filter(|found| found.status == *status)
        })
    };
    match standing(job) {
        Standing::Succeeded => first(&[(types::SUCCEEDED, "True")]),
        Standing::Failed => first(&[(types::STALLED, "True"), (types::SUCCEEDED, "False")]),
        Standing::Suspended => first(&[(types::SUSPENDED, "True"), (types::RECONCILING, "True")]),
        Standing::Unseen | Standing::Unfinished => first(&[(types::RECONCILING, "True")]),
    }
}

/// The condition that says the most about a model.
pub(crate) fn telling_of_model(model: &ModelDeployment) -> Option<&Condition> {
    let conditions = &model.status.as_ref()?.conditions;
    condition(conditions, types::STALLED)
        .filter(|stalled| stalled.status == "True")
        .or_else(|| condition(conditions, types::READY))
}

/// Whether a model answers, or is at zero by policy.
pub(crate) fn is_ready(model: &ModelDeployment) -> bool {
    model.status.as_ref().is_some_and(|status| is_true(&status.conditions, types::READY))
}

/// Whether a model's spec can never work.
pub(crate) fn is_stalled(model: &ModelDeployment) -> bool {
    model.status.as_ref().is_some_and(|status| is_true(&status.conditions, types::STALLED))
}

/// The condition of a type.
pub(crate) fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type is `True`.
pub(crate) fn is_true(conditions: &[Condition], type_: &str) -> bool {
    condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The exit code that `textnlp run` would have ended with.
pub(crate) fn exit_code(job: &GenerationJob) -> u8 {
    let reason = telling(job).map(|condition| condition.reason.as_str());
    let failed_pod = job.status.as_ref().and_then(|status| status.failure.as_ref()?.exit_code);
    match (standing(job), reason) {
        (Standing::Succeeded, _) => 0,
        (_, Some("GateFailed")) => 3,
        (_, Some("InvalidSpec" | "LocalOnly")) => 2,
        _ if failed_pod == Some(2) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubectl::testing::{condition as made, job};

    #[test]
    fn a_job_stands_where_its_conditions_say() {
        let check = |suspend: bool, status: Value, expect: Standing| {
            let job = job(json!({"execution": {"suspend": suspend}}), status.clone());
            assert_eq!(standing(&job), expect, "{status}");
        };
        let conditions = |list: Value| json!({"observedGeneration": 1, "conditions": list});
        check(false, json!({"observedGeneration": -1}), Standing::Unseen);
        check(false, json!(null), Standing::Unseen);
        check(
            false,
            conditions(json!([made("Reconciling", "True", "Preparing", "")])),
            Standing::Unfinished,
        );
        check(
            true,
            conditions(json!([made("Suspended", "True", "Suspended", "")])),
            Standing::Suspended,
        );
        check(
            false,
            conditions(json!([made("Succeeded", "True", "Succeeded", "")])),
            Standing::Succeeded,
        );
        check(
            false,
            conditions(json!([made("Succeeded", "Unknown", "NotYet", "")])),
            Standing::Unfinished,
        );
        check(
            true,
            conditions(json!([made("Succeeded", "False", "GateFailed", "")])),
            Standing::Failed,
        );
        check(
            false,
            conditions(json!([made("Stalled", "True", "LocalOnly", "")])),
            Standing::Failed,
        );
    }

    #[test]
    fn exit_codes_are_those_of_run() {
        let check =
            |status: Value, expect: u8| assert_eq!(exit_code(&job(json!({}), status)), expect);
        let ended = |status: &str, reason: &str| json!({"conditions": [made("Succeeded", status, reason, "")]});
        check(ended("True", "Succeeded"), 0);
        check(ended("False", "GateFailed"), 3);
        check(ended("False", "NoRows"), 1);
        check(ended("False", "InvalidSpec"), 2);
        let mut in_pod = ended("False", "InvalidSource");
        in_pod["failure"] = json!({"exitCode": 2});
        check(in_pod, 2);
    }
}
