//! What can go wrong between the plugin and a cluster, in words for the user. No I/O.

use std::time::Duration;

use crate::failure::Failure;

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No configuration of a cluster was found.
    #[error("no cluster is configured: {tried}; give --kubeconfig FILE, or set KUBECONFIG")]
    NoCluster { tried: String },
    /// A kubeconfig that cannot be used.
    #[error("{place}: {message}")]
    Config { place: String, message: String },
    /// Nobody answers at the API server's address.
    #[error(
        "the API server {server} cannot be reached: {message}; is the cluster up, and is this its address?"
    )]
    Unreachable { server: String, message: String },
    /// The API server does not answer in time.
    #[error("the API server {server} did not answer within {} s ({what})", limit.as_secs())]
    Timeout { server: String, what: String, limit: Duration },
    /// The API server does not know who is calling.
    #[error("the API server {server} does not accept the credentials of this context: {message}")]
    Unauthorized { server: String, message: String },
    /// The caller may not do it.
    #[error(
        "permission is missing: {verb} {resource} in the namespace {namespace}. Ask for a Role with this rule; \
         `kubectl auth can-i {verb} {resource} -n {namespace}` checks it. The API server says: {message}"
    )]
    Forbidden { verb: &'static str, resource: String, namespace: String, message: String },
    /// The resource definitions are not in the cluster.
    #[error(
        "the cluster does not know {resource}: TextNLP is not installed there, or is too old (docs/install.md)"
    )]
    NotInstalled { resource: String },
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// The object was changed by somebody else, again and again.
    #[error("{what}: somebody else keeps changing it; try again")]
    Conflict { what: String },
    /// The API server refuses for another reason.
    #[error("{what}: {message}")]
    Api { what: String, message: String },
    /// An object that this version does not understand.
    #[error(
        "{what}: cannot be read: {message}; do the plugin's and the operator's versions match?"
    )]
    Unreadable { what: String, message: String },
    /// What was asked for makes no sense as things stand.
    #[error("{0}")]
    Refused(String),
    /// A file of this machine.
    #[error("{place}: {message}")]
    Local { place: String, message: String },
    /// What came over the wire is not what was sent.
    #[error("{0}")]
    Transfer(String),
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// One word for programs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoCluster { .. } => "NoCluster",
            Self::Config { .. } => "InvalidKubeconfig",
            Self::Unreachable { .. } => "Unreachable",
            Self::Timeout { .. } => "Timeout",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden { .. } => "Forbidden",
            Self::NotInstalled { .. } => "NotInstalled",
            Self::NotFound(_) => "NotFound",
            Self::Conflict { .. } => "Conflict",
            Self::Api { .. } => "ApiError",
            Self::Unreadable { .. } => "Unreadable",
            Self::Refused(_) => "Refused",
            Self::Local { .. } => "LocalFile",
            Self::Transfer(_) => "TransferFailed",
            Self::Interrupted => "Interrupted",
        }
    }

    /// Whether the same call may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Api { .. })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.reason() {
            // Another command line, or another kubeconfig, is needed.
            "NoCluster" | "InvalidKubeconfig" | "Refused" => 2,
            "Interrupted" => 130,
            _ => 1,
        };
        Self { code, message: Some(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_named_with_the_command_that_checks_it() {
        let error = Error::Forbidden {
            verb: "list",
            resource: "pods".into(),
            namespace: "shop".into(),
            message: "no".into(),
        };
        let text = error.to_string();
        assert!(text.contains("permission is missing: list pods in the namespace shop"), "{text}");
        assert!(text.contains("kubectl auth can-i list pods -n shop"), "{text}");
        assert_eq!(Failure::from(error).code, 1);
    }
}
