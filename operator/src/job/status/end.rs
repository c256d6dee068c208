//! The status of a job that has ended: how, and why. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::job_status::JobPhase;
use textnlp_crds::task::{Finalized, Verdict};

use super::Writer;
use super::figures::done_of;
use crate::conditions::{self, State};
use crate::job::build::CANNOT_WORK;
use crate::job::{position, reasons};

impl Writer<'_> {
    /// Nothing of the outcome changes; only whether a failed job is suspended, so that resuming it means `retry`.
    pub(super) fn ended(&mut self) {
        let failed = position::has_failed(&self.before);
        let suspended = failed && self.observed.job.spec.execution.suspend;
        let end = conditions::find(&self.before.conditions, types::SUCCEEDED).cloned();
        let (reason, message) = end.map(|end| (end.reason, end.message)).unwrap_or_default();
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
            self.neither(&reason, &message);
        }
        self.conditions.keep(types::PREPARED);
        self.conditions.keep(types::MODEL_READY);
        self.suspension(suspended);
        self.conditions.keep(types::GENERATED);
        self.conditions.keep(types::VALIDATED);
        self.conditions.keep(types::SUCCEEDED);
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
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

    pub(super) fn done(&mut self, done: &Finalized, lost: Option<&Failure>) {
        let (reason, succeeded) = match done.verdict {
            Verdict::Succeeded => (reasons::SUCCEEDED, true),
            Verdict::GateFailed => (reasons::GATE_FAILED, false),
            Verdict::NoRows => (reasons::NO_ROWS, false),
            Verdict::ShardsLost => (reasons::SHARDS_LOST, false),
        };
        // A worker that can never work says more than that its shard is lost.
        let hopeless = lost.filter(|cause| !succeeded && cause.exit_code == Some(CANNOT_WORK));
        let own_words =
            hopeless.and_then(|cause| Some((cause.reason.clone()?, cause.message.clone()?)));
        let (reason, message) = match &own_words {
            Some((reason, message)) => (reason.as_str(), format!("{message}; {}", done.message)),
            None => (reason, done.message.clone()),
        };
        self.end(if succeeded { JobPhase::Succeeded } else { JobPhase::Failed });
        self.stop_clock();
        if succeeded {
            self.neither(reason, &message);
            self.status.failure = None;
        } else {
            self.stalled(reason, &message);
            let own = Failure {
                reason: Some(reason.into()),
                message: Some(message.clone()),
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
        self.conditions.set(types::SUCCEEDED, State::from(succeeded), reason, &message);
        self.status.rows = Some(done.rows);
        self.status.rejections.clone_from(&done.rejections);
        self.status.usage = Some(self.usage_at_the_end(&done.usage));
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

    /// The time of a failure that is found again and again is that of the first time.
    pub(super) fn failure_time(&self, reason: &str, message: &str) -> Time {
        let before = self.before.failure.as_ref().filter(|failure| {
            failure.reason.as_deref() == Some(reason) && failure.message.as_deref() == Some(message)
        });
        before.and_then(|failure| failure.time.clone()).unwrap_or(Time(self.now))
    }
}
