//! Why a job stops, with the reason that a condition, an exit code and a log line share.

use textnlp_dataset::chunk::ChunkError;
use textnlp_dataset::format::FormatError;
use textnlp_dataset::manifest::ManifestError;
use textnlp_dataset::plan::PlanError;
use textnlp_dataset::snapshot::SnapshotError;
use textnlp_dataset::source::SourceError;
use textnlp_dataset::store::StoreError;

use crate::completer::CompletionError;

/// What ends a job, as opposed to one row of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec can never work, whatever is tried again.
    #[error("{path}: {message}")]
    Spec {
        /// Field, as in `spec.columns[1].prompt`.
        path: String,
        /// What was found, what is allowed, what to do.
        message: String,
    },
    /// The source cannot be read, or holds something that no job can use.
    #[error("spec.source: {0}")]
    Source(#[from] SourceError),
    /// The output directory holds another dataset.
    #[error(
        "the output was begun with other settings, so its rows cannot be kept: {}; \
         start over with --fresh, or choose another output",
        changes.join("; ")
    )]
    Changed {
        /// What differs, each as `path: before → now`.
        changes: Vec<String>,
    },
    /// The snapshot of the source is damaged, or the source changed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A chunk cannot be read or written.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The chunks that are there do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The output cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the dataset cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The manifest cannot be read or written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The model cannot be loaded, or stopped working.
    #[error("{0}")]
    Model(String),
    /// The model is another than the one the job pins.
    #[error("{0}")]
    ModelChanged(String),
    /// There is no such model, or no such server.
    #[error("{0}")]
    ModelUnknown(String),
    /// The model's server does not take the credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// A later step came before the first.
    #[error("{0} was not prepared, or what prepare wrote is gone: run prepare first")]
    NotPrepared(String),
    /// Rows are missing that a dataset must have.
    #[error("{0}")]
    RowsMissing(String),
    /// A shard that the plan of this output does not have.
    #[error("{0}")]
    Shard(String),
    /// The run was asked to stop; what is finished was kept.
    #[error("interrupted: finished rows are kept; run again to go on")]
    Interrupted,
    /// Something that should not happen, reported rather than hidden.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// One word for conditions, events, metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Spec { .. } => "InvalidSpec",
            Self::Source(_) => "InvalidSource",
            Self::Changed { .. } => "SpecChanged",
            Self::Snapshot(SnapshotError::Changed { .. } | SnapshotError::Shrunk { .. }) => {
                "SourceChanged"
            }
            Self::Snapshot(_) => "SnapshotFailed",
            Self::Chunk(_) | Self::Plan(_) => "ChunkFailed",
            Self::Store(StoreError::Owned { .. }) => "TargetInUse",
            Self::Store(StoreError::Locked { .. }) => "TargetLocked",
            Self::Store(StoreError::Config { .. }) => "InvalidSpec",
            Self::Store(_) | Self::Format(_) | Self::Manifest(_) => "OutputFailed",
            Self::Model(_) => "ModelFailed",
            Self::ModelChanged(_) => "ModelChanged",
            Self::ModelUnknown(_) => "ModelNotFound",
            Self::Unauthorized(_) => "ModelUnauthorized",
            Self::NotPrepared(_) => "NotPrepared",
            Self::RowsMissing(_) => "RowsMissing",
            Self::Shard(_) => "ShardUnknown",
            Self::Interrupted => "Interrupted",
            Self::Internal(_) => "InternalError",
        }
    }

    /// The command line's exit code: 2 can never work, 130 interrupted and resumable, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self.reason() {
            "InvalidSpec" | "SpecChanged" | "SourceChanged" => 2,
            "InvalidSource" if !self.is_transport() => 2,
            "ModelChanged" | "ModelNotFound" | "TargetInUse" | "NotPrepared" | "ShardUnknown" => 2,
            "Interrupted" => 130,
            _ => 1,
        }
    }

    /// Whether a source could not be read for a reason that may pass: a disk, the network, a server.
    fn is_transport(&self) -> bool {
        match self {
            Self::Source(SourceError::Store(error)) => !error.is_final(),
            _ => false,
        }
    }

    /// What a completion's error means for the run.
    pub(crate) fn of_model(error: CompletionError) -> Self {
        match error {
            CompletionError::Model(message) => Self::Model(message),
            CompletionError::ModelChanged(message) => Self::ModelChanged(message),
            CompletionError::ModelUnknown(message) => Self::ModelUnknown(message),
            CompletionError::Unauthorized(message) => Self::Unauthorized(message),
            CompletionError::Interrupted => Self::Interrupted,
            CompletionError::Request(message) => {
                Self::Internal(format!("a row's failure ended the run: {message}"))
            }
        }
    }

    /// An error of the spec at a field.
    pub fn spec(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Spec { path: path.into(), message: message.into() }
    }
}
