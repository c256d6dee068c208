//! Where chunks and results are kept: a small interface that a directory and an object store can
//! both fulfil.
//!
//! Paths are relative, with `/` between names. A file appears under its name whole, or not at all.

mod local;
mod object;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

pub use local::LocalStore;
pub use object::{Credentials, Listed, Location, ObjectStore};

/// The file that names the job to which a store belongs.
const OWNER: &str = ".textnlp-owner";

/// Held by the one run that may write; given back when dropped, and by the system when the process
/// dies.
#[derive(Debug)]
pub struct Lock {
    /// None where the store knows no locks.
    _file: Option<File>,
}

/// A file being written; it appears when committed and vanishes when dropped.
pub trait Upload: Write + Send {
    /// Makes the file appear under its name, replacing what was there; returns its length in bytes.
    fn commit(self: Box<Self>) -> Result<u64, StoreError>;
}

/// A place for files that are written once and read often.
pub trait Store: Send + Sync {
    /// Writes a file atomically: after a crash the old or the new contents are there, never a
    /// mixture.
    fn put(&self, path: &str, contents: &[u8]) -> Result<(), StoreError> {
        let mut upload = self.create(path)?;
        upload.write_all(contents).map_err(|source| self.failure("write", path, source))?;
        upload.commit().map(drop)
    }

    /// Begins a file that is too large for memory.
    fn create(&self, path: &str) -> Result<Box<dyn Upload>, StoreError>;

    /// Opens a file for reading.
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, StoreError>;

    /// Reads a whole file.
    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let mut contents = Vec::new();
        self.open(path)?
            .read_to_end(&mut contents)
            .map_err(|source| self.failure("read", path, source))?;
        Ok(contents)
    }

    /// Length of a file in bytes, or `None` where there is none.
    fn size(&self, path: &str) -> Result<Option<u64>, StoreError>;

    /// Whether there is such a file.
    fn exists(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.size(path)?.is_some())
    }

    /// Paths of all files below a folder (`""`: all), sorted; a folder that is not there is empty.
    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;

    /// Removes a file; one that is not there is no error.
    fn delete(&self, path: &str) -> Result<(), StoreError>;

    /// Writes the owner's name into a store that has none, or checks that it is the same owner's.
    ///
    /// The owner stays after the run: two jobs never share a target. [`Store::lock`] keeps two
    /// runs apart.
    fn claim(&self, owner: &str) -> Result<(), StoreError>;

    /// The job that claimed the store, if one did.
    fn owner(&self) -> Result<Option<String>, StoreError>;

    /// Keeps other runs out while the lock is held, and removes what a killed one left half
    /// written. A store that knows no locks gives one that keeps nobody out: its files still
    /// appear whole.
    fn lock(&self) -> Result<Lock, StoreError>;

    /// Removes everything that a run leaves, the owner's name included; for a fresh start.
    fn clear(&self, lock: &Lock) -> Result<(), StoreError>;

    /// How people call the store: a directory or a URI.
    fn place(&self) -> String;

    /// Names a failed operation with the place it concerns.
    fn failure(&self, operation: &'static str, path: &str, source: io::Error) -> StoreError;
}

/// Why a store could not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StoreError {
    #[error("`{path}` is no path inside the output: {why}")]
    Path { path: String, why: &'static str },
    #[error(
        "`{path}` leads out of `{root}` through a symbolic link; remove the link or choose another directory"
    )]
    Outside { path: String, root: String },
    #[error("cannot {operation} `{path}`: {}", reason(source))]
    Io { operation: &'static str, path: String, source: io::Error },
    #[error(
        "`{path}` belongs to {owner}; choose another output directory, or remove it if that dataset is not needed"
    )]
    Owned { path: String, owner: String },
    #[error(
        "another run is writing to `{path}`; wait for it to end, or choose another output directory"
    )]
    Locked { path: String },
    #[error("spec.{field}: {message}")]
    Config { field: &'static str, message: String },
    #[error("cannot {operation} `{place}`: {message}")]
    Object { operation: &'static str, place: String, kind: ObjectFailure, message: String },
}

/// What kept an object store from doing as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFailure {
    /// There is no such object or bucket.
    NotFound,
    /// The credentials are missing, wrong, expired, or do not allow it.
    Denied,
    /// It changed since it was listed.
    Changed,
    /// Anything else: the network, the server.
    Other,
}

impl StoreError {
    /// Whether the file was not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Object { kind, .. } => *kind == ObjectFailure::NotFound,
            _ => false,
        }
    }

    /// Whether trying again cannot help: the place itself is wrong, or another job's.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Path { .. } | Self::Outside { .. } | Self::Owned { .. } | Self::Config { .. }
        )
    }
}

/// The operating system's reason, with what to do about those that a user meets.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; choose a place that can be written to".into()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; make room and run again, finished rows are kept".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; choose a place that this user can write to".into()
        }
        io::ErrorKind::NotADirectory => "a part of the path is a file, not a directory".into(),
        io::ErrorKind::AlreadyExists => "there is a file of that name already".into(),
        _ => error.to_string(),
    }
}

/// Longest path inside a store: object stores allow 1,024 bytes, and file systems 255 a name.
const MAX_PATH: usize = 1024;

/// Refuses a path that is no plain relative one.
fn check_path(path: &str) -> Result<(), StoreError> {
    let why = if path.is_empty() {
        "it is empty"
    } else if path.len() > MAX_PATH {
        "it is longer than 1,024 bytes"
    } else if path.contains('\0') {
        "it holds a NUL character"
    } else if path.contains('\\') {
        "it holds a backslash; names are separated by `/`"
    } else if Path::new(path).is_absolute() {
        "it is absolute; give a relative one"
    } else if Path::new(path).components().any(|part| !matches!(part, Component::Normal(_))) {
        "it holds `.` or `..`; give the path without them"
    } else {
        return Ok(());
    };
    Err(StoreError::Path { path: path.chars().take(200).collect(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place_the_reason_and_the_remedy() {
        let message = |kind: io::ErrorKind| {
            let error =
                StoreError::Io { operation: "write", path: "/data/x".into(), source: kind.into() };
            error.to_string()
        };
        assert_eq!(
            message(io::ErrorKind::ReadOnlyFilesystem),
            "cannot write `/data/x`: the file system is read-only; choose a place that can be written to"
        );
        assert_eq!(
            message(io::ErrorKind::StorageFull),
            "cannot write `/data/x`: the disk is full; make room and run again, finished rows are kept"
        );
        assert!(message(io::ErrorKind::PermissionDenied).contains("this user can write to"));
    }
}
