//! Statuses: the conditions of each stand, and what the numbers say.

use serde_json::json;
use textnlp_crds::task::{Finalized, Verdict};

use std::sync::Arc;

use super::*;
use crate::job::fixture::*;
use crate::job::progress::Rates;
use crate::job::validate::Obstacle;

fn write(observed: &Observed, stand: Stand) -> GenerationJobStatus {
    status(observed, &Applied { attempt: observed.attempt, stand }, at(100))
}

/// Conditions as `Type=Status/Reason`, without those that say nothing yet.
fn words(status: &GenerationJobStatus) -> Vec<String> {
    let said = status.conditions.iter().filter(|condition| condition.reason != reasons::NOT_YET);
    said.map(|condition| format!("{}={}/{}", condition.type_, condition.status, condition.reason))
        .collect()
}

fn check(status: &GenerationJobStatus, phase: JobPhase, expect: &[&str]) {
    assert_eq!(
        (status.phase, words(status)),
        (Some(phase), expect.iter().map(|word| (*word).to_owned()).collect())
    );
    let both = ["Reconciling", "Stalled"]
        .iter()
        .all(|type_| conditions::is_true(&status.conditions, type_));
    assert!(!both, "never both");
    assert_eq!(status.conditions.len(), 8, "{:?}", words(status));
    assert_eq!(status.observed_generation, Some(1));
}

fn running() -> Observed {
    let job = with_status(job(json!({})), begun(json!({})));
    let child = generate(&job, json!({"status": {"completedIndexes": "0", "active": 1}}));
    observed(job.clone(), vec![prepare_done(&job), child])
}

fn trouble() -> Trouble {
    Trouble {
        reason: "Unschedulable".into(),
        message: "0/1 nodes are available".into(),
        pod: "p".into(),
    }
}

#[test]
fn a_job_that_waits_is_in_progress() {
    let missing =
        Obstacle { is_final: false, reason: "ModelNotFound".into(), message: "no".into() };
    let status = write(&observed(job(json!({})), vec![]), Stand::Obstructed(missing));
    check(
        &status,
        JobPhase::Pending,
        &[
            "Reconciling=True/ModelNotFound",
            "Stalled=False/ModelNotFound",
            "ModelReady=False/ModelNotFound",
            "Suspended=False/NotSuspended",
        ],
    );
    assert_eq!((status.start_time, status.attempt), (None, None));
}

#[test]
fn a_spec_that_cannot_work_is_stalled_and_not_frozen() {
    let never = Obstacle { is_final: true, reason: "LocalOnly".into(), message: "no".into() };
    let status = write(&observed(job(json!({})), vec![]), Stand::Obstructed(never));
    check(
        &status,
        JobPhase::Failed,
        &[
            "Reconciling=False/LocalOnly",
            "Stalled=True/LocalOnly",
            "Suspended=False/NotSuspended",
            "Succeeded=False/LocalOnly",
        ],
    );
    assert_eq!(status.start_time, None);
    // Seen again: nothing differs.
    let again = with_status(job(json!({})), serde_json::to_value(&status).expect("JSON"));
    assert!(matches!(position::position(&again, &[], 0), position::Position::Ended));
}

#[test]
fn a_job_begins_with_a_time_an_attempt_and_the_digest_of_its_model() {
    let status = write(&observed(job(json!({})), vec![]), Stand::Begins);
    check(
        &status,
        JobPhase::Preparing,
        &[
            "Reconciling=True/Preparing",
            "Stalled=False/Preparing",
            "Prepared=False/Preparing",
            "Suspended=False/NotSuspended",
        ],
    );
    assert_eq!((status.start_time, status.attempt), (Some(Time(at(100))), Some(0)));
    assert_eq!(status.model.and_then(|model| model.digest).as_deref(), Some(DIGEST));
}

#[test]
fn a_pod_that_is_stuck_lends_its_reason() {
    let status = write(&running(), Stand::Preparing(Some(trouble())));
    let reconciling =
        conditions::find(&status.conditions, types::RECONCILING).expect("the condition");
    assert_eq!(
        (reconciling.reason.as_str(), reconciling.message.as_str()),
        ("Unschedulable", "pod p: 0/1 nodes are available")
    );
}

#[test]
fn while_rows_are_generated_the_numbers_are_provisional_and_never_shrink() {
    let mut observed = running();
    observed.rates = Some(Rates {
        finished: 1,
        rows_per_second: Some(0.1),
        tokens_per_second: Some(12.34),
        ..Rates::default()
    });
    let status = write(&observed, Stand::Generating(answered(), None));
    check(
        &status,
        JobPhase::Running,
        &[
            "Reconciling=True/Generating",
            "Stalled=False/Generating",
            "Prepared=True/Prepared",
            "ModelReady=True/Ready",
            "Suspended=False/NotSuspended",
            "Generated=False/Generating",
        ],
    );
    // 2 were there, one of three shards (2 rows) is complete, 1 row of another is finished.
    let numbers = json!([status.rows, status.progress, status.shards]);
    assert_eq!(
        numbers,
        json!([
            {"requested": 8, "accepted": 5, "rejected": 0, "failed": 0},
            {"summary": "5/8", "percent": 62, "tokensPerSecond": 12.3, "estimatedCompletionTime": at(130).to_string()},
            {"total": 3, "succeeded": 1, "running": 1, "failed": 0},
        ])
    );
    observed.job = Arc::new(with_status(
        (*observed.job).clone(),
        serde_json::to_value(&status).expect("JSON"),
    ));
    observed.rates = None;
    let later = write(&observed, Stand::Generating(answered(), None));
    assert_eq!(later.rows, status.rows);
    assert!(only_shows_progress(&status, &later, &Stand::Generating(answered(), None)));
}

#[test]
fn a_suspended_job_is_neither_in_progress_nor_failed_and_its_clock_stands() {
    let status = write(&running(), Stand::Suspended(Step::Generate, Some(answered())));
    check(
        &status,
        JobPhase::Suspended,
        &[
            "Reconciling=False/Suspended",
            "Stalled=False/Suspended",
            "Prepared=True/Prepared",
            "Suspended=True/Suspended",
        ],
    );
    assert_eq!(status.active_seconds, Some(100));
}

#[test]
fn a_job_that_waits_for_quota_says_so_in_kueue_s_words() {
    let status =
        write(&running(), Stand::Queued(Step::Generate, Some(answered()), "no quota".into()));
    check(
        &status,
        JobPhase::Suspended,
        &[
            "Reconciling=True/WaitingForQuota",
            "Stalled=False/WaitingForQuota",
            "Prepared=True/Prepared",
            "Suspended=True/WaitingForQuota",
        ],
    );
    assert_eq!(
        conditions::find(&status.conditions, types::SUSPENDED).map(|c| c.message.as_str()),
        Some("no quota")
    );
}

fn finalized(verdict: Verdict, passed: bool) -> Finalized {
    serde_json::from_value(json!({
        "verdict": verdict, "message": "told", "rows": {"requested": 8, "accepted": 6, "rejected": 1, "failed": 1},
        "usage": {"promptTokens": 1, "completionTokens": 2, "requests": 8}, "validation": {"passed": passed},
        "output": {"uri": "pvc://c/dataset", "digest": "sha256:x"},
    }))
    .expect("an answer")
}

#[test]
fn a_dataset_that_passed_is_current() {
    let status = write(&running(), Stand::Done(finalized(Verdict::Succeeded, true).into(), None));
    check(
        &status,
        JobPhase::Succeeded,
        &[
            "Reconciling=False/Succeeded",
            "Stalled=False/Succeeded",
            "Suspended=False/NotSuspended",
            "Generated=True/Generated",
            "Validated=True/GatesPassed",
            "Succeeded=True/Succeeded",
        ],
    );
    assert_eq!(status.completion_time, Some(Time(at(100))));
    assert_eq!(status.progress.and_then(|progress| progress.summary).as_deref(), Some("8/8"));
    assert_eq!(status.failure, None);
}

#[test]
fn a_gate_that_refuses_fails_the_job_and_one_that_warns_does_not() {
    let refused =
        write(&running(), Stand::Done(finalized(Verdict::GateFailed, false).into(), None));
    check(
        &refused,
        JobPhase::Failed,
        &[
            "Reconciling=False/GateFailed",
            "Stalled=True/GateFailed",
            "Suspended=False/NotSuspended",
            "Generated=True/Generated",
            "Validated=False/GateFailed",
            "Succeeded=False/GateFailed",
        ],
    );
    assert_eq!(refused.failure.and_then(|failure| failure.reason).as_deref(), Some("GateFailed"));
    let warned = write(&running(), Stand::Done(finalized(Verdict::Succeeded, false).into(), None));
    check(
        &warned,
        JobPhase::Succeeded,
        &[
            "Reconciling=False/Succeeded",
            "Stalled=False/Succeeded",
            "Suspended=False/NotSuspended",
            "Generated=True/Generated",
            "Validated=False/GateFailed",
            "Succeeded=True/Succeeded",
        ],
    );
}

#[test]
fn the_first_cause_of_lost_shards_stays() {
    let cause =
        Failure { reason: Some("OutOfMemory".into()), exit_code: Some(137), ..Failure::default() };
    let status =
        write(&running(), Stand::Done(finalized(Verdict::ShardsLost, true).into(), Some(cause)));
    assert!(words(&status).contains(&"Generated=False/ShardsLost".to_owned()));
    assert_eq!(status.failure.and_then(|failure| failure.reason).as_deref(), Some("OutOfMemory"));
}

#[test]
fn a_worker_that_can_never_work_names_the_reason_of_the_end() {
    let cause = Failure {
        reason: Some("ModelChanged".into()),
        message: Some("412".into()),
        exit_code: Some(2),
        ..Failure::default()
    };
    let status =
        write(&running(), Stand::Done(finalized(Verdict::ShardsLost, true).into(), Some(cause)));
    let end = conditions::find(&status.conditions, types::SUCCEEDED).expect("the condition");
    assert_eq!((end.reason.as_str(), end.message.as_str()), ("ModelChanged", "412; told"));
    assert!(words(&status).contains(&"Generated=False/ShardsLost".to_owned()));
}

fn failure(reason: &str) -> Failure {
    Failure { reason: Some(reason.into()), message: Some("told".into()), ..Failure::default() }
}

#[test]
fn a_bad_input_fails_the_job_and_frees_the_spec_so_that_it_can_be_mended() {
    let status = write(&running(), Stand::Failed(failure("InvalidSpec")));
    check(
        &status,
        JobPhase::Failed,
        &[
            "Reconciling=False/InvalidSpec",
            "Stalled=True/InvalidSpec",
            "Prepared=False/InvalidSpec",
            "Suspended=False/NotSuspended",
            "Succeeded=False/InvalidSpec",
        ],
    );
    assert_eq!(status.start_time, None);
}

#[test]
fn a_failure_after_rows_were_made_keeps_the_spec_frozen_and_the_rows_balance() {
    let mut observed = running();
    let before = write(&observed, Stand::Generating(answered(), None));
    observed.job =
        Arc::new(with_status((*observed.job).clone(), serde_json::to_value(before).expect("JSON")));
    let status = write(&observed, Stand::Failed(failure("DeadlineExceeded")));
    assert!(status.start_time.is_some());
    assert_eq!(
        json!(status.rows),
        json!({"requested": 8, "accepted": 4, "rejected": 0, "failed": 4})
    );
    // Suspended: `retry` begins.
    let mut retried = observed;
    let mut failed = serde_json::to_value(&status).expect("JSON");
    retried.job =
        Arc::new(with_status(job(json!({"execution": {"suspend": true}})), failed.clone()));
    let suspended = write(&retried, Stand::Ended);
    assert_eq!(suspended.phase, Some(JobPhase::Suspended));
    assert!(conditions::is_true(&suspended.conditions, types::SUSPENDED));
    assert!(!conditions::is_true(&suspended.conditions, types::STALLED));
    failed["conditions"] = serde_json::to_value(&suspended.conditions).expect("JSON");
    let resumed = with_status(job(json!({})), failed);
    assert_eq!(position::attempt(&resumed, None), 1);
    let mut again = crate::job::fixture::observed(resumed, vec![]);
    again.attempt = 1;
    let status = write(&again, Stand::Begins);
    assert_eq!((status.attempt, status.failure, status.completion_time), (Some(1), None, None));
    assert!(!position::has_ended(&GenerationJobStatus {
        attempt: Some(1),
        ..write(&again, Stand::Begins)
    }));
}

#[test]
fn a_status_that_says_the_same_again_is_the_same() {
    let mut observed = running();
    for stand in [
        Stand::Preparing(None),
        Stand::Generating(answered(), Some(trouble())),
        Stand::Finalizing(answered(), None, None),
        Stand::Suspended(Step::Generate, Some(answered())),
        Stand::Queued(Step::Finalize, Some(answered()), "no quota".into()),
    ] {
        let first = write(&observed, stand.clone());
        observed.job = Arc::new(with_status(
            (*observed.job).clone(),
            serde_json::to_value(&first).expect("JSON"),
        ));
        let second = status(&observed, &Applied { attempt: 0, stand: stand.clone() }, at(200));
        assert_eq!(json!(first), json!(second), "{stand:?}");
    }
    for stand in [
        Stand::Done(finalized(Verdict::Succeeded, true).into(), None),
        Stand::Done(finalized(Verdict::ShardsLost, true).into(), Some(failure("OutOfMemory"))),
        Stand::Failed(failure("ModelChanged")),
        Stand::Obstructed(Obstacle {
            is_final: true,
            reason: "LocalOnly".into(),
            message: "no".into(),
        }),
    ] {
        let mut observed = running();
        let first = write(&observed, stand.clone());
        observed.job = Arc::new(with_status(
            (*observed.job).clone(),
            serde_json::to_value(&first).expect("JSON"),
        ));
        let second = status(&observed, &Applied { attempt: 0, stand: Stand::Ended }, at(200));
        assert_eq!(json!(first), json!(second), "{stand:?}");
    }
}
