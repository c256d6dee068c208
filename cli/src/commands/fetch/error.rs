//! Why a model cannot be fetched, and whether trying again can help.

use std::io;
use std::path::Path;

use textnlp_dataset::net::AddressError;
use textnlp_dataset::store::StoreError;
use textnlp_engine::engine::LanguageModelError;
use textnlp_engine::weights::WeightsError;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The source can never work.
    #[error("{0}")]
    Source(String),
    /// There is no such model.
    #[error("{0}")]
    NotFound(String),
    /// There are files, but no model that can be served.
    #[error("{0}")]
    Invalid(String),
    /// The files are not those that were asked for.
    #[error("{0}")]
    Digest(String),
    /// The server wants credentials, or others.
    #[error("{0}")]
    Unauthorized(String),
    /// The cache has no room.
    #[error("{0}")]
    Full(String),
    /// Anything that may pass: the network, a server, a disk.
    #[error("{0}")]
    Failed(String),
}

impl FetchError {
    /// One word for conditions, events and logs.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Source(_) => "InvalidSource",
            Self::NotFound(_) => "ModelNotFound",
            Self::Invalid(_) => "InvalidModel",
            Self::Digest(_) => "DigestMismatch",
            Self::Unauthorized(_) => "ModelUnauthorized",
            Self::Full(_) => "CacheFull",
            Self::Failed(_) => "FetchFailed",
        }
    }

    /// 2 where trying again cannot help.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Source(_) | Self::NotFound(_) | Self::Invalid(_) | Self::Digest(_) => 2,
            Self::Unauthorized(_) | Self::Full(_) | Self::Failed(_) => 1,
        }
    }

    /// A file of the cache that cannot be read or written.
    pub(super) fn io(operation: &str, path: &Path, error: io::Error) -> Self {
        let place = path.display();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(format!(
                "cannot {operation} {place}: the cache is full; give it more room with spec.cache.size"
            )),
            _ => Self::Failed(format!("cannot {operation} {place}: {error}")),
        }
    }

    /// A model whose files cannot be opened.
    pub(super) fn model(error: &LanguageModelError) -> Self {
        match error {
            LanguageModelError::Weights(WeightsError::Io { source, .. }) => match source.kind() {
                io::ErrorKind::NotFound => Self::NotFound(error.to_string()),
                _ => Self::Failed(error.to_string()),
            },
            _ => Self::Invalid(error.to_string()),
        }
    }
}

impl From<AddressError> for FetchError {
    fn from(error: AddressError) -> Self {
        match error.is_refusal() {
            true => Self::Source(format!("spec.source: {error}")),
            false => Self::Failed(error.to_string()),
        }
    }
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        if error.is_final() {
            Self::Source(error.to_string())
        } else if error.is_not_found() {
            Self::NotFound(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}
