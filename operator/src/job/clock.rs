//! The times that the operator keeps itself: active seconds over suspensions, the deadline, and the time to live after the end. No I/O.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use textnlp_crds::conditions::types;
use textnlp_crds::{GenerationJob, GenerationJobStatus};

use crate::conditions;
use crate::config::Config;
use crate::controller::jittered;
use crate::job::apply::Applied;
use crate::job::observe::Observed;
use crate::job::plan::Stand;
use crate::pods;

/// How long a write of progress is put off when the budget is spent.
const PUT_OFF: Duration = Duration::from_secs(2);
/// Time between two looks at what Kueue says.
const QUEUE_LOOK: Duration = Duration::from_secs(15);

/// Seconds that the job has been active in this attempt, suspended time not counted.
pub(crate) fn active_seconds(status: &GenerationJobStatus, now: Timestamp) -> i64 {
    let counted = status.active_seconds.unwrap_or(0);
    match running_since(status) {
        Some(since) => {
            counted.saturating_add(now.duration_since(since).max(SignedDuration::ZERO).as_secs())
        }
        None => counted,
    }
}

/// Since when the clock runs: the attempt's begin, or the end of the last suspension; none while it stands.
fn running_since(status: &GenerationJobStatus) -> Option<Timestamp> {
    let start = status.start_time.as_ref()?.0;
    let suspended = conditions::find(&status.conditions, types::SUSPENDED)?;
    let succeeded = conditions::find(&status.conditions, types::SUCCEEDED)?;
    if suspended.status == "True" || succeeded.status != "Unknown" {
        return None;
    }
    // `Succeeded` became Unknown when the attempt began.
    Some(start.max(suspended.last_transition_time.0).max(succeeded.last_transition_time.0))
}

/// Whether the attempt has been active longer than it may.
pub(crate) fn is_overdue(job: &GenerationJob, attempt: i32, now: Timestamp) -> bool {
    until_deadline(job, attempt, now) == Some(Duration::ZERO)
}

/// Time until the deadline, if the clock runs and there is one.
pub(crate) fn until_deadline(
    job: &GenerationJob,
    attempt: i32,
    now: Timestamp,
) -> Option<Duration> {
    let limit = job.spec.execution.active_deadline_seconds?;
    let status = job.status.as_ref().filter(|status| status.attempt == Some(attempt))?;
    running_since(status)?;
    let left = limit.saturating_sub(active_seconds(status, now)).max(0);
    Some(Duration::from_secs(left.unsigned_abs()))
}

/// When the deadline of the job's own attempt is, if the clock runs and there is one.
pub(crate) fn deadline(job: &GenerationJob) -> Option<Timestamp> {
    let limit = job.spec.execution.active_deadline_seconds?;
    let status = job.status.as_ref()?;
    let left = limit.saturating_sub(status.active_seconds.unwrap_or(0)).max(0);
    running_since(status)?.checked_add(SignedDuration::from_secs(left)).ok()
}

/// Whether an ended job's children may go.
pub(crate) fn is_expired(job: &GenerationJob, now: Timestamp) -> bool {
    until_expiry(job, now) == Some(Duration::ZERO)
}

/// Time until an ended job's children may go, if they ever do.
pub(crate) fn until_expiry(job: &GenerationJob, now: Timestamp) -> Option<Duration> {
    let seconds = job.spec.execution.ttl_seconds_after_finished?;
    let ended = job.status.as_ref()?.completion_time.as_ref()?.0;
    let expiry = ended.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()?;
    Some(expiry.duration_since(now).max(SignedDuration::ZERO).unsigned_abs())
}

/// When to look at the job again, if nothing that it watches changes before.
pub(crate) fn next_look(
    observed: &Observed,
    applied: &Applied,
    written: bool,
    config: &Config,
    now: Timestamp,
) -> Action {
    if !written {
        return Action::requeue(jittered(PUT_OFF));
    }
    let pods_wait = observed.children.iter().filter(|child| child.is_unfinished()).any(|child| {
        let live: Vec<_> = child.pods.iter().filter(|pod| !pods::has_ended(pod)).collect();
        live.is_empty() || live.iter().any(|pod| pods::is_waiting(pod))
    });
    let by_stand = match &applied.stand {
        Stand::Begins => return Action::requeue(Duration::ZERO),
        Stand::Obstructed(obstacle) if !obstacle.is_final => Some(jittered(pods::PATIENCE * 2)),
        Stand::Queued(..) => Some(jittered(QUEUE_LOOK)),
        Stand::Generating(..) => Some(config.progress_interval),
        Stand::Ended => until_expiry(&observed.job, now).filter(|_| !observed.children.is_empty()),
        Stand::Failed(_) | Stand::Done(..) => observed
            .job
            .spec
            .execution
            .ttl_seconds_after_finished
            .map(|seconds| Duration::from_secs(u64::from(seconds.unsigned_abs()))),
        Stand::Preparing(_) | Stand::WaitingForModel(..) | Stand::Finalizing(..) if pods_wait => {
            Some(pods::PATIENCE)
        }
        _ => None,
    };
    let deadline = until_deadline(&observed.job, applied.attempt, now)
        .map(|left| left + Duration::from_millis(100));
    match by_stand.into_iter().chain(deadline).min() {
        Some(delay) => Action::requeue(delay),
        None => Action::await_change(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::*;
    use serde_json::json;

    #[test]
    fn suspended_time_does_not_count() {
        let mut status: GenerationJobStatus =
            serde_json::from_value(begun(json!({}))).expect("a status");
        assert_eq!(active_seconds(&status, at(30)), 30);
        status.active_seconds = Some(30);
        status.conditions[1].status = "True".into();
        assert_eq!(active_seconds(&status, at(500)), 30);
        status.conditions[1].status = "False".into();
        status.conditions[1].last_transition_time =
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(500));
        assert_eq!(active_seconds(&status, at(520)), 50);
    }

    #[test]
    fn a_deadline_counts_active_seconds_of_this_attempt() {
        let job = job(json!({"execution": {"activeDeadlineSeconds": 60}}));
        assert_eq!(until_deadline(&job, 0, at(100)), None, "not begun");
        let job = with_status(job, begun(json!({"activeSeconds": 20})));
        assert_eq!(until_deadline(&job, 0, at(30)), Some(Duration::from_secs(10)));
        assert!(!is_overdue(&job, 0, at(39)) && is_overdue(&job, 0, at(40)));
        assert!(!is_overdue(&job, 1, at(1000)), "another attempt");
        assert_eq!(deadline(&job), Some(at(40)));
    }

    #[test]
    fn children_of_an_ended_job_go_when_their_time_is_over() {
        let ended = begun(json!({"completionTime": at(10).to_string()}));
        let kept = with_status(job(json!({})), ended.clone());
        assert!(!is_expired(&kept, at(1_000_000)));
        let short = with_status(job(json!({"execution": {"ttlSecondsAfterFinished": 5}})), ended);
        assert!(!is_expired(&short, at(14)) && is_expired(&short, at(15)));
    }
}
