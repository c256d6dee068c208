//! What can go wrong between the operator and the API server. No I/O.

use std::time::Duration;

/// A reconciliation that could not be finished. It is tried again, unless the spec must change first.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a call, or could not be reached.
    #[error("{what}: {}", said(source))]
    Api {
        /// What was called, such as `create Job shop/gj-x-prepare-0`.
        what: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("{what}: the API server did not answer within {} s", limit.as_secs())]
    Timeout {
        /// What was called.
        what: String,
        /// How long it had.
        limit: Duration,
    },
    /// An object of a child's name exists, and is not ours.
    #[error("{kind} {name} exists and does not belong to this object: delete or rename it")]
    NameTaken {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The object has no name, namespace or UID.
    #[error("the object has no {0}; the API server gives each object one")]
    Incomplete(&'static str),
    /// A bug: the reconciliation panicked.
    #[error("the reconciliation was cut off: {0}")]
    Panicked(String),
}

impl Error {
    /// One word for events and metric labels; the set is small and fixed.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { .. } if self.is_conflict() => "Conflict",
            Self::Api { .. } if self.is_quota() => "QuotaExceeded",
            Self::Api { source, .. } => match code(source) {
                Some(403) => "Forbidden",
                Some(404) => "NotFound",
                Some(422 | 400) => "Invalid",
                Some(429) => "TooManyRequests",
                Some(500..) => "ServerError",
                Some(_) => "ApiError",
                None => "Unreachable",
            },
            Self::Timeout { .. } => "Timeout",
            Self::NameTaken { .. } => "NameTaken",
            Self::Json(_) => "Json",
            Self::Incomplete(_) => "Incomplete",
            Self::Panicked(_) => "Panicked",
        }
    }

    /// Whether the object was changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether the request itself was wrong in the API server's eyes.
    pub fn is_invalid(&self) -> bool {
        matches!(self.code(), Some(400 | 422))
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether a ResourceQuota refused the object.
    pub fn is_quota(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source,
            kube::Error::Api(status) if status.code == 403 && status.message.contains("exceeded quota")))
    }

    /// Whether the API server refuses the object as it is, so that the same call fails again.
    pub fn is_refused(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 422))
    }

    /// The HTTP status of the API server's answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => code(source),
            _ => None,
        }
    }
}

/// The API server's own sentence; it is shown to users, as part of conditions and events.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
