//! The page of a job. No I/O.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use textnlp_crds::GenerationJob;
use textnlp_crds::conditions::{Condition, Failure};
use textnlp_crds::cost;
use textnlp_crds::job_status::{
    GenerationJobStatus, JobModel, OutputStatus, Progress, Rows, Score, Usage,
};
use textnlp_dataset::display;
use textnlp_generation::report::number;

use super::super::standing::{Standing, standing, telling};
use super::super::words::{Fields, bar, bytes, elapsed, moment};
use crate::progress::duration;
use crate::table;

/// Characters of the bar.
const BAR: usize = 32;

/// Everything about a job that a person wants to know.
pub(crate) fn page(job: &GenerationJob, now: Timestamp) -> String {
    let nothing = GenerationJobStatus::default();
    let status = job.status.as_ref().unwrap_or(&nothing);
    let standing = standing(job);
    let mut text = heading(job, standing);
    text.push_str(&progress(status.progress.as_ref(), standing, now));
    text.push_str(&fields(job, status, standing, now).text());
    if let Some(validation) = status.validation.as_ref().filter(|found| !found.scores.is_empty()) {
        text.push('\n');
        text.push_str(&scores(&validation.scores));
    }
    if let Some(failure) = &status.failure {
        text.push_str(&self::failure(failure));
    }
    text.push_str(&conditions(&status.conditions));
    text.push_str(&hint(&job.name_any(), standing));
    text
}

/// Name, phase, and why.
fn heading(job: &GenerationJob, standing: Standing) -> String {
    let phase = match (job.status.as_ref().and_then(|status| status.phase), standing) {
        (Some(phase), _) => format!("{phase:?}"),
        (None, Standing::Unseen) => "not seen by the operator yet".into(),
        (None, other) => format!("{other:?}"),
    };
    let mut text = format!("gj/{}  {phase}", job.name_any());
    if let Some(condition) = telling(job) {
        if condition.reason != phase {
            text.push_str(&format!("  {}", condition.reason));
        }
        if !condition.message.is_empty() {
            text.push_str(&format!(": {}", condition.message));
        }
    }
    format!("{}\n", display::line(&text))
}

/// The bar, with what is done and what is left.
fn progress(progress: Option<&Progress>, standing: Standing, now: Timestamp) -> String {
    let Some(progress) = progress else { return String::new() };
    let percent = progress.percent.unwrap_or(0);
    let mut text = format!("  {}  {percent} %", bar(percent, BAR));
    if let Some(summary) = &progress.summary {
        text.push_str(&format!("  {} rows", display::line(summary)));
    }
    if standing == Standing::Unfinished {
        if let Some(rate) = progress.tokens_per_second {
            text.push_str(&format!("  {rate:.0} tokens/s"));
        }
        if let Some(end) = progress.estimated_completion_time.as_ref().filter(|end| end.0 > now) {
            text.push_str(&format!("  about {} left", duration(elapsed(now, end.0))));
        }
    }
    text.push('\n');
    text
}

fn fields(
    job: &GenerationJob,
    status: &GenerationJobStatus,
    standing: Standing,
    now: Timestamp,
) -> Fields {
    let mut fields = Fields::default();
    fields.add_some("model", model(job, status.model.as_ref()));
    fields.add_some("records", status.records.map(|records| records.to_string()));
    fields.add_some("rows", status.rows.map(|rows| self::rows(rows, standing)));
    let rejections: Vec<String> = status
        .rejections
        .iter()
        .filter(|rejection| rejection.rows > 0)
        .map(|rejection| format!("{} by {}", rejection.rows, rejection.filter))
        .collect();
    fields.add_some("rejected", (!rejections.is_empty()).then(|| rejections.join(", ")));
    fields.add_some(
        "shards",
        status.shards.filter(|shards| shards.total > 0).map(|shards| {
            let lost =
                if shards.failed > 0 { format!(", {} lost", shards.failed) } else { String::new() };
            format!(
                "{} of {} done, {} running{lost}",
                shards.succeeded, shards.total, shards.running
            )
        }),
    );
    fields.add_some(
        "tokens",
        status.usage.as_ref().map(|usage| {
            format!(
                "{} of prompts, {} of completions, {} requests",
                usage.prompt_tokens, usage.completion_tokens, usage.requests
            )
        }),
    );
    fields.add_some("cost", status.usage.as_ref().and_then(cost));
    fields.add_some("output", status.output.as_ref().and_then(output));
    let digest = status.output.as_ref().and_then(|output| output.digest.as_ref());
    fields.add_some("digest", digest);
    fields.add_some("report", status.output.as_ref().and_then(|output| output.report.as_ref()));
    fields.add_some(
        "attempt",
        status.attempt.filter(|attempt| *attempt > 0).map(|attempt| attempt.to_string()),
    );
    fields.add_some("time", time(status, now));
    fields
}

fn model(job: &GenerationJob, model: Option<&JobModel>) -> Option<String> {
    let known = model.and_then(|model| model.name.clone());
    let mut text = known.or_else(|| job.spec.model_ref.as_ref().map(|model| model.name.clone()))?;
    if let Some(model) = model {
        for part in [&model.digest, &model.numerics].into_iter().flatten() {
            text.push_str(&format!("  {part}"));
        }
        match model.reproducible {
            Some(true) => text.push_str("  reproducible"),
            Some(false) => text.push_str("  not reproducible"),
            None => {}
        }
    }
    Some(text)
}

fn rows(rows: Rows, standing: Standing) -> String {
    let Rows { requested, accepted, rejected, failed } = rows;
    let made = accepted.saturating_add(rejected).saturating_add(failed);
    match standing {
        Standing::Succeeded | Standing::Failed if made == requested => {
            format!("{requested} = {accepted} accepted + {rejected} rejected + {failed} failed")
        }
        _ => format!(
            "{requested}: {accepted} accepted, {rejected} rejected, {failed} failed, {} to come",
            requested.saturating_sub(made).max(0)
        ),
    }
}

/// What the tokens cost, by model too where the job calls several.
fn cost(usage: &Usage) -> Option<String> {
    let all = cost::line(&usage.costs)?;
    let parts: Vec<String> = usage
        .models
        .iter()
        .map(|part| match &part.cost {
            Some(cost) => format!("{} {cost}", part.name),
            None => format!("{} has no price", part.name),
        })
        .collect();
    Some(if parts.len() > 1 { format!("{all}: {}", parts.join(", ")) } else { all })
}

fn output(output: &OutputStatus) -> Option<String> {
    let mut text = output.uri.clone()?;
    let formats: Vec<String> = output.formats.iter().map(|format| format!("{format:?}")).collect();
    if !formats.is_empty() {
        text.push_str(&format!("  {}", formats.join(", ")));
    }
    if let Some(rows) = output.rows {
        text.push_str(&format!("  {rows} rows"));
    }
    if let Some(size) = output.bytes {
        text.push_str(&format!("  {}", bytes(size)));
    }
    Some(text)
}

fn time(status: &GenerationJobStatus, now: Timestamp) -> Option<String> {
    let start = status.start_time.as_ref()?.0;
    Some(match &status.completion_time {
        Some(end) => {
            format!("{} to {} ({})", moment(start), moment(end.0), duration(elapsed(start, end.0)))
        }
        None => format!("since {} ({})", moment(start), duration(elapsed(start, now))),
    })
}

fn scores(scores: &[Score]) -> String {
    let rows: Vec<Vec<String>> = scores
        .iter()
        .map(|score| {
            let bound =
                |words: &str, bound: Option<f64>| bound.map(|b| format!("{words} {}", number(b)));
            let (gate, verdict) = match &score.gate {
                None => (String::new(), ""),
                Some(gate) => {
                    let bounds = [bound("at least", gate.min), bound("at most", gate.max)];
                    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
                    (bounds.join(", "), if gate.passed { "passed" } else { "FAILED" })
                }
            };
            vec![
                score.metric.as_str().to_owned(),
                score.column.clone().unwrap_or_default(),
                score.value.map(number).unwrap_or_else(|| "none".into()),
                gate,
                verdict.into(),
            ]
        })
        .collect();
    indented(&table::render(&["metric", "column", "value", "gate", ""], &[2], &rows))
}

/// The first cause.
pub(super) fn failure(failure: &Failure) -> String {
    let mut text = failure.reason.clone().unwrap_or_else(|| "Unknown".into());
    if let Some(message) = &failure.message {
        text.push_str(&format!(": {message}"));
    }
    let mut place = Vec::new();
    place.extend(failure.pod.as_ref().map(|pod| format!("pod {pod}")));
    place.extend(failure.exit_code.map(|code| format!("exit code {code}")));
    place.extend(failure.time.as_ref().map(|time| moment(time.0)));
    if !place.is_empty() {
        text.push_str(&format!(" ({})", place.join(", ")));
    }
    format!("\n  first cause: {}\n", display::line(&text))
}

/// The conditions that say something: not those that are merely false because their time has not come.
pub(super) fn conditions(conditions: &[Condition]) -> String {
    let says_something = |condition: &&Condition| {
        let not_yet = condition.status != "True"
            && matches!(condition.reason.as_str(), "NotYet" | "NotSuspended" | "");
        let absent = condition.status == "False"
            && matches!(condition.type_.as_str(), "Reconciling" | "Stalled" | "Suspended");
        !not_yet && !absent
    };
    let rows: Vec<Vec<String>> = conditions
        .iter()
        .filter(says_something)
        .map(|c| vec![c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()])
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "\n{}",
        indented(&table::render(&["condition", "status", "reason", "message"], &[], &rows))
    )
}

/// What to type next.
fn hint(name: &str, standing: Standing) -> String {
    let next = match standing {
        Standing::Succeeded => format!("kubectl textnlp get {name} -o {name}"),
        Standing::Failed => {
            format!("kubectl textnlp why {name}; once it is mended: kubectl textnlp retry {name}")
        }
        Standing::Suspended => format!("kubectl textnlp resume {name}"),
        Standing::Unseen | Standing::Unfinished => format!("kubectl textnlp why {name}"),
    };
    format!("\n  next: {next}\n")
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubectl::testing::{condition, job};

    fn check(spec: Value, status: Value, expect: &[&str]) {
        let now = "2026-01-01T00:10:00Z".parse().expect("a time");
        let page = page(&job(spec, status), now);
        assert_eq!(page.lines().collect::<Vec<_>>(), expect, "{page}");
    }

    #[test]
    fn a_fresh_job_says_that_nobody_has_looked_at_it() {
        check(
            json!({}),
            json!({"observedGeneration": -1}),
            &[
                "gj/tickets  not seen by the operator yet",
                "  model  smollm2",
                "",
                "  next: kubectl textnlp why tickets",
            ],
        );
    }

    #[test]
    fn a_running_job_shows_how_far_it_is() {
        let status = json!({
            "observedGeneration": 1, "phase": "Running", "startTime": "2026-01-01T00:00:00Z", "records": 500,
            "conditions": [
                condition("Reconciling", "True", "Generating", "rows are generated"),
                condition("Stalled", "False", "Generating", ""),
                condition("Succeeded", "Unknown", "NotYet", ""),
            ],
            "rows": {"requested": 1000, "accepted": 400, "rejected": 10, "failed": 2},
            "progress": {"summary": "412/1000", "percent": 41, "tokensPerSecond": 123.4,
                "estimatedCompletionTime": "2026-01-01T00:15:00Z"},
            "shards": {"total": 4, "succeeded": 1, "running": 2, "failed": 0},
            "usage": {"promptTokens": 5, "completionTokens": 6, "requests": 7,
                "models": [{"name": "smollm2", "promptTokens": 5, "completionTokens": 6, "requests": 7,
                    "cost": {"currency": "EUR", "amount": "1.500000"}}],
                "costs": [{"currency": "EUR", "amount": "1.500000"}], "costSummary": "1.500000 EUR"},
            "model": {"name": "smollm2", "digest": "abc", "numerics": "cpu-1/int8", "reproducible": true},
        });
        check(
            json!({}),
            status,
            &[
                "gj/tickets  Running  Generating: rows are generated",
                "  █████████████░░░░░░░░░░░░░░░░░░░  41 %  412/1000 rows  123 tokens/s  about 5 min 0 s left",
                "  model    smollm2  abc  cpu-1/int8  reproducible",
                "  records  500",
                "  rows     1000: 400 accepted, 10 rejected, 2 failed, 588 to come",
                "  shards   1 of 4 done, 2 running",
                "  tokens   5 of prompts, 6 of completions, 7 requests",
                "  cost     1.500000 EUR",
                "  time     since 2026-01-01 00:00:00 UTC (10 min 0 s)",
                "",
                "  condition    status  reason      message",
                "  Reconciling  True    Generating  rows are generated",
                "",
                "  next: kubectl textnlp why tickets",
            ],
        );
    }

    #[test]
    fn a_failed_gate_shows_its_score_its_bound_and_the_digest() {
        let status = json!({
            "observedGeneration": 1, "phase": "Failed", "attempt": 1,
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:02:00Z",
            "conditions": [condition("Stalled", "True", "GateFailed", "duplicateRate is 0.4, at most 0.1 passes"),
                condition("Succeeded", "False", "GateFailed", "duplicateRate is 0.4, at most 0.1 passes")],
            "rows": {"requested": 10, "accepted": 8, "rejected": 2, "failed": 0},
            "rejections": [{"filter": "long-enough", "rows": 2}, {"filter": "polite", "rows": 0}],
            "usage": {"promptTokens": 5, "completionTokens": 6, "requests": 10,
                "models": [
                    {"name": "free", "promptTokens": 0, "completionTokens": 1, "requests": 5},
                    {"name": "smollm2", "promptTokens": 5, "completionTokens": 5, "requests": 5,
                        "cost": {"currency": "EUR", "amount": "0.012345"}},
                ],
                "costs": [{"currency": "EUR", "amount": "0.012345"}], "costSummary": "0.012345 EUR"},
            "validation": {"passed": false, "scores": [
                {"metric": "wordCount", "column": "text", "value": 12.5},
                {"metric": "duplicateRate", "column": "text", "value": 0.4, "gate": {"max": 0.1, "passed": false}},
            ]},
            "output": {"uri": "pvc://claim/dataset", "formats": ["JSONL", "CSV"], "rows": 8, "bytes": 2048,
                "digest": "d1", "report": "pvc://claim/dataset/report.md"},
            "failure": {"reason": "GateFailed", "message": "bad\u{1b}[2J", "pod": "p", "exitCode": 0},
        });
        check(
            json!({}),
            status,
            &[
                "gj/tickets  Failed  GateFailed: duplicateRate is 0.4, at most 0.1 passes",
                "  model     smollm2",
                "  rows      10 = 8 accepted + 2 rejected + 0 failed",
                "  rejected  2 by long-enough",
                "  tokens    5 of prompts, 6 of completions, 10 requests",
                "  cost      0.012345 EUR: free has no price, smollm2 0.012345 EUR",
                "  output    pvc://claim/dataset  JSONL, CSV  8 rows  2.0 KiB",
                "  digest    d1",
                "  report    pvc://claim/dataset/report.md",
                "  attempt   1",
                "  time      2026-01-01 00:00:00 UTC to 2026-01-01 00:02:00 UTC (2 min 0 s)",
                "",
                "  metric         column   value  gate",
                "  wordCount      text    12.500",
                "  duplicateRate  text    0.4000  at most 0.1000  FAILED",
                "",
                "  first cause: GateFailed: bad\\u{1b}[2J (pod p, exit code 0)",
                "",
                "  condition  status  reason      message",
                "  Stalled    True    GateFailed  duplicateRate is 0.4, at most 0.1 passes",
                "  Succeeded  False   GateFailed  duplicateRate is 0.4, at most 0.1 passes",
                "",
                "  next: kubectl textnlp why tickets; once it is mended: kubectl textnlp retry tickets",
            ],
        );
    }
}
