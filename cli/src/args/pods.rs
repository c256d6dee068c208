//! What the operator types: the verbs of a job's pods, and of those that fetch models.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use textnlp_crds::task::{MODEL_SOURCE_VARIABLE, TASK_FILE, TERMINATION_FILE};
use textnlp_telemetry::log::LogFormat;

use super::formats::FormatArgs;

/// What every pod is told.
#[derive(Debug, Args)]
pub(crate) struct PodArgs {
    /// Where the answer is written for the operator; a file that is not there is left alone
    #[arg(long, value_name = "FILE", default_value = TERMINATION_FILE)]
    pub(crate) termination_file: PathBuf,
    /// Format of the log on stderr
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) log_format: LogFormat,
    /// What the mounts lie in
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) mounts: PathBuf,
}

/// What the pods of a job are told.
#[derive(Debug, Args)]
pub(crate) struct JobPodArgs {
    /// The job's task, as the operator wrote it
    #[arg(long, value_name = "FILE", default_value = TASK_FILE)]
    pub(crate) task: PathBuf,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) job: JobPodArgs,
    /// Number of the shard, from 0
    #[arg(long, value_name = "N", env = "JOB_COMPLETION_INDEX")]
    pub(crate) index: u32,
    /// Address of /metrics
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9400")]
    pub(crate) metrics_listen: SocketAddr,
    /// After SIGTERM, rows that are running get so long to finish; they are generated again otherwise
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub(crate) grace: u16,
}

#[derive(Debug, Args)]
pub(crate) struct FinalizeArgs {
    #[command(flatten)]
    pub(crate) job: JobPodArgs,
    /// Shards were given up: their rows count as failed
    #[arg(long)]
    pub(crate) lost_shards: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Source of the model: spec.source of a ModelDeployment, as JSON
    #[arg(long, value_name = "JSON", env = MODEL_SOURCE_VARIABLE)]
    pub(crate) source: Option<String>,
    /// Only look at the model that is at this path of the mounted claim
    #[arg(long, value_name = "PATH")]
    pub(crate) offline: Option<String>,
    #[command(flatten)]
    pub(crate) formats: FormatArgs,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
}
