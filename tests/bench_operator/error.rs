//! Why a measurement could not be made. No I/O.

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call to the API server failed.
    #[error("{what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// Why not.
        #[source]
        source: Box<kube::Error>,
    },
    /// The access to the cluster cannot be read.
    #[error("KUBECONFIG: {0}")]
    Access(#[from] kube::config::KubeconfigError),
    /// A file or a program.
    #[error("{what}: {source}")]
    File {
        /// Which, and what for.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Something that was not understood.
    #[error("{what} cannot be read: {found}")]
    Unreadable {
        /// Which text.
        what: String,
        /// What it says.
        found: String,
    },
    /// Nothing moves any more.
    #[error("{what}: {reached} of {wanted}, and no more for {seconds} s{detail}")]
    Stalled {
        /// What was waited for.
        what: String,
        /// How many there are.
        reached: usize,
        /// How many there should be.
        wanted: usize,
        /// For how long.
        seconds: u64,
        /// What can be seen.
        detail: String,
    },
}

impl Error {
    /// A call to the API server failed.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// A file or a program failed.
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }
}
