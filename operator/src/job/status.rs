//! Step 5: the status that follows from what was applied. No I/O.
//!
//! Conditions follow kstatus: `Reconciling` from creation to the end, `Stalled` after a failure, neither while the user has suspended
//! the job, never both. `Succeeded` is Unknown until the end.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use textnlp_crds::GenerationJobStatus;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::job_status::{JobModel, JobPhase, Progress, Rows, Shards, Usage};
use textnlp_crds::task::{Finalized, Prepared, Verdict};

use crate::conditions::{self, Conditions, State};
use crate::job::apply::Applied;
use crate::job::children::{Step, newest};
use crate::job::observe::Observed;
use crate::job::plan::{Stand, one_node_only};
use crate::job::validate::Obstacle;
use crate::job::{clock, position, reasons, spec};
use crate::pods::Trouble;

/// What a job's status says now.
pub(crate) fn status(
    observed: &Observed,
    applied: &Applied,
    now: Timestamp,
) -> GenerationJobStatus {
    let before = observed.job.status.clone().unwrap_or_default();
    let generation = observed.job.metadata.generation;
    let mut writer = Writer {
        conditions: Conditions::new(&before.conditions, generation, now),
        status: GenerationJobStatus {
            observed_generation: generation,
            conditions: Vec::new(),
            ..before.clone()
        },
        before,
        observed,
        attempt: applied.attempt,
        now,
    };
    writer.write(&applied.stand);
    writer.status.conditions = writer.conditions.finish();
    writer.status
}

/// Whether two statuses differ only in how far the job is, so that nothing is lost if the newer one is written later or never. While
/// the dataset is written, that is all of it: the end tells the same and more.
pub(crate) fn only_shows_progress(
    before: &GenerationJobStatus,
    after: &GenerationJobStatus,
    stand: &Stand,
) -> bool {
    if matches!(stand, Stand::Finalizing(_, None, None)) && before.phase == Some(JobPhase::Running)
    {
        return true;
    }
    let bare = |status: &GenerationJobStatus| GenerationJobStatus {
        rows: None,
        progress: None,
        usage: None,
        shards: None,
        ..status.clone()
    };
    matches!(stand, Stand::Generating(..)) && bare(before) == bare(after)
}

struct Writer<'a> {
    observed: &'a Observed,
    before: GenerationJobStatus,
    status: GenerationJobStatus,
    conditions: Conditions,
    attempt: i32,
    now: Timestamp,
}

impl Writer<'_> {
    fn write(&mut self, stand: &Stand) {
        if self.before.attempt.is_some_and(|attempt| attempt != self.attempt) {
            self.put_aside();
        }
        match stand {
            Stand::Ended => self.ended(),
            Stand::Begins => self.begins(),
            Stand::Obstructed(obstacle) => self.obstructed(obstacle),
            Stand::Suspended(step, prepared) => self.suspended(*step, prepared.as_ref()),
            Stand::Queued(step, prepared, message) => {
                self.queued(*step, prepared.as_ref(), message)
            }
            Stand::Preparing(trouble) => {
                self.status.phase = Some(JobPhase::Preparing);
                self.reconciling(
                    reasons::PREPARING,
                    "the source is read and checked",
                    trouble.as_ref(),
                );
                self.not_prepared();
                if self.status.model.is_none() {
                    self.status.model = self.model();
                }
            }
            Stand::WaitingForModel(prepared, obstacle) => {
                self.status.phase = Some(JobPhase::WaitingForModel);
                self.reconciling(&obstacle.reason, &obstacle.message, None);
                self.generating(prepared, Some(obstacle));
            }
            Stand::Generating(prepared, trouble) => {
                self.status.phase = Some(JobPhase::Running);
                let message = self.generating_message(prepared);
                self.reconciling(reasons::GENERATING, &message, trouble.as_ref());
                self.generating(prepared, None);
            }
            Stand::Finalizing(prepared, lost, trouble) => {
                self.status.phase = Some(JobPhase::Finalizing);
                self.reconciling(
                    reasons::FINALIZING,
                    "rows are merged, scored and written",
                    trouble.as_ref(),
                );
                self.finalizing(prepared, lost.as_ref());
            }
            Stand::Failed(failure) => self.failed(failure),
            Stand::Done(finalized, lost) => self.done(finalized, lost.as_ref()),
        }
    }

    /// Nothing of the outcome changes; only whether a failed job is suspended, so that resuming it means `retry`.
    fn ended(&mut self) {
        let failed = position::has_failed(&self.before);
        let suspended = failed && self.observed.job.spec.execution.suspend;
        let failure = self.before.failure.clone().unwrap_or_default();
        let reason = failure.reason.unwrap_or_else(|| reasons::GATE_FAILED.into());
        let message = failure.message.unwrap_or_default();
        if suspended {
            self.status.phase = Some(JobPhase::Suspended);
            self.neither(
                reasons::SUSPENDED,
                "the job has failed and is suspended; resuming it begins another attempt",
            );
        } else if failed {
            self.status.phase = Some(JobPhase::Failed);
            self.stalled(&reason, &message);
        } else {
            self.neither(reasons::SUCCEEDED, "");
        }
        self.conditions.keep(types::PREPARED);
        self.conditions.keep(types::MODEL_READY);
        self.suspension(suspended);
        self.conditions.keep(types::GENERATED);
        self.conditions.keep(types::VALIDATED);
        self.conditions.keep(types::SUCCEEDED);
    }

    /// Another attempt: what the one before found does not count any more.
    fn put_aside(&mut self) {
        let status = &mut self.status;
        status.attempt = Some(self.attempt);
        status.active_seconds = Some(0);
        status.completion_time = None;
        status.failure = None;
        status.progress = None;
        status.shards = None;
        status.validation = None;
        status.validation_hash = None;
        status.rejections = Vec::new();
        status.model = None;
    }

    /// The attempt begins: from now on the spec is frozen.
    fn begins(&mut self) {
        self.status.attempt = Some(self.attempt);
        self.status.start_time.get_or_insert(Time(self.now));
        self.status.active_seconds = Some(0);
        self.status.failure = None;
        self.status.model = self.model();
        self.status.phase = Some(JobPhase::Preparing);
        self.reconciling(reasons::PREPARING, "the source is read and checked", None);
        self.conditions.set(types::PREPARED, State::False, reasons::PREPARING, "");
        self.conditions.set(types::MODEL_READY, State::Unknown, reasons::NOT_YET, "");
        self.suspension(false);
        self.conditions.set(types::GENERATED, State::False, reasons::NOT_YET, "");
        self.undecided();
    }

    fn obstructed(&mut self, obstacle: &Obstacle) {
        if obstacle.is_final {
            self.status.phase = Some(JobPhase::Failed);
            self.status.failure = Some(Failure {
                reason: Some(obstacle.reason.clone()),
                message: Some(obstacle.message.clone()),
                time: Some(self.failure_time(&obstacle.reason, &obstacle.message)),
                ..Failure::default()
            });
            self.stalled(&obstacle.reason, &obstacle.message);
            self.remember_prepared();
            self.keep_or(types::MODEL_READY, State::Unknown);
            self.suspension(false);
            self.keep_or(types::GENERATED, State::False);
            self.conditions.set(types::VALIDATED, State::Unknown, reasons::NOT_YET, "");
            self.conditions.set(
                types::SUCCEEDED,
                State::False,
                &obstacle.reason,
                &obstacle.message,
            );
            return;
        }
        if !self.has_begun() {
            self.status.phase = Some(JobPhase::Pending);
            self.status.failure = None;
        }
        self.reconciling(&obstacle.reason, &obstacle.message, None);
        self.remember_prepared();
        match is_about_model(&obstacle.reason) {
            true => self.conditions.set(
                types::MODEL_READY,
                State::False,
                &obstacle.reason,
                &obstacle.message,
            ),
            false => self.keep_or(types::MODEL_READY, State::Unknown),
        }
        self.suspension(false);
        self.keep_or(types::GENERATED, State::False);
        self.undecided();
    }

    fn suspended(&mut self, step: Step, prepared: Option<&Prepared>) {
        self.status.phase = Some(JobPhase::Suspended);
        self.neither(reasons::SUSPENDED, "spec.execution.suspend is true; finished rows are kept");
        self.paused(step, prepared);
        self.suspension(true);
        self.undecided();
    }

    fn queued(&mut self, step: Step, prepared: Option<&Prepared>, message: &str) {
        self.status.phase = Some(JobPhase::Suspended);
        self.reconciling(reasons::WAITING_FOR_QUOTA, message, None);
        self.paused(step, prepared);
        self.stop_clock();
        self.conditions.set(types::SUSPENDED, State::True, reasons::WAITING_FOR_QUOTA, message);
        self.undecided();
    }

    /// A step that stands still: what is known of it stays.
    fn paused(&mut self, step: Step, prepared: Option<&Prepared>) {
        match prepared {
            Some(prepared) => self.prepared(prepared),
            None => self.not_prepared_only(),
        }
        self.keep_or(types::MODEL_READY, State::Unknown);
        match step {
            Step::Finalize => self.keep_or(types::GENERATED, State::True),
            Step::Prepare | Step::Generate => self.keep_or(types::GENERATED, State::False),
        }
        if let (Step::Generate, Some(prepared)) = (step, prepared) {
            self.shards(prepared);
        }
        self.still();
    }

    fn not_prepared(&mut self) {
        self.not_prepared_only();
        self.keep_or(types::MODEL_READY, State::Unknown);
        self.suspension(false);
        self.conditions.set(types::GENERATED, State::False, reasons::NOT_YET, "");
        self.undecided();
    }

    fn not_prepared_only(&mut self) {
        self.conditions.set(types::PREPARED, State::False, reasons::PREPARING, "");
    }

    fn prepared(&mut self, prepared: &Prepared) {
        let Prepared { records, rows, shards, .. } = prepared;
        let message =
            format!("{records} records, {rows} rows; what is missing lies in {shards} shards");
        self.conditions.set(types::PREPARED, State::True, reasons::PREPARED, message);
        self.status.attempt = Some(self.attempt);
        self.status.records = Some(*records);
        self.status.generation_hash = Some(prepared.generation_hash.clone());
        let counted = self.before.rows.unwrap_or_default();
        let known = conditions::is_true(&self.before.conditions, types::PREPARED)
            && counted.requested == *rows;
        if !known {
            self.status.rows =
                Some(Rows { requested: *rows, accepted: prepared.finished, ..Rows::default() });
            self.status.progress = Some(done_of(prepared.finished, *rows));
        }
        if self.status.shards.is_none_or(|known| known.total != *shards) {
            self.status.shards = Some(Shards { total: *shards, ..Shards::default() });
        }
    }

    fn generating(&mut self, prepared: &Prepared, obstacle: Option<&Obstacle>) {
        self.prepared(prepared);
        match obstacle {
            Some(obstacle) => {
                self.conditions.set(
                    types::MODEL_READY,
                    State::False,
                    &obstacle.reason,
                    &obstacle.message,
                );
            }
            None => self.conditions.set(types::MODEL_READY, State::True, reasons::READY, ""),
        }
        self.suspension(false);
        self.conditions.set(types::GENERATED, State::False, reasons::GENERATING, "");
        self.undecided();
        self.shards(prepared);
        self.progress(prepared);
    }

    fn generating_message(&self, prepared: &Prepared) -> String {
        let claim = self.observed.needs.output_claim.as_ref().and_then(Option::as_ref);
        let spec = &self.observed.job.spec;
        let workers = spec.execution.parallelism.min(prepared.shards);
        let shared = spec::output_claim(spec, &self.observed.owner).is_some();
        if workers > 1 && shared && one_node_only(claim, spec) {
            return format!(
                "rows are generated by up to {workers} workers, all on one node since the claim is ReadWriteOnce"
            );
        }
        format!("rows are generated by up to {workers} workers")
    }

    fn finalizing(&mut self, prepared: &Prepared, lost: Option<&Failure>) {
        self.prepared(prepared);
        self.keep_or(types::MODEL_READY, State::Unknown);
        self.suspension(false);
        self.shards(prepared);
        self.generated(lost);
        self.undecided();
        self.still();
        if lost.is_none() && prepared.rows > 0 && self.before.validation_hash.is_none() {
            self.status.progress = Some(done_of(prepared.rows, prepared.rows));
        }
        // Judged anew: the outcome is open again.
        self.status.completion_time = None;
        if lost.is_none() {
            self.status.failure = None;
        }
    }

    fn generated(&mut self, lost: Option<&Failure>) {
        match lost {
            None => self.conditions.set(types::GENERATED, State::True, reasons::GENERATED, ""),
            Some(failure) => {
                let message = failure.message.clone().unwrap_or_default();
                self.conditions.set(types::GENERATED, State::False, reasons::SHARDS_LOST, message);
                self.status.failure.get_or_insert_with(|| failure.clone());
            }
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let reason = failure.reason.clone().unwrap_or_else(|| "Failed".into());
        let message = failure.message.clone().unwrap_or_default();
        self.end(JobPhase::Failed);
        self.stop_clock();
        let mut first = self.status.failure.clone().unwrap_or_else(|| failure.clone());
        first.time.get_or_insert(Time(self.now));
        self.status.failure = Some(first);
        self.stalled(&reason, &message);
        let prepared = conditions::is_true(&self.before.conditions, types::PREPARED);
        if prepared && self.before.attempt == Some(self.attempt) {
            self.conditions.keep(types::PREPARED);
        } else {
            // Nothing was generated from this spec, and so it may be mended.
            self.conditions.set(types::PREPARED, State::False, &reason, &message);
            if self.status.generation_hash.is_none() {
                self.status.start_time = None;
            }
        }
        self.keep_or(types::MODEL_READY, State::Unknown);
        self.suspension(false);
        self.keep_or(types::GENERATED, State::False);
        self.conditions.set(types::VALIDATED, State::Unknown, reasons::NOT_YET, "");
        self.conditions.set(types::SUCCEEDED, State::False, &reason, &message);
        if let Some(rows) = &mut self.status.rows {
            // Rows that were not made have failed; the totals balance.
            rows.failed = (rows.requested - rows.accepted - rows.rejected).max(0);
        }
        self.still();
    }

    fn done(&mut self, done: &Finalized, lost: Option<&Failure>) {
        let (reason, succeeded) = match done.verdict {
            Verdict::Succeeded => (reasons::SUCCEEDED, true),
            Verdict::GateFailed => (reasons::GATE_FAILED, false),
            Verdict::NoRows => (reasons::NO_ROWS, false),
            Verdict::ShardsLost => (reasons::SHARDS_LOST, false),
        };
        self.end(if succeeded { JobPhase::Succeeded } else { JobPhase::Failed });
        self.stop_clock();
        if succeeded {
            self.neither(reason, &done.message);
            self.status.failure = None;
        } else {
            self.stalled(reason, &done.message);
            let own = Failure {
                reason: Some(reason.into()),
                message: Some(done.message.clone()),
                time: Some(Time(self.now)),
                ..Failure::default()
            };
            let mut first = lost.cloned().or_else(|| self.status.failure.clone()).unwrap_or(own);
            first.time.get_or_insert(Time(self.now));
            self.status.failure = Some(first);
        }
        self.remember_prepared();
        self.keep_or(types::MODEL_READY, State::Unknown);
        self.suspension(false);
        self.generated(lost);
        self.validated(done);
        self.conditions.set(types::SUCCEEDED, State::from(succeeded), reason, &done.message);
        self.status.rows = Some(done.rows);
        self.status.rejections.clone_from(&done.rejections);
        self.status.usage = Some(done.usage);
        self.status.validation = Some(done.validation.clone());
        self.status.validation_hash = Some(position::validation_hash(&self.observed.job.spec));
        self.status.output = Some(done.output.clone());
        self.status.progress = Some(done_of(done.rows.requested, done.rows.requested));
        if let Some(shards) = &mut self.status.shards {
            shards.running = 0;
            if lost.is_none() {
                shards.succeeded = shards.total;
            }
        }
    }

    fn validated(&mut self, done: &Finalized) {
        let (state, reason) = match (done.validation.passed, done.verdict) {
            (Some(true), _) => (State::True, reasons::GATES_PASSED),
            (Some(false), _) | (None, Verdict::GateFailed) => (State::False, reasons::GATE_FAILED),
            (None, _) => (State::True, "NoGates"),
        };
        let message = if state == State::False { done.message.as_str() } else { "" };
        self.conditions.set(types::VALIDATED, state, reason, message);
    }

    fn end(&mut self, phase: JobPhase) {
        self.status.phase = Some(phase);
        self.status.attempt.get_or_insert(self.attempt);
        self.status.completion_time = Some(Time(self.now));
    }

    /// In progress, or held up by something that a pod is waiting for.
    fn reconciling(&mut self, reason: &str, message: &str, trouble: Option<&Trouble>) {
        match trouble {
            Some(trouble) => {
                let message = format!("pod {}: {}", trouble.pod, trouble.message);
                self.conditions.set(types::RECONCILING, State::True, &trouble.reason, message);
            }
            None => self.conditions.set(types::RECONCILING, State::True, reason, message),
        }
        self.conditions.set(types::STALLED, State::False, reason, "");
    }

    fn stalled(&mut self, reason: &str, message: &str) {
        self.conditions.set(types::RECONCILING, State::False, reason, "");
        self.conditions.set(types::STALLED, State::True, reason, message);
    }

    fn neither(&mut self, reason: &str, message: &str) {
        self.conditions.set(types::RECONCILING, State::False, reason, message);
        self.conditions.set(types::STALLED, State::False, reason, "");
    }

    fn suspension(&mut self, suspended: bool) {
        match suspended {
            true => {
                self.stop_clock();
                self.conditions.set(
                    types::SUSPENDED,
                    State::True,
                    reasons::SUSPENDED,
                    "spec.execution.suspend is true",
                );
            }
            false => {
                self.conditions.set(types::SUSPENDED, State::False, reasons::NOT_SUSPENDED, "")
            }
        }
    }

    /// Active time up to now is counted once, when the job stops being active.
    fn stop_clock(&mut self) {
        if self.before.start_time.is_some() {
            self.status.active_seconds = Some(clock::active_seconds(&self.before, self.now));
        }
    }

    fn undecided(&mut self) {
        self.conditions.set(types::VALIDATED, State::Unknown, reasons::NOT_YET, "");
        self.conditions.set(types::SUCCEEDED, State::Unknown, reasons::NOT_YET, "");
    }

    fn keep_or(&mut self, type_: &str, state: State) {
        match conditions::find(&self.before.conditions, type_) {
            Some(_) => self.conditions.keep(type_),
            None => self.conditions.set(type_, state, reasons::NOT_YET, ""),
        }
    }

    fn remember_prepared(&mut self) {
        match self.before.attempt == Some(self.attempt) {
            true => self.keep_or(types::PREPARED, State::False),
            false => self.not_prepared_only(),
        }
    }

    fn has_begun(&self) -> bool {
        self.before.attempt == Some(self.attempt)
            && self.before.start_time.is_some()
            && !position::has_ended(&self.before)
    }

    /// The time of a failure that is found again and again is that of the first time.
    fn failure_time(&self, reason: &str, message: &str) -> Time {
        let before = self.before.failure.as_ref().filter(|failure| {
            failure.reason.as_deref() == Some(reason) && failure.message.as_deref() == Some(message)
        });
        before.and_then(|failure| failure.time.clone()).unwrap_or(Time(self.now))
    }

    fn model(&self) -> Option<JobModel> {
        let name = spec::main_model(&self.observed.job.spec)?;
        let model = self.observed.models.get(&name)?.as_ref()?;
        let endpoint = crate::job::validate::endpoint(self.observed, &name, Some(model)).ok()?;
        Some(JobModel {
            name: Some(name),
            digest: Some(endpoint.digest),
            numerics: Some(endpoint.numerics),
            reproducible: Some(endpoint.reproducible),
        })
    }

    fn shards(&mut self, prepared: &Prepared) {
        let child = newest(&self.observed.children, Step::Generate, self.attempt);
        if let Some(child) = child {
            let (succeeded, running, failed) = child.shards();
            self.status.shards =
                Some(Shards { total: prepared.shards, succeeded, running, failed });
            if failed > 0 && self.status.failure.is_none() {
                self.status.failure =
                    child.failed_pod().map(|_| position::failure(child, reasons::SHARDS_LOST, ""));
            }
        }
    }

    /// Rows and rates while rows are generated: provisional, and never less than before.
    fn progress(&mut self, prepared: &Prepared) {
        let shards = self.status.shards.unwrap_or_default();
        let missing = (prepared.rows - prepared.finished).max(0);
        let complete = match shards.total {
            0 => missing,
            total => missing.saturating_mul(i64::from(shards.succeeded)) / i64::from(total),
        };
        let rates = self.observed.rates.unwrap_or_default();
        let before = self.status.rows.unwrap_or_default();
        let finished = (prepared.finished + complete + rates.finished).clamp(0, prepared.rows);
        let finished = finished.max(before.accepted + before.failed).min(prepared.rows);
        let failed = rates.failed.max(before.failed).min(finished);
        self.status.rows = Some(Rows {
            requested: prepared.rows,
            accepted: finished - failed,
            rejected: 0,
            failed,
        });
        let left = (prepared.rows - finished) as f64;
        let eta = rates.rows_per_second.filter(|rate| *rate > 0.0).map(|rate| left / rate);
        self.status.progress = Some(Progress {
            tokens_per_second: rates.tokens_per_second.map(|rate| (rate * 10.0).round() / 10.0),
            estimated_completion_time: eta.and_then(|seconds| self.after(seconds)),
            ..done_of(finished, prepared.rows)
        });
        let used = self.before.usage.unwrap_or_default();
        let usage = Usage {
            prompt_tokens: rates.usage.prompt_tokens.max(used.prompt_tokens),
            completion_tokens: rates.usage.completion_tokens.max(used.completion_tokens),
            requests: rates.usage.requests.max(used.requests),
        };
        self.status.usage = (usage != Usage::default()).then_some(usage);
    }

    fn after(&self, seconds: f64) -> Option<Time> {
        // Whole tens of seconds: an estimate, and fewer writes.
        let tens = (seconds.min(1e9) / 10.0).ceil() as i64 * 10;
        let base = Timestamp::from_second(self.now.as_second() / 10 * 10).ok()?;
        base.checked_add(SignedDuration::from_secs(tens)).ok().map(Time)
    }

    /// No rates while nothing is generated.
    fn still(&mut self) {
        if let Some(progress) = &mut self.status.progress {
            progress.tokens_per_second = None;
            progress.estimated_completion_time = None;
        }
    }
}

fn done_of(finished: i64, rows: i64) -> Progress {
    let percent = if rows <= 0 {
        100
    } else {
        i32::try_from(finished.saturating_mul(100) / rows).unwrap_or(100)
    };
    Progress {
        summary: Some(format!("{finished}/{rows}")),
        percent: Some(percent),
        ..Progress::default()
    }
}

fn is_about_model(reason: &str) -> bool {
    matches!(
        reason,
        reasons::MODEL_NOT_FOUND
            | reasons::MODEL_NOT_CACHED
            | reasons::MODEL_FAILED
            | reasons::MODEL_NOT_READY
    )
}
