//! How a cluster runs a job: workers, shards, retries. No I/O.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::pod::Pod;

/// How a cluster runs the job. Nothing here changes the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Worker pods that run at once.
    #[serde(default = "default_parallelism")]
    #[schemars(range(min = 1, max = 10_000))]
    pub parallelism: i32,
    /// The number of parts that the records are divided into. Frozen when the job is prepared.
    /// Default: four times the parallelism, at most the number of records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub shards: Option<i32>,
    /// Rows in flight in one worker. Default: it follows the ready replicas of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: Option<i32>,
    /// How often a shard is tried again before its rows count as failed.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 1_000))]
    pub backoff_limit_per_shard: i32,
    /// The most seconds that the job may be active; suspended time does not count. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub active_deadline_seconds: Option<i64>,
    /// Seconds after the end until the job's pods and child Jobs are removed. The dataset stays.
    /// Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// Whether the job pauses: finished rows are kept, and it goes on when this is false again.
    #[serde(default)]
    pub suspend: bool,
    /// The Kueue LocalQueue that admits the job. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub queue_name: Option<String>,
    /// What the job's pods look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Box<Pod>>,
}

impl Default for Execution {
    fn default() -> Self {
        Self {
            parallelism: default_parallelism(),
            shards: None,
            concurrency: None,
            backoff_limit_per_shard: default_backoff_limit(),
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            queue_name: None,
            pod: None,
        }
    }
}

fn default_parallelism() -> i32 {
    1
}

fn default_backoff_limit() -> i32 {
    3
}
