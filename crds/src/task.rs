//! The contract between the operator and the pods that it starts: where things are mounted, what the pods are called, and
//! what each of them answers. `docs/pods.md` tells it as a whole. No I/O.
//!
//! A pod answers with one JSON document in its termination message (at most 4 KiB, so that the kubelet never cuts it).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::GenerationJobSpec;
use crate::job_status::{OutputStatus, Rejection, Rows, Usage, ValidationStatus};
use crate::model::ExternalLimits;
use crate::model_status::ModelInfo;

/// Where the JSON of a [`JobTask`] is, in prepare, worker and finalize pods: a key of a ConfigMap.
pub const TASK_FILE: &str = "/etc/textnlp/task/job.json";
/// The claim of `spec.output.destination`; an object store has no mount.
pub const OUTPUT_MOUNT: &str = "/var/lib/textnlp/output";
/// The folder of the dataset in a claim that the operator made (the root of a volume may hold `lost+found`).
pub const OWNED_CLAIM_FOLDER: &str = "dataset";
/// The claim of `spec.source.persistentVolumeClaim`, read-only, in the prepare pod.
pub const SOURCE_MOUNT: &str = "/var/lib/textnlp/source";
/// The key of `spec.source.configMap`, as a file of the key's name, in the prepare pod.
pub const SOURCE_CONFIG_MOUNT: &str = "/etc/textnlp/source";
/// The Secret of `spec.source.objectStore`: a file for each key.
pub const SOURCE_SECRET_MOUNT: &str = "/etc/textnlp/secrets/source";
/// The Secret of `spec.output.destination.objectStore`.
pub const OUTPUT_SECRET_MOUNT: &str = "/etc/textnlp/secrets/output";
/// The Secret of a model's source (fetch pods).
pub const MODEL_SECRET_MOUNT: &str = "/etc/textnlp/secrets/model";
/// The parent of the Secrets of external models, one folder by the model's name (worker pods).
pub const EXTERNAL_SECRETS_MOUNT: &str = "/etc/textnlp/secrets/models";
/// The Secret with the API keys of a server, which may be missing: one file (server pods).
pub const KEYS_MOUNT: &str = "/etc/textnlp/secrets/keys";
/// Where Kubernetes puts the token of a pod's ServiceAccount, the cluster's CA and the namespace (server pods that ask the API
/// server about their callers).
pub const ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The token by which our own servers know a worker, and the operator: the kubelet renews it. No file: they ask for none.
pub const SERVER_TOKEN_FILE: &str = "/var/run/secrets/textnlp.dev/token";
/// The claim with models: the cache (written by fetch pods, read-only in servers), or the user's own claim (read-only).
pub const MODELS_MOUNT: &str = "/var/lib/textnlp/models";
/// Where a pod writes its [`Termination`].
pub const TERMINATION_FILE: &str = "/dev/termination-log";
/// Bytes of a termination message at most.
pub const TERMINATION_LIMIT: usize = 4096;

/// Environment variable of fetch pods: the JSON of `spec.source` of the ModelDeployment.
pub const MODEL_SOURCE_VARIABLE: &str = "TEXTNLP_MODEL_SOURCE";

/// Port of a server: the API, `/healthz`, `/readyz` and `/metrics`.
pub const SERVER_PORT: u16 = 8000;
/// Port of a worker's `/metrics`.
pub const WORKER_METRICS_PORT: u16 = 9400;

/// Header of a request: the model digest that the sender wants (`412` from a server with another), and of a response: the
/// digest that the server has.
pub const MODEL_DIGEST_HEADER: &str = "x-textnlp-model-digest";

/// Labels of everything that the operator makes.
pub mod labels {
    /// Always `textnlp`.
    pub const NAME: &str = "app.kubernetes.io/name";
    /// Always `textnlp-operator`.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// `server`, `fetch`, `prepare`, `worker` or `finalize`.
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// UID of the ModelDeployment.
    pub const MODEL_UID: &str = "textnlp.dev/model-uid";
    /// UID of the GenerationJob.
    pub const JOB_UID: &str = "textnlp.dev/job-uid";
    /// Annotation: the owner's full name.
    pub const OWNER_NAME: &str = "textnlp.dev/owner-name";
}

/// Everything that a job's pods know of their job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTask {
    /// Name of the GenerationJob.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID: what the target is claimed for.
    pub uid: String,
    /// Its spec, as it was when this step was begun.
    pub spec: GenerationJobSpec,
    /// The models that its columns call, by the name of their ModelDeployment.
    pub models: BTreeMap<String, ModelEndpoint>,
    /// Number of the attempt, from 0: each attempt splits what is missing at its beginning into shards of its own.
    #[serde(default)]
    pub attempt: i32,
    /// Name of the claim at [`OUTPUT_MOUNT`], the user's own or the operator's: the dataset's URI has it. None for an
    /// object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// A model, and where it answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelEndpoint {
    /// Base address: `http://name.namespace.svc:8000`, or the external server's.
    pub url: String,
    /// `host:port` of the headless Service, whose addresses are the ready pods. None for an external server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    /// Model digest that the job pins; `external` for an external server.
    pub digest: String,
    /// Name of the arithmetic.
    pub numerics: String,
    /// Whether the same request gives the same bytes.
    pub reproducible: bool,
    /// Whether the model has a chat template.
    pub chat: bool,
    /// Most tokens of prompt and completion together, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<i64>,
    /// SHA-256 of the tokenizer, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_digest: Option<String>,
    /// What must be known of a server that is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEndpoint>,
}

/// A server that is not ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEndpoint {
    /// The model's name at that server.
    pub model: String,
    /// What it allows, over all workers of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ExternalLimits>,
    /// Whether there is a file `apiKey` below [`EXTERNAL_SECRETS_MOUNT`].
    #[serde(default)]
    pub has_key: bool,
}

/// What a pod answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Termination {
    /// A fetch pod: the model is in the cache (or in the user's claim) and can be served.
    Fetched(Fetched),
    /// A prepare pod.
    Prepared(Prepared),
    /// A worker pod: its shard is complete.
    Generated(Generated),
    /// A finalize pod: the dataset and its report are written, whatever the verdict.
    Finalized(Box<Finalized>),
    /// Any of them could not do its work.
    Failed(TaskFailure),
}

/// A model that was fetched and looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetched {
    /// What the model is.
    pub model: ModelInfo,
    /// Path below [`MODELS_MOUNT`] of the file or directory to serve.
    pub path: String,
    /// Bytes of its files.
    pub bytes: i64,
}

/// What the prepare step found and fixed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// Records after offset and limit.
    pub records: i64,
    /// Rows of the job.
    pub rows: i64,
    /// Rows that are there already, from an earlier attempt or a smaller limit.
    pub finished: i64,
    /// Number of shards that the missing rows are split into: completions of the Indexed Job; 0 if no row is missing.
    pub shards: i32,
    /// Digest of everything that decides the rows.
    pub generation_hash: String,
}

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generated {
    /// The shard.
    pub shard: i32,
    /// Rows that this pod made.
    pub rows: i64,
    /// Those of them that failed.
    pub failed: i64,
}

/// How the dataset came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finalized {
    /// How the job ended.
    pub verdict: Verdict,
    /// A sentence for people: which gate failed, or how many rows there are.
    pub message: String,
    /// Rows by outcome; they balance.
    pub rows: Rows,
    /// Rejected rows by filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// Tokens and requests of all kept rows, by model too where that fits into the message. A pod knows no prices.
    pub usage: Usage,
    /// Scores; those that do not fit into the message are left to the report.
    pub validation: ValidationStatus,
    /// The dataset.
    pub output: OutputStatus,
}

/// How a finalized dataset came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The gates passed, or only warn.
    #[default]
    Succeeded,
    /// A gate refuses the dataset.
    GateFailed,
    /// No row was accepted.
    NoRows,
    /// Rows of lost shards are missing; they count as failed(shard).
    ShardsLost,
}

/// Why a pod could not do its work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFailure {
    /// One word, as a condition's reason.
    pub reason: String,
    /// Where, what was found, what is allowed, what to do.
    pub message: String,
}

impl Termination {
    /// Reads a pod's message; none if it is not one of ours (the pod was killed before it could write).
    pub fn read(message: &str) -> Option<Self> {
        serde_json::from_str(message).ok()
    }

    /// The message as it is written: what does not fit into [`TERMINATION_LIMIT`] is left out, least important first.
    pub fn write(&self) -> String {
        let mut answer = self.clone();
        loop {
            let text = serde_json::to_string(&answer).unwrap_or_default();
            if text.len() <= TERMINATION_LIMIT || !answer.shorten() {
                return text;
            }
        }
    }

    /// Leaves out the least important part; false when nothing is left to leave out.
    fn shorten(&mut self) -> bool {
        match self {
            Self::Finalized(done) => {
                let signed =
                    done.validation.scores.iter_mut().rev().find(|s| s.signature.is_some());
                if let Some(score) = signed {
                    score.signature = None;
                    return true;
                }
                let ungated = done.validation.scores.iter().rposition(|s| s.gate.is_none());
                if let Some(index) = ungated {
                    done.validation.scores.remove(index);
                    return true;
                }
                done.rejections.pop().is_some()
                    // All of them or none: the operator can tell what is missing then.
                    || !std::mem::take(&mut done.usage.models).is_empty()
                    || done.validation.scores.pop().is_some()
                    || halve(&mut done.message)
            }
            Self::Failed(failure) => halve(&mut failure.message),
            Self::Fetched(_) | Self::Prepared(_) | Self::Generated(_) => false,
        }
    }
}

/// Cuts a text in half, at a character; false when it is short already.
fn halve(text: &mut String) -> bool {
    if text.len() < 64 {
        return false;
    }
    let mut middle = text.len() / 2;
    while !text.is_char_boundary(middle) {
        middle -= 1;
    }
    text.truncate(middle);
    text.push('…');
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_status::{ModelUsage, Score};
    use crate::validation::MetricName;

    fn used_of(model: &str) -> ModelUsage {
        ModelUsage {
            name: model.into(),
            prompt_tokens: 1_234_567_890,
            completion_tokens: 1_234_567_890,
            requests: 1_000_000,
            cost: None,
        }
    }

    #[test]
    fn a_message_is_read_back_as_it_was_written() {
        let answer = Termination::Prepared(Prepared {
            records: 64,
            rows: 128,
            finished: 0,
            shards: 4,
            generation_hash: "sha256:00".into(),
        });
        assert_eq!(Termination::read(&answer.write()), Some(answer));
        assert_eq!(Termination::read("Killed"), None);
    }

    #[test]
    fn a_message_that_is_too_long_loses_its_least_important_parts() {
        let score = |gate| Score {
            metric: MetricName::WordCount,
            ci: None,
            column: Some("ticket".into()),
            value: Some(1.5),
            gate,
            signature: Some("s".repeat(200)),
        };
        let mut done = Finalized::default();
        done.validation.scores = vec![score(None); 40];
        done.validation.scores.push(score(Some(Default::default())));
        let text = Termination::Finalized(Box::new(done)).write();
        assert!(text.len() <= TERMINATION_LIMIT);
        let Some(Termination::Finalized(read)) = Termination::read(&text) else { panic!("{text}") };
        assert!(read.validation.scores.iter().any(|score| score.gate.is_some()));

        let mut done = Finalized::default();
        let usage = |index: usize| used_of(&format!("{index:0>63}"));
        done.usage.models = (0..16).map(usage).collect();
        done.rejections = vec![Rejection { filter: "f".repeat(63), rows: 1 }; 32];
        let read = |done: &Finalized| {
            let text = Termination::Finalized(Box::new(done.clone())).write();
            assert!(text.len() <= TERMINATION_LIMIT);
            match Termination::read(&text) {
                Some(Termination::Finalized(read)) => *read,
                _ => panic!("{text}"),
            }
        };
        let found = read(&done);
        assert_eq!(found.usage.models.len(), 16, "models go after rejections");
        assert!(found.rejections.len() < 32);
        done.usage.models = (0..32).map(usage).collect();
        done.validation.scores.push(score(Some(Default::default())));
        let found = read(&done);
        assert!(found.usage.models.is_empty(), "never a part of them");
        assert_eq!(found.validation.scores.len(), 1);

        let message = "ä".repeat(5000);
        let text = Termination::Failed(TaskFailure { reason: "X".into(), message }).write();
        assert!(text.len() <= TERMINATION_LIMIT && Termination::read(&text).is_some());
    }
}
