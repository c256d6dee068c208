//! The status of a `GenerationJob`. All fields but `observedGeneration` are optional. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::{Condition, Failure};
use crate::cost::{self, Cost};
use crate::output::OutputFormat;
use crate::validation::MetricName;

/// What is known about a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerationJobStatus {
    /// The generation of the spec that this status speaks of; −1 before the operator has seen the
    /// job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the job started. From then on, the fields that decide the dataset are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Reconciling, Stalled, Prepared, ModelReady, Suspended, Generated, Validated, Succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where the job stands, for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<JobPhase>,
    /// The number of records, after offset and limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// The rows by outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// The rejected rows by filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["filter"]))]
    pub rejections: Vec<Rejection>,
    /// How far the job is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Tokens and requests of all attempts, and what they cost. While rows are generated it is what
    /// the workers say; at the end it is what the rows record, at the prices of that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The shards by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Shards>,
    /// What the dataset scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationStatus>,
    /// The finished dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputStatus>,
    /// The model that generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<JobModel>,
    /// Digest of everything that decides the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_hash: Option<String>,
    /// Digest of what judges and forms the dataset, as it was when the dataset was written. A change of it in the spec
    /// writes the dataset again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_hash: Option<String>,
    /// Seconds that the attempt was active until it was last suspended or ended; `activeDeadlineSeconds` limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_seconds: Option<i64>,
    /// The number of the attempt, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// The first cause, if the job failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::rules::described_by_its_field)]
pub enum JobPhase {
    /// Nothing has happened yet.
    Pending,
    /// The source is read and checked.
    Preparing,
    /// The model is not ready yet.
    WaitingForModel,
    /// Rows are generated.
    Running,
    /// Paused.
    Suspended,
    /// Rows are merged, scored and written.
    Finalizing,
    /// Done.
    Succeeded,
    /// Ended without success.
    Failed,
}

/// Rows by outcome. When the job has finished, requested = accepted + rejected + failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rows {
    /// Records times samples per record.
    pub requested: i64,
    /// Rows of the dataset.
    pub accepted: i64,
    /// Rows that failed a filter.
    pub rejected: i64,
    /// Rows that could not be generated.
    pub failed: i64,
}

/// The rows that one filter rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// The filter's name.
    pub filter: String,
    /// How many rows it rejected.
    pub rows: i64,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Finished rows of all rows, as "412/1000".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Finished rows of all rows, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// Completion tokens per second, lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// When the job will probably end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,
}

/// Tokens and requests of all attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of prompts.
    pub prompt_tokens: i64,
    /// Tokens of completions.
    pub completion_tokens: i64,
    /// Requests to models.
    pub requests: i64,
    /// The same by model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub models: Vec<ModelUsage>,
    /// What the tokens cost, by currency: the sums of what those models cost that have a price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["currency"]))]
    pub costs: Vec<Cost>,
    /// The costs in one line, as "0.012345 EUR".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_summary: Option<String>,
}

/// What a job used of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelUsage {
    /// Name of the ModelDeployment.
    pub name: String,
    /// Tokens of prompts.
    pub prompt_tokens: i64,
    /// Tokens of completions.
    pub completion_tokens: i64,
    /// Requests to the model.
    pub requests: i64,
    /// What the tokens cost, rounded to a millionth; absent where the model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Usage {
    /// The part of a model. A new one is put where its name belongs.
    pub fn of_model(&mut self, name: &str) -> &mut ModelUsage {
        let found = self.models.iter().position(|model| model.name == name);
        let index = found.unwrap_or_else(|| {
            let index = self.models.partition_point(|model| model.name.as_str() < name);
            let part = ModelUsage { name: name.to_owned(), ..ModelUsage::default() };
            self.models.insert(index, part);
            index
        });
        &mut self.models[index]
    }

    /// Sets what all models cost together, from what each of them costs.
    pub fn add_up_costs(&mut self) {
        self.costs = cost::sums(self.models.iter().filter_map(|model| model.cost.as_ref()));
        self.cost_summary = cost::line(&self.costs);
    }
}

/// Shards by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shards {
    /// All shards.
    pub total: i32,
    /// Finished shards.
    pub succeeded: i32,
    /// Shards that run.
    pub running: i32,
    /// Shards that are lost for good.
    pub failed: i32,
}

/// What the dataset scored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValidationStatus {
    /// Whether the dataset passed every gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// The scores, in the order of the spec: metrics, then gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub scores: Vec<Score>,
}

/// One score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// The metric.
    pub metric: MetricName,
    /// The column that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value; absent where the dataset has none, such as the BLEU of no rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Between which values it lies, where `spec.validation.confidence` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<ConfidenceInterval>,
    /// The gate on this score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateResult>,
    /// What the value means exactly: metric, version, tokenizer, parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfidenceInterval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The part of the resamples' scores within it.
    pub level: f64,
}

/// A gate and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateResult {
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Whether the value passed.
    pub passed: bool,
}

/// The finished dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputStatus {
    /// Where the dataset is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The formats that were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub formats: Vec<OutputFormat>,
    /// The number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// The size of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The dataset's digest: SHA-256 over its rows, whatever the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where the report is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

/// The model that generated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobModel {
    /// Name of the ModelDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The model's digest, pinned when the job was prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The arithmetic that the rows came from, such as `cpu-1/int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<String>,
    /// Whether the same job yields the same rows again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproducible: Option<bool>,
}
