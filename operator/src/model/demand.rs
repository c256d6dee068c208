//! What the GenerationJobs of a namespace ask of a model. Pure.

use std::collections::BTreeSet;

use textnlp_crds::GenerationJob;
use textnlp_crds::job_status::JobPhase;

/// The jobs that hold a model awake, and what they ask of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Names of the jobs, in alphabetical order.
    pub jobs: Vec<String>,
    /// Requests that they want to have in flight.
    pub requests: i64,
}

/// The holds of `jobs` on the model called `model`: of all that call it, are not being deleted, and wait for it or run.
pub fn holds<'a>(model: &str, jobs: impl IntoIterator<Item = &'a GenerationJob>) -> Holds {
    let mut holds = Holds::default();
    for job in jobs {
        let Some(requests) = hold(job).filter(|_| called(job).contains(model)) else { continue };
        holds.jobs.extend(job.metadata.name.clone());
        holds.requests = holds.requests.saturating_add(requests);
    }
    holds.jobs.sort_unstable();
    holds
}

/// The names of the models that the columns of `job` call.
pub fn called(job: &GenerationJob) -> BTreeSet<&str> {
    let models = job.spec.columns.iter().filter_map(|column| job.spec.model_of(column));
    models.map(|reference| reference.name.as_str()).collect()
}

/// The requests that `job` wants to have in flight at each of its models, while it holds them: it is prepared, admitted, not
/// suspended and unfinished, and the phase says all of that.
pub fn hold(job: &GenerationJob) -> Option<i64> {
    let phase = job.status.as_ref().and_then(|status| status.phase);
    let awake = matches!(phase, Some(JobPhase::WaitingForModel | JobPhase::Running));
    (awake && job.metadata.deletion_timestamp.is_none()).then(|| requests(job))
}

/// `min(rows left, parallelism × concurrency)`; all rows left without a concurrency. Before the number of rows is known, what
/// the workers may send, or one request.
fn requests(job: &GenerationJob) -> i64 {
    let execution = &job.spec.execution;
    let most = execution.concurrency.map(|rows| i64::from(rows) * i64::from(execution.parallelism));
    let rows = job.status.as_ref().and_then(|status| status.rows);
    let left = rows.map(|rows| {
        let done = rows.accepted.saturating_add(rows.rejected).saturating_add(rows.failed);
        rows.requested.saturating_sub(done).max(0)
    });
    match (left, most) {
        (Some(left), Some(most)) => left.min(most),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(name: &str, execution: Value, status: Value) -> GenerationJob {
        serde_json::from_value(json!({
            "apiVersion": "textnlp.dev/v1alpha1",
            "kind": "GenerationJob",
            "metadata": {"name": name},
            "spec": {
                "modelRef": {"name": "smollm2"},
                "columns": [{"name": "a", "prompt": "x"}, {"name": "b", "prompt": "x", "modelRef": {"name": "judge"}}],
                "execution": execution,
            },
            "status": status,
        }))
        .expect("a job")
    }

    fn rows(requested: i64, accepted: i64, rejected: i64, failed: i64) -> Value {
        json!({"requested": requested, "accepted": accepted, "rejected": rejected, "failed": failed})
    }

    #[test]
    fn a_job_asks_for_its_rows_left_or_for_what_its_workers_may_send() {
        let check = |execution: Value, status: Value, expect: i64| {
            let job = job("j", execution, status.clone());
            assert_eq!(holds("smollm2", [&job]).requests, expect, "{status}");
        };
        let running = |rows: Value| json!({"phase": "Running", "rows": rows});
        check(json!({}), running(rows(100, 20, 5, 1)), 74);
        check(json!({"parallelism": 2, "concurrency": 8}), running(rows(100, 0, 0, 0)), 16);
        check(json!({"parallelism": 2, "concurrency": 8}), running(rows(100, 90, 0, 0)), 10);
        check(json!({}), running(rows(5, 9, 0, 0)), 0);
        check(json!({}), json!({"phase": "WaitingForModel"}), 1);
        check(json!({"parallelism": 3, "concurrency": 4}), json!({"phase": "WaitingForModel"}), 12);
    }

    #[test]
    fn only_jobs_that_wait_for_the_model_or_run_hold_it() {
        let check = |phase: &str, expect: &[&str]| {
            let job = job("j", json!({}), json!({"phase": phase, "rows": rows(9, 0, 0, 0)}));
            assert_eq!(holds("smollm2", [&job]).jobs, expect, "{phase}");
        };
        check("Pending", &[]);
        check("Preparing", &[]);
        check("WaitingForModel", &["j"]);
        check("Running", &["j"]);
        check("Suspended", &[]);
        check("Finalizing", &[]);
        check("Succeeded", &[]);
        check("Failed", &[]);
    }

    #[test]
    fn a_job_holds_each_model_that_a_column_names_and_no_other() {
        let running = json!({"phase": "Running", "rows": rows(9, 0, 0, 0)});
        let (b, a) = (job("b", json!({}), running.clone()), job("a", json!({}), running));
        let both = Holds { jobs: vec!["a".into(), "b".into()], requests: 18 };
        assert_eq!(holds("smollm2", [&b, &a]), both);
        assert_eq!(holds("judge", [&b, &a]), both);
        assert_eq!(holds("gpt2", [&b, &a]), Holds::default());
    }

    #[test]
    fn a_job_that_is_being_deleted_holds_nothing() {
        let mut gone = job("j", json!({}), json!({"phase": "Running"}));
        gone.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-11-24T10:00:00Z")).expect("a time");
        assert_eq!(holds("smollm2", [&gone]), Holds::default());
    }
}
