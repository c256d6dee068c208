//! How many servers a model has, and how they are replaced. No I/O.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Replicas that follow the demand: the jobs that wait for the model, and requests from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not be greater than maxReplicas").field_path(".minReplicas"),
    validation = Rule::new("!has(self.initialReplicas) || self.initialReplicas <= self.maxReplicas")
        .message("initialReplicas must not be greater than maxReplicas").field_path(".initialReplicas"),
)]
pub struct Scaling {
    /// The fewest servers. 0 lets the model sleep.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub min_replicas: i32,
    /// The most servers.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: i32,
    /// Servers at the start, before any demand is known. Default: minReplicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub initial_replicas: Option<i32>,
    /// What one server shall carry.
    #[serde(default)]
    pub target: ScalingTarget,
    /// Seconds without demand after which the model goes to minReplicas.
    #[serde(default = "default_idle_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub idle_seconds: i32,
    /// Seconds over which the highest demand counts before servers are taken away.
    #[serde(default = "default_stabilization_seconds")]
    #[schemars(range(min = 0, max = 3_600))]
    pub stabilization_seconds: i32,
}

fn default_idle_seconds() -> i32 {
    300
}

fn default_stabilization_seconds() -> i32 {
    120
}

/// What one server shall carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingTarget {
    /// Requests that one server works on at once.
    #[serde(default = "default_concurrent_requests")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrent_requests: i32,
}

impl Default for ScalingTarget {
    fn default() -> Self {
        Self { concurrent_requests: default_concurrent_requests() }
    }
}

fn default_concurrent_requests() -> i32 {
    16
}

/// How servers are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.maxSurge > 0 || self.maxUnavailable > 0")
    .message("maxSurge and maxUnavailable cannot both be 0: no server could ever be replaced"))]
pub struct Rollout {
    /// Servers above the wanted number while some are replaced. 0 needs no spare GPU.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_surge: i32,
    /// Servers below the wanted number while some are replaced.
    #[serde(default = "default_max_unavailable")]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_unavailable: i32,
    /// Seconds in which a server that goes may finish its running requests.
    #[serde(default = "default_drain_seconds")]
    #[schemars(range(min = 0, max = 3_600))]
    pub drain_seconds: i32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: 0,
            max_unavailable: default_max_unavailable(),
            drain_seconds: default_drain_seconds(),
        }
    }
}

fn default_max_unavailable() -> i32 {
    1
}

fn default_drain_seconds() -> i32 {
    60
}
