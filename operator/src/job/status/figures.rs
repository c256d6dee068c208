//! The numbers of a job's status: rows, shards, progress, usage. While rows are generated they are provisional. No I/O.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use textnlp_crds::conditions::types;
use textnlp_crds::job_status::{JobModel, Progress, Rows, Shards, Usage};
use textnlp_crds::task::Prepared;

use super::Writer;
use crate::conditions::{self, State};
use crate::job::children::{Step, newest};
use crate::job::validate::endpoint;
use crate::job::{position, reasons, spec};

impl Writer<'_> {
    pub(super) fn prepared(&mut self, prepared: &Prepared) {
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

    pub(super) fn shards(&mut self, prepared: &Prepared) {
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
    pub(super) fn progress(&mut self, prepared: &Prepared) {
        let shards = self.status.shards.unwrap_or_default();
        let missing = (prepared.rows - prepared.finished).max(0);
        let complete = match shards.total {
            0 => missing,
            total => missing.saturating_mul(i64::from(shards.succeeded)) / i64::from(total),
        };
        let rates = self.observed.rates.clone().unwrap_or_default();
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
        let usage = self.usage_so_far(&rates.usage);
        self.status.usage = (usage != Usage::default()).then_some(usage);
    }

    fn after(&self, seconds: f64) -> Option<Time> {
        // Whole tens of seconds: an estimate, and fewer writes.
        let tens = (seconds.min(1e9) / 10.0).ceil() as i64 * 10;
        let base = Timestamp::from_second(self.now.as_second() / 10 * 10).ok()?;
        base.checked_add(SignedDuration::from_secs(tens)).ok().map(Time)
    }

    /// No rates while nothing is generated.
    pub(super) fn still(&mut self) {
        if let Some(progress) = &mut self.status.progress {
            progress.tokens_per_second = None;
            progress.estimated_completion_time = None;
        }
    }

    pub(super) fn model(&self) -> Option<JobModel> {
        let name = spec::main_model(&self.observed.job.spec)?;
        let model = self.observed.models.get(&name)?.as_ref()?;
        let endpoint = endpoint(self.observed, &name, Some(model)).ok()?;
        Some(JobModel {
            name: Some(name),
            digest: Some(endpoint.digest),
            numerics: Some(endpoint.numerics),
            reproducible: Some(endpoint.reproducible),
        })
    }
}

pub(super) fn done_of(finished: i64, rows: i64) -> Progress {
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
