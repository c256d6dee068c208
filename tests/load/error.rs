//! Why nothing can be said of a server. No I/O.

use std::error::Error as _;

/// Why nothing can be said of a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call without which nothing begins.
    #[error("{what}: {}", chain(.source))]
    Http {
        /// What was asked.
        what: String,
        /// Why there is no answer.
        #[source]
        source: reqwest::Error,
    },
    /// A file or a process.
    #[error("{what}: {source}")]
    File {
        /// Which.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What was given cannot be worked with.
    #[error("{0}")]
    Given(String),
    /// The server answers otherwise than it should before there is any load.
    #[error("before any load: {0}")]
    Server(String),
}

impl Error {
    /// A call failed.
    pub(crate) fn http(what: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let what = what.into();
        move |source| Self::Http { what, source }
    }

    /// A file or a process failed.
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }
}

/// An error of the client with all its causes: by itself it only says that something failed.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
