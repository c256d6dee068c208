//! How a command fails: a message for stderr, and an exit code.

use std::fmt::Display;

/// 0 Succeeded · 1 failed · 2 wrong usage, or a manifest that can never work · 3 a gate failed · 130 interrupted.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) code: u8,
    /// What to tell the user; nothing where the output said it already.
    pub(crate) message: Option<String>,
}

impl Failure {
    /// Something went wrong that may go right another time.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self { code: 1, message: Some(error.to_string()) }
    }

    /// Wrong usage, or input that can never work.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self { code: 2, message: Some(error.to_string()) }
    }

    /// The output says it already.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, message: None }
    }
}

impl From<textnlp_generation::Error> for Failure {
    fn from(error: textnlp_generation::Error) -> Self {
        Self { code: error.exit_code(), message: Some(error.to_string()) }
    }
}
