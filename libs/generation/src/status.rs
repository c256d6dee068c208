//! What a finished job tells its operator: the report in the words of a GenerationJob's status. Pure.

use serde_json::json;
use textnlp_crds::job_status::{
    GateResult, ModelUsage, OutputStatus, Rejection, Rows, Score, Usage, ValidationStatus,
};
use textnlp_crds::task::{Finalized, Prepared, Verdict};

use crate::local::{self, Finished};
use crate::report::{Report, UsageReport, number};
use crate::steps::Split;

/// What the prepare step answers.
pub fn prepared(split: &Split) -> Prepared {
    Prepared {
        records: whole(split.prepared.snapshot.records),
        rows: whole(split.prepared.rows()),
        finished: whole(split.finished),
        shards: i32::try_from(split.plan.shards.len()).unwrap_or(i32::MAX),
        generation_hash: split.prepared.generation_hash.clone(),
    }
}

/// What the finalize step answers, of a dataset at `place`.
pub fn finalized(finished: &Finished, formats: &[textnlp_crds::output::OutputFormat]) -> Finalized {
    let report = &finished.report;
    let place = report.output.directory.clone();
    Finalized {
        verdict: match finished.verdict {
            local::Verdict::Succeeded => Verdict::Succeeded,
            local::Verdict::GateFailed => Verdict::GateFailed,
            local::Verdict::NoRows => Verdict::NoRows,
            local::Verdict::ShardsLost => Verdict::ShardsLost,
        },
        message: message(finished),
        rows: Rows {
            requested: whole(report.rows.requested),
            accepted: whole(report.rows.accepted),
            rejected: whole(report.rows.rejected),
            failed: whole(report.rows.failed),
        },
        rejections: report
            .rejections
            .iter()
            .map(|r| Rejection { filter: r.filter.clone(), rows: whole(r.rows) })
            .collect(),
        usage: usage(&report.usage),
        validation: ValidationStatus {
            passed: Some(report.passed),
            scores: report.scores.iter().filter_map(score).collect(),
        },
        output: OutputStatus {
            report: Some(format!("{}/report.json", place.trim_end_matches('/'))),
            uri: Some(place),
            formats: formats.to_vec(),
            rows: Some(whole(report.output.rows)),
            bytes: Some(whole(report.output.bytes)),
            digest: Some(report.digest.clone()),
        },
    }
}

/// Without costs: prices are the operator's to know.
fn usage(report: &UsageReport) -> Usage {
    let UsageReport { total, models, costs: _ } = report;
    Usage {
        prompt_tokens: whole(total.prompt_tokens),
        completion_tokens: whole(total.completion_tokens),
        requests: whole(total.requests),
        models: models.iter().map(|model| ModelUsage { cost: None, ..model.clone() }).collect(),
        ..Usage::default()
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn score(score: &crate::report::Score) -> Option<Score> {
    Some(Score {
        metric: serde_json::from_value(json!(score.metric)).ok()?,
        column: score.column.clone(),
        value: score.value,
        ci: score.ci,
        gate: score.gate.as_ref().map(|gate| GateResult {
            min: gate.min,
            max: gate.max,
            passed: gate.passed,
        }),
        signature: Some(score.signature.clone()),
    })
}

/// A sentence for people.
fn message(finished: &Finished) -> String {
    let report = &finished.report;
    let rows = report.rows;
    let mut text = match finished.verdict {
        local::Verdict::Succeeded => {
            format!("{} of {} rows accepted", rows.accepted, rows.requested)
        }
        local::Verdict::GateFailed => format!("the dataset does not pass: {}", gates(report)),
        local::Verdict::NoRows => format!("none of {} rows was accepted", rows.requested),
        local::Verdict::ShardsLost => {
            let lost = report.failures.iter().find(|f| f.stage == crate::finalize::LOST_STAGE);
            format!(
                "{} of {} rows are missing, since their shards failed too often; a retry generates them",
                lost.map_or(0, |failures| failures.rows),
                rows.requested
            )
        }
    };
    if finished.verdict == local::Verdict::NoRows {
        if let Some(failures) = report.failures.first() {
            text.push_str(&format!(
                "; {} failed at {}, first {}",
                failures.rows, failures.stage, failures.first
            ));
        }
        for rejection in report.rejections.iter().filter(|r| r.rows > 0) {
            text.push_str(&format!("; {} rejected by {}", rejection.rows, rejection.filter));
        }
    }
    text
}

/// The gates that failed: `duplicateRate of ticket is 0.2 (≤ 0.1)`.
fn gates(report: &Report) -> String {
    let failed = report.scores.iter().filter(|s| s.gate.as_ref().is_some_and(|g| !g.passed));
    let told: Vec<String> = failed
        .map(|score| {
            let column = score.column.as_ref().map(|c| format!(" of {c}")).unwrap_or_default();
            let value = score.value.map_or_else(|| "nothing".to_owned(), number);
            format!("{}{column} is {value} (allowed: {})", score.metric, score.gate_cells().0)
        })
        .collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use textnlp_crds::output::OutputFormat;

    use super::*;

    fn finished(verdict: local::Verdict) -> Finished {
        let report = json!({
            "records": 5,
            "rows": {"requested": 10, "accepted": 7, "rejected": 1, "failed": 2},
            "rejections": [{"filter": "long", "rows": 1}],
            "failures": [{"stage": "shard", "rows": 2, "first": "row 3-0: lost"}],
            "scores": [
                {"metric": "wordCount", "column": "ticket", "value": 12.5, "signature": "wordCount|v:1"},
                {"metric": "duplicateRate", "column": "ticket", "value": 0.2, "signature": "duplicateRate|v:1",
                 "gate": {"max": 0.1, "passed": false}}
            ],
            "distributions": [],
            "samples": [],
            "passed": false,
            "digest": "sha256:aa",
            "output": {"directory": "pvc://claim/data", "formats": ["JSONL"], "rows": 7, "bytes": 900},
            "usage": {"promptTokens": 100, "completionTokens": 200, "requests": 10, "models": [
                {"name": "smollm2", "promptTokens": 100, "completionTokens": 200, "requests": 10,
                 "cost": {"currency": "EUR", "amount": "1.000000"}},
            ], "costs": [{"currency": "EUR", "amount": "1.000000"}]},
            "seconds": 1.5,
        });
        let report = serde_json::from_value(report).expect("a report");
        Finished { report, verdict, was_finished: false }
    }

    #[test]
    fn a_report_is_told_in_the_words_of_a_status() {
        let told = finalized(&finished(local::Verdict::GateFailed), &[OutputFormat::JSONL]);
        assert_eq!(
            serde_json::to_value(&told).unwrap(),
            json!({
                "verdict": "GateFailed",
                "message": "the dataset does not pass: duplicateRate of ticket is 0.2000 (allowed: ≤ 0.1000)",
                "rows": {"requested": 10, "accepted": 7, "rejected": 1, "failed": 2},
                "rejections": [{"filter": "long", "rows": 1}],
                "usage": {"promptTokens": 100, "completionTokens": 200, "requests": 10, "models": [
                    {"name": "smollm2", "promptTokens": 100, "completionTokens": 200, "requests": 10},
                ]},
                "validation": {"passed": false, "scores": [
                    {"metric": "wordCount", "column": "ticket", "value": 12.5, "signature": "wordCount|v:1"},
                    {"metric": "duplicateRate", "column": "ticket", "value": 0.2,
                     "gate": {"max": 0.1, "passed": false}, "signature": "duplicateRate|v:1"},
                ]},
                "output": {
                    "uri": "pvc://claim/data", "formats": ["JSONL"], "rows": 7, "bytes": 900, "digest": "sha256:aa",
                    "report": "pvc://claim/data/report.json",
                },
            })
        );
    }

    #[test]
    fn each_verdict_has_its_sentence() {
        let check = |verdict, expect: &str| {
            assert_eq!(finalized(&finished(verdict), &[]).message, expect);
        };
        check(local::Verdict::Succeeded, "7 of 10 rows accepted");
        check(
            local::Verdict::NoRows,
            "none of 10 rows was accepted; 2 failed at shard, first row 3-0: lost; 1 rejected by long",
        );
        check(
            local::Verdict::ShardsLost,
            "2 of 10 rows are missing, since their shards failed too often; a retry generates them",
        );
    }
}
