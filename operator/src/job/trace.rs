//! The root span of a job's trace, which its pods' spans are inside of: written once the job has ended.

use jiff::Timestamp;
use textnlp_crds::conditions::types;
use textnlp_crds::{GenerationJob, GenerationJobStatus};
use textnlp_telemetry::trace::{JobTrace, Value};

use crate::conditions;

/// Writes the span if the job has ended between two statuses. Another attempt that ends writes it again, longer.
pub(super) fn between(
    job: &GenerationJob,
    before: &GenerationJobStatus,
    after: &GenerationJobStatus,
) {
    let (Some(end), Some(uid)) = (end(before, after), &job.metadata.uid) else { return };
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let rows = after.rows.unwrap_or_default();
    let usage = after.usage.clone().unwrap_or_default();
    let attributes: [(&'static str, Value); 9] = [
        ("textnlp.job.name", name.to_owned().into()),
        ("textnlp.job.uid", uid.clone().into()),
        ("k8s.namespace.name", namespace.to_owned().into()),
        ("textnlp.rows.requested", rows.requested.into()),
        ("textnlp.rows.accepted", rows.accepted.into()),
        ("textnlp.rows.rejected", rows.rejected.into()),
        ("textnlp.rows.failed", rows.failed.into()),
        ("gen_ai.usage.input_tokens", usage.prompt_tokens.into()),
        ("gen_ai.usage.output_tokens", usage.completion_tokens.into()),
    ];
    JobTrace::new(uid).finish(
        // Without a name in it: collectors make a series of each name of a span.
        "GenerationJob",
        end.start.into(),
        end.end.into(),
        attributes,
        end.failure,
    );
}

/// How a job has ended.
#[derive(Debug, PartialEq)]
struct End {
    start: Timestamp,
    end: Timestamp,
    /// Why it failed.
    failure: Option<String>,
}

fn end(before: &GenerationJobStatus, after: &GenerationJobStatus) -> Option<End> {
    let now = conditions::find(&after.conditions, types::SUCCEEDED)?;
    let then = conditions::find(&before.conditions, types::SUCCEEDED);
    if now.status == "Unknown" || then.is_some_and(|then| then.status == now.status) {
        return None;
    }
    let end = after.completion_time.as_ref()?.0;
    // A job that failed before it began took no time.
    let start = after.start_time.as_ref().map_or(end, |start| start.0);
    let failure = (now.status == "False").then(|| now.reason.clone());
    Some(End { start, end, failure })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::{begun, conditions, job, with_status};
    use serde_json::json;

    fn status(of: &[&str], times: serde_json::Value) -> GenerationJobStatus {
        let mut all = json!({"conditions": conditions(of)});
        crate::fixture::merge(&mut all, times);
        with_status(job(json!({})), begun(all)).status.expect("a status")
    }

    #[test]
    fn the_span_is_written_when_a_job_ends_and_only_then() {
        let times =
            json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:10:00Z"});
        let runs = status(&["Succeeded=Unknown/NotYet"], json!({}));
        let succeeded = status(&["Succeeded=True/Succeeded"], times.clone());
        let failed = status(&["Succeeded=False/GateFailed"], times);
        assert_eq!(end(&runs, &runs), None);
        assert_eq!(end(&succeeded, &succeeded), None);
        let found = end(&runs, &succeeded).expect("it has ended");
        assert_eq!((found.end.as_second() - found.start.as_second(), found.failure), (600, None));
        let found = end(&runs, &failed).expect("it has ended");
        assert_eq!(found.failure.as_deref(), Some("GateFailed"));
        assert!(end(&failed, &succeeded).is_some(), "another attempt has succeeded");
    }
}
