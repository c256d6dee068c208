//! Where a job stands: worked out anew each time from its status and its child Jobs, so that an operator that was killed between any
//! two writes goes on where it was. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::json;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::task::{Finalized, JobTask, Prepared, Termination};
use textnlp_crds::{GenerationJob, GenerationJobSpec, GenerationJobStatus};

use crate::conditions;
use crate::job::children::{Answer, Child, State, Step, VALIDATION, newest};
use crate::job::reasons;
use crate::meta;
use crate::pods::{self, End};

/// How often a step is run again whose answer cannot be read.
const UNREADABLE_LIMIT: i32 = 3;

/// Where a job stands.
#[derive(Clone, Debug)]
pub(crate) enum Position<'a> {
    /// It has ended, and nothing asks for more.
    Ended,
    /// The source is to be read, or is being read.
    Prepare(Turn<'a>),
    /// Rows are to be generated, or are being generated.
    Generate(Turn<'a>, Prepared),
    /// The dataset is to be written, or is being written. If shards are lost, with the first cause.
    Finalize(Turn<'a>, Prepared, Option<Failure>),
    /// It cannot go on.
    Failed(Failure),
    /// The dataset is written. If shards are lost, with the first cause.
    Done(Box<Finalized>, Option<Failure>),
}

/// A step, and its child Job if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Turn<'a> {
    /// The attempt.
    pub(crate) attempt: i32,
    /// Number of the step's run in the attempt.
    pub(crate) run: i32,
    /// The child Job.
    pub(crate) child: Option<&'a Child>,
}

/// Whether the status says that the job has ended.
pub(crate) fn has_ended(status: &GenerationJobStatus) -> bool {
    conditions::is_true(&status.conditions, types::SUCCEEDED) || has_failed(status)
}

/// Whether the status says that the job has failed.
pub(crate) fn has_failed(status: &GenerationJobStatus) -> bool {
    conditions::is_false(&status.conditions, types::SUCCEEDED)
}

/// Whether the spec is another than the one that the status speaks of.
pub(crate) fn is_changed(job: &GenerationJob) -> bool {
    job.status.as_ref().and_then(|status| status.observed_generation) != job.metadata.generation
}

/// Hash of what judges and forms the dataset: a change of it runs finalize again.
pub(crate) fn validation_hash(spec: &GenerationJobSpec) -> String {
    meta::hash(&json!([spec.validation, spec.output.fields, spec.output.formats]))
}

/// Whether the spec asks for more rows than the snapshot of an attempt. (All else that decides rows is frozen.)
pub(crate) fn is_extended(spec: &GenerationJobSpec, snapshot: &JobTask) -> bool {
    spec.source.limit != snapshot.spec.source.limit
        || spec.samples_per_record != snapshot.spec.samples_per_record
}

/// The attempt that the job is in or should begin. `snapshot` is the one of the last attempt, where it was asked for.
pub(crate) fn attempt(job: &GenerationJob, snapshot: Option<&JobTask>) -> i32 {
    let status = job.status.clone().unwrap_or_default();
    let last = status.attempt.unwrap_or(0);
    let begun = status.attempt.is_some();
    if has_ended(&status) && begun && begins_anew(job, &status, snapshot) { last + 1 } else { last }
}

/// Whether an ended job should begin another attempt.
fn begins_anew(
    job: &GenerationJob,
    status: &GenerationJobStatus,
    snapshot: Option<&JobTask>,
) -> bool {
    if job.spec.execution.suspend {
        return false;
    }
    let failed = has_failed(status);
    let prepared = conditions::is_true(&status.conditions, types::PREPARED);
    // `retry`: suspended while failed, now resumed.
    let resumed = failed && conditions::is_true(&status.conditions, types::SUSPENDED);
    // A spec that could not work was mended.
    let mended = failed && !prepared && is_changed(job);
    let extended = prepared
        && is_changed(job)
        && snapshot.is_none_or(|snapshot| is_extended(&job.spec, snapshot));
    resumed || mended || extended
}

/// Whether the snapshot of the last attempt is needed to know the [`attempt`].
pub(crate) fn needs_snapshot(job: &GenerationJob) -> bool {
    let status = job.status.clone().unwrap_or_default();
    has_ended(&status)
        && is_changed(job)
        && conditions::is_true(&status.conditions, types::PREPARED)
}

/// Where the job stands in this attempt.
pub(crate) fn position<'a>(
    job: &GenerationJob,
    children: &'a [Child],
    attempt: i32,
) -> Position<'a> {
    let status = job.status.clone().unwrap_or_default();
    let same_attempt = status.attempt == Some(attempt);
    if has_ended(&status) && same_attempt {
        let hash = validation_hash(&job.spec);
        let judged_anew = is_changed(job)
            && status.validation_hash.as_ref().is_some_and(|judged| *judged != hash);
        if !judged_anew {
            return Position::Ended;
        }
    }
    // Ended before anything was begun (a spec that could not work): look again when it has changed.
    if has_ended(&status) && status.attempt.is_none() && !is_changed(job) {
        return Position::Ended;
    }
    let known = same_attempt.then_some(&status);
    let prepared = match prepared(known, children, attempt) {
        Ok(prepared) => prepared,
        Err(position) => return *position,
    };
    let lost = match generated(known, children, attempt, &prepared) {
        Ok(lost) => lost,
        Err(position) => return *position,
    };
    finalized(job, children, attempt, prepared, lost)
}

/// What prepare found, or where the job stands without it.
fn prepared<'a>(
    known: Option<&GenerationJobStatus>,
    children: &'a [Child],
    attempt: i32,
) -> Result<Prepared, Box<Position<'a>>> {
    if let Some(prepared) = newest(children, Step::Generate, attempt).and_then(Child::made_from) {
        return Ok(prepared);
    }
    let remembered = known.and_then(remembered);
    let child = newest(children, Step::Prepare, attempt);
    let turn = |run, child| Err(Box::new(Position::Prepare(Turn { attempt, run, child })));
    let Some(child) = child else {
        return remembered.map_or_else(|| turn(0, None), Ok);
    };
    match child.state() {
        State::Complete => match (child.prepared(), remembered) {
            (Answer::Read(prepared), _) => Ok(prepared),
            (Answer::Unreadable, Some(prepared)) => Ok(prepared),
            (Answer::Unreadable, None) if child.run + 1 < UNREADABLE_LIMIT => {
                turn(child.run + 1, None)
            }
            (Answer::Unreadable, None) => {
                Err(Box::new(Position::Failed(unreadable(Step::Prepare))))
            }
        },
        State::Failed { reason, message } => {
            Err(Box::new(Position::Failed(failure(child, &reason, &message))))
        }
        State::Active | State::Suspended | State::Deleting => turn(child.run, Some(child)),
    }
}

/// What the status remembers of prepare, once its pod may be gone.
fn remembered(status: &GenerationJobStatus) -> Option<Prepared> {
    if !conditions::is_true(&status.conditions, types::PREPARED) {
        return None;
    }
    let rows = status.rows.unwrap_or_default();
    Some(Prepared {
        records: status.records?,
        rows: rows.requested,
        finished: rows.accepted,
        shards: status.shards.map_or(0, |shards| shards.total),
        generation_hash: status.generation_hash.clone()?,
    })
}

/// Whether shards are lost, once all rows are generated or lost; or where the job stands before that.
fn generated<'a>(
    known: Option<&GenerationJobStatus>,
    children: &'a [Child],
    attempt: i32,
    prepared: &Prepared,
) -> Result<Option<Failure>, Box<Position<'a>>> {
    if prepared.shards == 0 {
        return Ok(None);
    }
    let child = newest(children, Step::Generate, attempt);
    match child.map(|child| (child, child.state())) {
        Some((_, State::Complete)) => Ok(None),
        Some((child, State::Failed { reason, message })) => {
            Ok(Some(lost(known, child, &reason, &message)))
        }
        Some((child, _)) => Err(Box::new(Position::Generate(
            Turn { attempt, run: child.run, child: Some(child) },
            prepared.clone(),
        ))),
        None => remembered_end(known).ok_or_else(|| {
            Box::new(Position::Generate(Turn { attempt, run: 0, child: None }, prepared.clone()))
        }),
    }
}

/// What the status remembers of generating, once its Job is gone.
fn remembered_end(known: Option<&GenerationJobStatus>) -> Option<Option<Failure>> {
    let status = known?;
    let generated = conditions::find(&status.conditions, types::GENERATED)?;
    match (generated.status.as_str(), generated.reason.as_str()) {
        ("True", _) => Some(None),
        ("False", reasons::SHARDS_LOST) => Some(Some(status.failure.clone().unwrap_or_default())),
        _ => None,
    }
}

/// Where the job stands once all rows are generated or lost.
fn finalized<'a>(
    job: &GenerationJob,
    children: &'a [Child],
    attempt: i32,
    prepared: Prepared,
    lost: Option<Failure>,
) -> Position<'a> {
    let turn = |run, child| Turn { attempt, run, child };
    let Some(child) = newest(children, Step::Finalize, attempt) else {
        return Position::Finalize(turn(0, None), prepared, lost);
    };
    let state = child.state();
    let is_current = child.job.annotations().get(VALIDATION) == Some(&validation_hash(&job.spec));
    match state {
        // Also one that judges by rules of yesterday: two must not write at once.
        State::Active | State::Suspended | State::Deleting => {
            Position::Finalize(turn(child.run, Some(child)), prepared, lost)
        }
        State::Complete | State::Failed { .. } if !is_current => {
            Position::Finalize(turn(child.run + 1, None), prepared, lost)
        }
        State::Complete => match child.finalized() {
            Answer::Read(finalized) => Position::Done(finalized.into(), lost),
            Answer::Unreadable if unreadable_in_a_row(children, attempt) < UNREADABLE_LIMIT => {
                Position::Finalize(turn(child.run + 1, None), prepared, lost)
            }
            Answer::Unreadable => {
                Position::Failed(lost.unwrap_or_else(|| unreadable(Step::Finalize)))
            }
        },
        State::Failed { reason, message } => {
            Position::Failed(lost.unwrap_or_else(|| failure(child, &reason, &message)))
        }
    }
}

fn unreadable_in_a_row(children: &[Child], attempt: i32) -> i32 {
    let mut runs: Vec<&Child> = children
        .iter()
        .filter(|child| child.step == Step::Finalize && child.attempt == attempt)
        .collect();
    runs.sort_by_key(|child| std::cmp::Reverse(child.run));
    let unreadable = |child: &&&Child| {
        child.state() == State::Complete && child.finalized() == Answer::Unreadable
    };
    i32::try_from(runs.iter().take_while(unreadable).count()).unwrap_or(i32::MAX)
}

fn unreadable(step: Step) -> Failure {
    Failure {
        reason: Some(reasons::RESULT_UNREADABLE.into()),
        message: Some(format!(
            "{} ended well {UNREADABLE_LIMIT} times, but its answer could not be read from the pod: is something removing pods?",
            step.word()
        )),
        ..Failure::default()
    }
}

/// Why a child Job failed: what its pod said, or else the Job controller.
pub(crate) fn failure(child: &Child, reason: &str, message: &str) -> Failure {
    match child.failed_pod() {
        Some(end) => pod_failure(&end),
        None => Failure {
            reason: Some(if reason.is_empty() { "JobFailed".into() } else { reason.to_owned() }),
            message: Some(format!("{}: {message}", child.step.word())),
            ..Failure::default()
        },
    }
}

/// Why a pod failed: in its own words if it had any.
fn pod_failure(end: &End) -> Failure {
    let (reason, message) = match &end.answer {
        Some(Termination::Failed(failure)) => (failure.reason.clone(), failure.message.clone()),
        _ => (pods::reason(&end.reason, &end.message), end.message.clone()),
    };
    Failure {
        reason: Some(if reason.is_empty() { "Error".into() } else { reason }),
        message: Some(message),
        pod: Some(end.pod.clone()),
        exit_code: end.exit_code,
        time: end.time.map(Time),
    }
}

/// Why a generate Job lost shards: the first cause, which the status may have already.
fn lost(
    known: Option<&GenerationJobStatus>,
    child: &Child,
    reason: &str,
    message: &str,
) -> Failure {
    known
        .and_then(|status| status.failure.clone())
        .unwrap_or_else(|| failure(child, reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::*;
    use serde_json::json;

    /// A position in a few words.
    fn words(position: &Position<'_>) -> String {
        let turn = |turn: &Turn<'_>| {
            let child = turn.child.map_or("begin", |_| "child");
            format!("{}.{} {child}", turn.attempt, turn.run)
        };
        let reason = |failure: &Failure| failure.reason.clone().unwrap_or_default();
        match position {
            Position::Ended => "ended".into(),
            Position::Prepare(at) => format!("prepare {}", turn(at)),
            Position::Generate(at, prepared) => {
                format!("generate {} {}", turn(at), prepared.shards)
            }
            Position::Finalize(at, _, lost) => {
                format!("finalize {}{}", turn(at), if lost.is_some() { " lost" } else { "" })
            }
            Position::Failed(failure) => format!("failed {}", reason(failure)),
            Position::Done(done, lost) => {
                format!("done {:?}{}", done.verdict, if lost.is_some() { " lost" } else { "" })
            }
        }
    }

    fn check(job: &GenerationJob, children: &[Child], expect: &str) {
        let found = position(job, children, attempt(job, None));
        assert_eq!(words(&found), expect);
    }

    #[test]
    fn a_job_goes_from_prepare_over_generate_to_finalize() {
        let job = with_status(job(json!({})), begun(json!({})));
        check(&job, &[], "prepare 0.0 begin");
        check(&job, &[child(&job, Step::Prepare, json!({}))], "prepare 0.0 child");
        let prepare = prepare_done(&job);
        check(&job, std::slice::from_ref(&prepare), "generate 0.0 begin 3");
        check(&job, &[prepare.clone(), generate(&job, json!({}))], "generate 0.0 child 3");
        let complete = generate(&job, job_condition("Complete", ""));
        check(&job, &[prepare.clone(), complete.clone()], "finalize 0.0 begin");
        let finalize = child(&job, Step::Finalize, json!({}));
        check(&job, &[prepare.clone(), complete.clone(), finalize], "finalize 0.0 child");
        let finalize = child(&job, Step::Finalize, job_condition("Complete", ""));
        let finalize = ended(finalize, 0, &Termination::Finalized(Box::default()).write());
        check(&job, &[prepare, complete, finalize], "done Succeeded");
    }

    #[test]
    fn what_the_status_remembers_replaces_children_that_are_gone() {
        let job = job(json!({}));
        let remembered = begun(json!({
            "records": 2, "generationHash": "sha256:g", "rows": {"requested": 8, "accepted": 2, "rejected": 0, "failed": 0},
            "shards": {"total": 3, "succeeded": 0, "running": 0, "failed": 0},
            "conditions": conditions(&["Prepared=True/Prepared", "Succeeded=Unknown/NotYet"]),
        }));
        let job = with_status(job, remembered.clone());
        check(&job, &[], "generate 0.0 begin 3");
        let mut generated = remembered;
        merge(
            &mut generated,
            json!({"conditions": conditions(&["Prepared=True/Prepared", "Generated=True/Generated"])}),
        );
        let job = with_status(job, generated);
        check(&job, &[], "finalize 0.0 begin");
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_asked_for_again_a_few_times() {
        let job = with_status(job(json!({})), begun(json!({})));
        let silent = |run| child_of(&job, Step::Prepare, 0, run, job_condition("Complete", ""));
        check(&job, &[silent(0)], "prepare 0.1 begin");
        check(&job, &[silent(0), silent(1)], "prepare 0.2 begin");
        check(&job, &[silent(0), silent(1), silent(2)], "failed ResultUnreadable");
    }

    #[test]
    fn a_pod_that_cannot_work_fails_the_job_in_its_own_words() {
        let job = with_status(job(json!({})), begun(json!({})));
        let failed = child(&job, Step::Prepare, job_condition("Failed", "PodFailurePolicy"));
        let message =
            r#"{"failed":{"reason":"InvalidSpec","message":"spec.columns[0].prompt: no end"}}"#;
        let failed = ended(ended(failed, 1, ""), 2, message);
        let Position::Failed(failure) = position(&job, &[failed], 0) else {
            panic!("it has failed")
        };
        assert_eq!(failure.reason.as_deref(), Some("InvalidSpec"));
        assert_eq!(failure.message.as_deref(), Some("spec.columns[0].prompt: no end"));
        assert_eq!((failure.pod.as_deref(), failure.exit_code), (Some("prepare-pod-1"), Some(2)));
    }

    #[test]
    fn lost_shards_are_finalized_without_and_the_first_cause_stays() {
        let job = with_status(job(json!({})), begun(json!({})));
        let failed = ended(generate(&job, job_condition("Failed", "FailedIndexes")), 1, "boom");
        check(&job, &[prepare_done(&job), failed.clone()], "finalize 0.0 begin lost");
        let known = begun(json!({"failure": {"reason": "OutOfMemory", "message": "first"}}));
        let job = with_status(job, known);
        let children = [prepare_done(&job), failed];
        let Position::Finalize(_, _, Some(cause)) = position(&job, &children, 0) else {
            panic!("finalize")
        };
        assert_eq!(cause.reason.as_deref(), Some("OutOfMemory"));
    }

    fn failed(prepared: &str, suspended: &str, observed: i64) -> serde_json::Value {
        let conditions = conditions(&[prepared, suspended, "Succeeded=False/ShardsLost"]);
        begun(json!({"observedGeneration": observed, "conditions": conditions}))
    }

    #[test]
    fn a_failed_job_begins_anew_when_it_is_resumed_or_its_spec_mended() {
        let job = job(json!({}));
        let attempt_of = |status| attempt(&with_status(job.clone(), status), None);
        assert_eq!(attempt_of(failed("Prepared=True", "Suspended=False", 1)), 0);
        assert_eq!(attempt_of(failed("Prepared=True", "Suspended=True", 0)), 1, "retry");
        assert_eq!(attempt_of(failed("Prepared=False", "Suspended=False", 1)), 0);
        assert_eq!(attempt_of(failed("Prepared=False", "Suspended=False", 0)), 1, "mended");
        let suspended = crate::job::fixture::job(json!({"execution": {"suspend": true}}));
        let suspended = with_status(suspended, failed("Prepared=True", "Suspended=True", 0));
        assert_eq!(attempt(&suspended, None), 0);
    }

    fn succeeded(job: &GenerationJob) -> serde_json::Value {
        let conditions = conditions(&[
            "Prepared=True/Prepared",
            "Generated=True/Generated",
            "Succeeded=True/Succeeded",
        ]);
        begun(json!({
            "observedGeneration": 0, "conditions": conditions, "validationHash": validation_hash(&job.spec),
            "records": 2, "generationHash": "sha256:g", "rows": {"requested": 8, "accepted": 8, "rejected": 0, "failed": 0},
        }))
    }

    #[test]
    fn more_rows_are_another_attempt_and_another_gate_is_another_finalize() {
        let base = job(json!({}));
        let snapshot = |job: &GenerationJob| {
            crate::job::build::task(&owner(job), &job.spec, 0, Default::default())
        };
        let same = with_status(base.clone(), succeeded(&base));
        let more = with_status(job(json!({"samplesPerRecord": 3})), succeeded(&base));
        assert_eq!(attempt(&same, Some(&snapshot(&base))), 0);
        assert_eq!(attempt(&more, Some(&snapshot(&base))), 1);
        assert!(matches!(position(&same, &[], 0), Position::Ended));
        let judged = json!({"validation": {"gates": [{"metric": "acceptedRows", "min": 1}]}});
        let judged = with_status(job(judged), succeeded(&base));
        assert_eq!(attempt(&judged, Some(&snapshot(&base))), 0);
        assert_eq!(words(&position(&judged, &[], 0)), "finalize 0.0 begin");
        let before = child(&base, Step::Finalize, job_condition("Complete", ""));
        assert_eq!(words(&position(&judged, &[before], 0)), "finalize 0.1 begin");
    }
}
