//! The directory that a dataset is copied to. Files are written as parts in a folder of their own, held against their digests, and
//! renamed; a part that was cut off is gone on with. I/O on this machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use textnlp_dataset::digest::hex;
use textnlp_dataset::manifest;

use super::super::error::Error;
use super::super::send::{Listed, digest};

/// Folder of the parts.
const PARTS: &str = ".textnlp-get";
/// File in it: the digest of the manifest of the dataset that is being copied.
const IDENTITY: &str = "dataset";
/// File in it: locked by the process that copies.
const LOCK: &str = "lock";

/// A directory that one dataset is copied to.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    parts: PathBuf,
    /// Keeps another copy out while it is held.
    _lock: File,
}

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Sha256,
    expect: Listed,
}

/// Refuses what is no name of one file in the directory.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let plain = !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.contains(['/', '\\', ':'])
        && !name.chars().any(char::is_control);
    if plain {
        return Ok(());
    }
    Err(Error::Transfer(format!(
        "the claim lists a file named {name:?}: it is refused, as it could be written elsewhere"
    )))
}

impl Directory {
    /// Refuses a directory that certainly cannot be copied to, before a pod is started for it.
    pub(crate) fn look(root: &Path) -> Result<(), Error> {
        match fs::metadata(root) {
            Ok(found) if !found.is_dir() => return Err(local(root, "it is no directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(local(root, error)),
            Ok(_) => {}
        }
        let known = root.join(PARTS).join(IDENTITY).exists() || root.join(manifest::PATH).exists();
        if known || is_empty(root)? { Ok(()) } else { Err(not_empty(root)) }
    }

    /// Opens a directory for the dataset whose manifest has this digest: one that is new or empty, or has the same dataset, or
    /// parts of it.
    pub(crate) fn open(root: &Path, identity: &str) -> Result<Self, Error> {
        Self::look(root)?;
        let parts = root.join(PARTS);
        let there = match fs::read_to_string(parts.join(IDENTITY)) {
            Ok(begun) => Some(begun.trim().to_owned()),
            Err(_) => digest(&root.join(manifest::PATH)).ok(),
        };
        if there.is_some_and(|there| there != identity) {
            return Err(Error::Refused(format!(
                "{} holds another dataset, or another state of this one; choose a new directory, or remove it",
                root.display()
            )));
        }
        fs::create_dir_all(&parts).map_err(|error| local(&parts, error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(parts.join(LOCK))
            .map_err(|error| local(&parts, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(local(root, "another `kubectl textnlp get` is writing to it"));
            }
            Err(TryLockError::Error(error)) => return Err(local(root, error)),
        }
        fs::write(parts.join(IDENTITY), identity).map_err(|error| local(&parts, error))?;
        Ok(Self { root: root.to_owned(), parts, _lock: lock })
    }

    /// Whether a file is there already, whole.
    pub(crate) fn has(&self, file: &Listed) -> bool {
        let path = self.root.join(&file.name);
        let length =
            fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file).map(|found| found.len());
        length == Some(file.bytes) && digest(&path).is_ok_and(|found| found == file.sha256)
    }

    /// Opens the part of a file, behind what is there of it.
    pub(crate) fn part(&self, expect: &Listed) -> Result<Part, Error> {
        let name: String =
            expect.sha256.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let path = self.parts.join(format!("{name}.part"));
        let failed = |error: io::Error| local(&path, error);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let mut length = file.metadata().map_err(failed)?.len();
        if length > expect.bytes {
            file.set_len(0).map_err(failed)?;
            length = 0;
        }
        let mut hasher = Sha256::new();
        let read = io::copy(&mut file, &mut Hashing(&mut hasher)).map_err(failed)?;
        Ok(Part { path, file, length: length.min(read), hasher, expect: expect.clone() })
    }

    /// Gives a whole part its name.
    pub(crate) fn keep(&self, part: &Path, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let target = self.root.join(name);
        fs::rename(part, &target).map_err(|error| local(&target, error))
    }

    /// Removes the folder of the parts.
    pub(crate) fn finish(self) {
        let _ = fs::remove_dir_all(&self.parts);
    }

    /// A failure at a file of this directory.
    pub(crate) fn error(&self, path: &Path, error: io::Error) -> Error {
        local(path, error)
    }
}

impl Part {
    /// Bytes that are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Writes what comes next; more than there should be is refused.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length = self.length.saturating_add(bytes.len() as u64);
        if length > self.expect.bytes {
            return Err(Error::Transfer(format!(
                "{}: more came than its {} bytes; it was changed meanwhile, run it again",
                self.expect.name, self.expect.bytes
            )));
        }
        self.file.write_all(bytes).map_err(|error| local(&self.path, error))?;
        self.hasher.update(bytes);
        self.length = length;
        Ok(())
    }

    /// Holds the whole part against its digest; one that is wrong is removed.
    pub(crate) fn finish(self) -> Result<PathBuf, Error> {
        let failed = |error: io::Error| local(&self.path, error);
        self.file.sync_all().map_err(failed)?;
        let found = hex(&self.hasher.finalize());
        if self.length == self.expect.bytes && found == self.expect.sha256 {
            return Ok(self.path);
        }
        fs::remove_file(&self.path).map_err(failed)?;
        Err(Error::Transfer(format!(
            "{}: what came has the SHA-256 {found} instead of {}; it was thrown away, run it again",
            self.expect.name, self.expect.sha256
        )))
    }
}

/// A writer that only hashes.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_empty(root: &Path) -> Result<bool, Error> {
    Ok(fs::read_dir(root).map_err(|error| local(root, error))?.next().is_none())
}

fn not_empty(root: &Path) -> Error {
    Error::Refused(format!(
        "{} is not empty and holds no dataset; choose a new or an empty directory",
        root.display()
    ))
}

fn local(path: &Path, message: impl ToString) -> Error {
    Error::Local { place: path.display().to_string(), message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn abc(name: &str) -> Listed {
        Listed { name: name.into(), bytes: 3, sha256: ABC.into() }
    }

    #[test]
    fn a_file_appears_whole_and_one_that_was_cut_off_is_gone_on_with() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("out");
        let directory = Directory::open(&root, "m1").expect("a new directory");
        let mut part = directory.part(&abc("a.txt")).expect("a part");
        part.write(b"ab").expect("two bytes");
        drop((part, directory));
        assert!(!root.join("a.txt").exists(), "half a file has no name");
        let directory = Directory::open(&root, "m1").expect("the same dataset");
        let mut part = directory.part(&abc("a.txt")).expect("a part");
        assert_eq!(part.length(), 2);
        part.write(b"c").expect("the last byte");
        directory.keep(&part.finish().expect("the digest is right"), "a.txt").expect("a name");
        assert!(directory.has(&abc("a.txt")));
        directory.finish();
        assert_eq!(fs::read_dir(&root).expect("a directory").count(), 1, "no part is left");
    }

    #[test]
    fn what_has_another_digest_is_thrown_away() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(place.path(), "m1").expect("an empty directory");
        let mut part = directory.part(&abc("a.txt")).expect("a part");
        part.write(b"xyz").expect("three bytes");
        assert!(part.write(b"!").unwrap_err().to_string().contains("more came than its 3 bytes"));
        assert!(part.finish().unwrap_err().to_string().contains("instead of ba78"));
        assert_eq!(directory.part(&abc("a.txt")).expect("a part").length(), 0);
    }

    #[test]
    fn a_directory_with_something_else_is_refused_and_left_alone() {
        let place = tempfile::tempdir().expect("a directory");
        let refused =
            |root: &Path| Directory::open(root, "m1").map(drop).map_err(|error| error.reason());
        fs::write(place.path().join("thesis.tex"), "x").expect("a file");
        assert_eq!(refused(place.path()), Err("Refused"));
        assert_eq!(refused(&place.path().join("thesis.tex")), Err("LocalFile"));
        let other = place.path().join("other");
        fs::create_dir(&other).expect("a directory");
        fs::write(other.join(manifest::PATH), "abc").expect("a manifest");
        assert_eq!(refused(&other), Err("Refused"));
        assert_eq!(fs::read_dir(&other).expect("a directory").count(), 1, "nothing was written");
        assert!(Directory::open(&other, ABC).is_ok(), "the same dataset is completed");
    }

    #[test]
    fn two_copies_do_not_write_one_directory() {
        let place = tempfile::tempdir().expect("a directory");
        let first = Directory::open(place.path(), "m1").expect("an empty directory");
        let error = Directory::open(place.path(), "m1").unwrap_err().to_string();
        assert!(error.contains("another `kubectl textnlp get`"), "{error}");
        drop(first);
        assert!(Directory::open(place.path(), "m1").is_ok());
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "C:x",
            ".hidden",
            "a\nb",
            &"x".repeat(256),
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["dataset.jsonl", "manifest.json", "README.md", "über.csv"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }
}
