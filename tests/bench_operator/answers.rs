//! What the fake kubelet lets pods answer: a fixed dataset, by the contract of `textnlp_crds::task`. No I/O.

use textnlp_crds::job_status::{OutputStatus, Rows, Score, Usage, ValidationStatus};
use textnlp_crds::model_status::ModelInfo;
use textnlp_crds::output::OutputFormat;
use textnlp_crds::task::{Fetched, Finalized, Generated, Prepared, Termination, Verdict};
use textnlp_crds::validation::MetricName;

/// Records of a job, and rows of a record.
pub(crate) const RECORDS: i64 = 16;
/// Rows of a record.
pub(crate) const SAMPLES: i64 = 2;
/// File of the model, in its claim.
pub(crate) const MODEL_FILE: &str = "model.gguf";
/// Digest of the model.
const MODEL_DIGEST: &str =
    "sha256:5f2f3d1f3ac86ef9c1e0d6d41ad4cb1b8a1b7a55f0a33c2f1f2a4a3f1f8a9d10";

/// What the pod of a component answers when its work is done; none for one that serves until it is stopped.
pub(crate) fn answer(component: &str, shard: i32) -> Option<Termination> {
    let rows = RECORDS * SAMPLES;
    Some(match component {
        "fetch" => Termination::Fetched(Fetched {
            model: ModelInfo {
                architecture: Some("llama".into()),
                parameters: Some(134_515_008),
                context_tokens: Some(8192),
                dtype: Some("Q4_1".into()),
                digest: Some(MODEL_DIGEST.into()),
                numerics: Some("cpu-1/int8".into()),
                tokenizer_digest: None,
                chat_template: Some(true),
            },
            path: MODEL_FILE.into(),
            bytes: 98_000_000,
        }),
        "prepare" => Termination::Prepared(Prepared {
            records: RECORDS,
            rows,
            finished: 0,
            shards: 1,
            generation_hash: "sha256:9b1f0c".into(),
        }),
        "worker" => Termination::Generated(Generated { shard, rows, failed: 0 }),
        "finalize" => Termination::Finalized(Box::new(Finalized {
            verdict: Verdict::Succeeded,
            message: format!("{rows} of {rows} rows are in the dataset"),
            rows: Rows { requested: rows, accepted: rows, rejected: 0, failed: 0 },
            rejections: Vec::new(),
            usage: Usage {
                prompt_tokens: 40 * rows,
                completion_tokens: 24 * rows,
                requests: rows,
                ..Usage::default()
            },
            validation: ValidationStatus {
                passed: Some(true),
                scores: vec![Score {
                    metric: MetricName::WordCount,
                    ci: None,
                    column: Some("ticket".into()),
                    value: Some(17.25),
                    gate: None,
                    signature: None,
                }],
            },
            output: OutputStatus {
                uri: Some("s3://bench/dataset/".into()),
                formats: vec![OutputFormat::JSONL],
                rows: Some(rows),
                bytes: Some(200 * rows),
                digest: Some("sha256:0d0f60f2".into()),
                report: Some("s3://bench/dataset/report.json".into()),
            },
        })),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_answers_in_its_own_words_and_servers_do_not_end() {
        for step in ["fetch", "prepare", "worker", "finalize"] {
            let text = answer(step, 0).expect("a step ends").write();
            let key = match step {
                "worker" => "generated".to_owned(),
                step => format!("{}ed", step.trim_end_matches('e')),
            };
            assert!(text.starts_with(&format!("{{\"{key}\"")), "{text}");
            assert!(Termination::read(&text).is_some());
        }
        assert!(answer("server", 0).is_none());
    }
}
