//! The conditions of both kinds, and the first failure. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Types of conditions. `Reconciling` and `Stalled` are those that kstatus reads.
pub mod types {
    /// Work is under way, or waits for something that can still be mended.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing more will happen until the spec, or the object it names, changes.
    pub const STALLED: &str = "Stalled";
    /// GenerationJob: the source is read and checked, and the shards are fixed.
    pub const PREPARED: &str = "Prepared";
    /// GenerationJob: the model answers.
    pub const MODEL_READY: &str = "ModelReady";
    /// GenerationJob: paused by `spec.execution.suspend`.
    pub const SUSPENDED: &str = "Suspended";
    /// GenerationJob: every row is generated or failed.
    pub const GENERATED: &str = "Generated";
    /// GenerationJob: the dataset passed its gates.
    pub const VALIDATED: &str = "Validated";
    /// GenerationJob: finished; Unknown until then.
    pub const SUCCEEDED: &str = "Succeeded";
    /// ModelDeployment: it serves, or is at zero by policy.
    pub const READY: &str = "Ready";
    /// ModelDeployment: the weights are in the cache.
    pub const MODEL_CACHED: &str = "ModelCached";
    /// ModelDeployment: a server has loaded the weights.
    pub const MODEL_LOADED: &str = "ModelLoaded";
    /// ModelDeployment: the replicas follow the demand.
    pub const SCALED: &str = "Scaled";
}

/// The first cause of a failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// A word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The pod in which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The exit code of the pod's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}
