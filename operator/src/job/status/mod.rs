//! Step 5: the status that follows from what was applied. No I/O. Here is a job on its way; `end.rs` has its end, `figures.rs` its numbers,
//! `usage.rs` what it used of models and what that cost.
//!
//! Conditions follow kstatus: `Reconciling` from creation to the end, `Stalled` after a failure, neither while the user has suspended
//! the job, never both. `Succeeded` is Unknown until the end.

mod end;
mod figures;
#[cfg(test)]
mod tests;
mod usage;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use textnlp_crds::GenerationJobStatus;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::job_status::JobPhase;
use textnlp_crds::task::Prepared;

use crate::conditions::{self, Conditions, State};
use crate::job::apply::Applied;
use crate::job::children::{ONE_NODE, Step, newest};
use crate::job::observe::Observed;
use crate::job::plan::Stand;
use crate::job::status::figures::done_of;
use crate::job::validate::Obstacle;
use crate::job::{clock, position, reasons};
use crate::pods::Trouble;

/// The order in which people read the conditions.
const ORDER: [&str; 8] = [
    types::RECONCILING,
    types::STALLED,
    types::PREPARED,
    types::MODEL_READY,
    types::SUSPENDED,
    types::GENERATED,
    types::VALIDATED,
    types::SUCCEEDED,
];

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
    writer
        .status
        .conditions
        .sort_by_key(|condition| ORDER.iter().position(|type_| *type_ == condition.type_));
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
        let workers = self.observed.job.spec.execution.parallelism.min(prepared.shards);
        let child = newest(&self.observed.children, Step::Generate, self.attempt);
        let one_node = child.is_some_and(|child| child.job.annotations().contains_key(ONE_NODE));
        if workers > 1 && one_node {
            return format!(
                "rows are generated by up to {workers} workers, all on one node: no other can mount the claim, which is not ReadWriteMany"
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
            false => self.conditions.set(types::PREPARED, State::False, reasons::NOT_YET, ""),
        }
    }

    fn has_begun(&self) -> bool {
        self.before.attempt == Some(self.attempt)
            && self.before.start_time.is_some()
            && !position::has_ended(&self.before)
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
