//! What is wrong with manifests, and where. No I/O.

use std::fmt;

use super::place::Position;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where to look.
    pub location: Location,
    /// The field, as `spec.columns[0].name`; empty for the object or the file itself.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// In a file.
    File {
        /// The file, as the user named it.
        file: String,
        /// Where in the file.
        at: Position,
    },
    /// On the command line, by `--set`.
    Override,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File { file, at } => write!(f, "{file}:{}:{}", at.line, at.column),
            Location::Override => f.write_str("--set"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.location, self.message),
            path => write!(f, "{}: {path}: {}", self.location, self.message),
        }
    }
}

/// Everything that is wrong with a set of manifests; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    pub(super) fn one(location: Location, message: impl Into<String>) -> Self {
        Self(vec![Diagnostic { location, path: String::new(), message: message.into() }])
    }
}
