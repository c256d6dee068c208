//! The cache of models: a folder for each source that appears whole, under a lock, so that many fetches bring it once.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::error::FetchError;

/// How often a lock that another fetch holds is tried.
const TRIED: Duration = Duration::from_millis(500);

/// A source's place in the cache, locked.
pub(super) struct Cache {
    mount: PathBuf,
    name: String,
    /// None where the file system knows no locks: then the last of two fetches finds the other's folder.
    _lock: Option<File>,
}

/// A folder that is being filled; it vanishes unless it is finished.
pub(super) struct Filling<'a> {
    cache: &'a Cache,
    folder: PathBuf,
    finished: bool,
}

impl Cache {
    /// Waits until no other fetch works on this source.
    pub(super) fn open(mount: &Path, name: &str) -> Result<Self, FetchError> {
        fs::create_dir_all(mount).map_err(|error| FetchError::io("create", mount, error))?;
        let path = mount.join(format!(".{name}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| FetchError::io("create", &path, error))?;
        let mut told = false;
        let lock = loop {
            match file.try_lock() {
                Ok(()) => break Some(file),
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!("another fetch brings this model; waiting for it");
                    }
                    sleep(TRIED);
                }
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    break None;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(FetchError::io("lock", &path, error));
                }
            }
        };
        Ok(Self { mount: mount.to_owned(), name: name.to_owned(), _lock: lock })
    }

    /// Where the model is, once it is there.
    pub(super) fn place(&self) -> PathBuf {
        self.mount.join(&self.name)
    }

    pub(super) fn is_there(&self) -> bool {
        self.place().is_dir()
    }

    /// Removes what is there.
    pub(super) fn remove(&self) -> Result<(), FetchError> {
        let place = self.place();
        fs::remove_dir_all(&place).map_err(|error| FetchError::io("remove", &place, error))
    }

    fn prefix(&self) -> String {
        format!(".{}.tmp-", self.name)
    }

    /// Makes a folder to fill, and removes what a fetch that was killed left.
    pub(super) fn begin(&self) -> Result<Filling<'_>, FetchError> {
        let failed = |error| FetchError::io("list", &self.mount, error);
        for entry in fs::read_dir(&self.mount).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if self._lock.is_some()
                && entry.file_name().to_string_lossy().starts_with(&self.prefix())
            {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|e| FetchError::io("remove", &path, e))?;
            }
        }
        let random = RandomState::new().hash_one(std::process::id());
        let folder = self.mount.join(format!("{}{random:016x}", self.prefix()));
        fs::create_dir(&folder).map_err(|error| FetchError::io("create", &folder, error))?;
        Ok(Filling { cache: self, folder, finished: false })
    }
}

impl Filling<'_> {
    /// Where the files go.
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder appear under its name, when all of it is on the disk.
    pub(super) fn finish(mut self) -> Result<(), FetchError> {
        let synced = || -> io::Result<()> {
            for entry in fs::read_dir(&self.folder)? {
                File::open(entry?.path())?.sync_all()?;
            }
            File::open(&self.folder)?.sync_all()
        };
        synced().map_err(|error| FetchError::io("write", &self.folder, error))?;
        let place = self.cache.place();
        match fs::rename(&self.folder, &place) {
            Ok(()) => self.finished = true,
            // Without locks, another fetch was first: its files are the same.
            Err(_) if place.is_dir() => return Ok(()),
            Err(error) => return Err(FetchError::io("create", &place, error)),
        }
        let mount = &self.cache.mount;
        let opened = File::open(mount).and_then(|folder| folder.sync_all());
        opened.map_err(|error| FetchError::io("write", mount, error))
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be reported from here; the next fetch of this source removes what is left.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_or_not_at_all_and_leftovers_go() {
        let mount = tempfile::tempdir().unwrap();
        let cache = Cache::open(mount.path(), "aa").unwrap();
        fs::create_dir(mount.path().join(".aa.tmp-old")).unwrap();
        let filling = cache.begin().unwrap();
        assert!(!mount.path().join(".aa.tmp-old").exists());
        fs::write(filling.path().join("x"), "half").unwrap();
        let folder = filling.path().to_owned();
        drop(filling);
        assert!(!folder.exists() && !cache.is_there());
        let filling = cache.begin().unwrap();
        fs::write(filling.path().join("x"), "whole").unwrap();
        filling.finish().unwrap();
        assert_eq!(fs::read(cache.place().join("x")).unwrap(), b"whole");
        // Without a lock, two may fill at a time: the second finds the first one's.
        let filling = cache.begin().unwrap();
        fs::write(filling.path().join("x"), "other").unwrap();
        filling.finish().unwrap();
        assert_eq!(fs::read(cache.place().join("x")).unwrap(), b"whole");
    }

    #[test]
    fn of_two_fetches_of_one_source_the_second_waits() {
        let mount = tempfile::tempdir().unwrap();
        let first = Cache::open(mount.path(), "aa").unwrap();
        let other = Cache::open(mount.path(), "bb").unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let second = Cache::open(mount.path(), "aa").unwrap();
                sender.send(second.is_there()).unwrap();
            });
            fs::create_dir(first.place()).unwrap();
            drop(first);
            assert!(receiver.recv().unwrap(), "it saw the folder that the first one made");
        });
        drop(other);
    }
}
