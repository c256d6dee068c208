//! The reasons of a job's conditions that the operator itself gives; `docs/reasons.md` tells what each means and what to do. Others are
//! passed on from pods, scheduler and kubelet. No I/O.

/// In progress: nothing has begun.
pub const PENDING: &str = "Pending";
/// In progress: the source is read and checked.
pub const PREPARING: &str = "Preparing";
/// In progress: the model does not answer yet.
pub const MODEL_NOT_READY: &str = "ModelNotReady";
/// In progress: rows are generated.
pub const GENERATING: &str = "Generating";
/// In progress: the dataset is written.
pub const FINALIZING: &str = "Finalizing";

/// Waits: there is no such ModelDeployment.
pub const MODEL_NOT_FOUND: &str = "ModelNotFound";
/// Waits: the model's files are not in the cache yet.
pub const MODEL_NOT_CACHED: &str = "ModelNotCached";
/// Waits: the model is stalled.
pub const MODEL_FAILED: &str = "ModelFailed";
/// Waits: there is no such ConfigMap.
pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
/// Waits: the ConfigMap does not have the key.
pub const CONFIG_MAP_KEY_MISSING: &str = "ConfigMapKeyMissing";
/// Waits: there is no such claim.
pub const CLAIM_NOT_FOUND: &str = "ClaimNotFound";
/// Waits: the claim belongs to another job.
pub const TARGET_IN_USE: &str = "TargetInUse";
/// Waits: an object of a child's name belongs to somebody else.
pub const NAME_TAKEN: &str = "NameTaken";
/// Waits: a ResourceQuota refuses what the job needs.
pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// Waits: the API server refuses a child as `execution.pod` makes it.
pub const REFUSED: &str = "Refused";
/// Waits: Kueue has not admitted the job.
pub const WAITING_FOR_QUOTA: &str = "WaitingForQuota";

/// Paused by the user.
pub const SUSPENDED: &str = "Suspended";
/// Not paused.
pub const NOT_SUSPENDED: &str = "NotSuspended";

/// Stalled: the manifest is for a local run.
pub const LOCAL_ONLY: &str = "LocalOnly";

/// Ended: the dataset is there and passed.
pub const SUCCEEDED: &str = "Succeeded";
/// Ended: a gate refuses the dataset.
pub const GATE_FAILED: &str = "GateFailed";
/// Ended: no row was accepted.
pub const NO_ROWS: &str = "NoRows";
/// Ended: shards failed too often.
pub const SHARDS_LOST: &str = "ShardsLost";
/// Ended: the model is another than at the start.
pub const MODEL_CHANGED: &str = "ModelChanged";
/// Ended: `activeDeadlineSeconds` are over.
pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// Ended: the ConfigMap that the attempt was begun with is gone.
pub const SNAPSHOT_LOST: &str = "SnapshotLost";
/// Ended: a step's answer could not be read.
pub const RESULT_UNREADABLE: &str = "ResultUnreadable";

/// Done: the source is read.
pub const PREPARED: &str = "Prepared";
/// Done: every row is generated or failed.
pub const GENERATED: &str = "Generated";
/// Done: the model answers.
pub const READY: &str = "Ready";
/// Done: all gates passed.
pub const GATES_PASSED: &str = "GatesPassed";
/// Nothing to say yet.
pub const NOT_YET: &str = "NotYet";
