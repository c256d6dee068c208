//! A directory as a store: temporary file, fsync, rename, fsync of the directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Lock, OWNER, Store, StoreError, Upload, check_path};

const TEMPORARY: &str = ".textnlp-tmp-";
const LOCK: &str = ".textnlp-lock";

/// What file systems keep at the root of a volume, for root alone to read.
const LOST_AND_FOUND: &str = "lost+found";

/// Tells the temporary files of this process from those of others: pods that share a volume all have process id 1.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

/// A store in a directory of this machine.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// Opens a directory, and makes it if it is not there.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref();
        fs::create_dir_all(root).map_err(|source| io_error("create", root, source))?;
        let root = root.canonicalize().map_err(|source| io_error("open", root, source))?;
        Ok(Self { root })
    }

    /// The directory, absolute and without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store in a folder of this one, made if it is not there; no link leads out of this one.
    pub fn folder(&self, path: &str) -> Result<Self, StoreError> {
        let folder = self.resolve(path)?;
        self.create_folder(&folder).map_err(|source| io_error("create", &folder, source))?;
        let store = Self::open(&folder)?;
        if store.root.starts_with(&self.root) { Ok(store) } else { Err(self.outside(path)) }
    }

    fn remove_leftovers(&self, folder: &Path) -> Result<(), StoreError> {
        for entry in fs::read_dir(folder).map_err(|source| io_error("list", folder, source))? {
            let entry = entry.map_err(|source| io_error("list", folder, source))?;
            let path = entry.path();
            // `file_type` does not follow links: a link out of the directory is left alone.
            let kind = entry.file_type().map_err(|source| io_error("list", &path, source))?;
            if kind.is_dir() {
                if entry.file_name() != LOST_AND_FOUND {
                    self.remove_leftovers(&path)?;
                }
            } else if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                ignore_missing(fs::remove_file(&path))
                    .map_err(|source| io_error("remove", &path, source))?;
            }
        }
        Ok(())
    }

    /// The place of a file, checked: no way out of the root by its text, nor through a link.
    fn resolve(&self, path: &str) -> Result<PathBuf, StoreError> {
        check_path(path)?;
        let full = self.root.join(path);
        let mut existing = full.as_path();
        let target = loop {
            match existing.canonicalize() {
                Ok(target) => break target,
                // A dangling link would be followed on writing: the link itself must be judged, not
                // what it names.
                Err(_) if existing.is_symlink() => return Err(self.outside(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match existing.parent() {
                    Some(parent) => existing = parent,
                    None => return Err(io_error("open", &full, error)),
                },
                Err(error) => return Err(io_error("open", &full, error)),
            }
        };
        if target.starts_with(&self.root) { Ok(full) } else { Err(self.outside(path)) }
    }

    /// Makes a folder whose name outlasts a power cut, as the files in it do.
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        let mut parents =
            folder.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.root));
        parents.try_for_each(|parent| File::open(parent)?.sync_all())
    }

    fn outside(&self, path: &str) -> StoreError {
        StoreError::Outside { path: path.into(), root: self.root.display().to_string() }
    }

    fn list_into(&self, folder: &Path, found: &mut Vec<String>) -> Result<(), StoreError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|source| io_error("list", folder, source))?,
        };
        for entry in entries {
            let entry = entry.map_err(|source| io_error("list", folder, source))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|source| io_error("list", &path, source))?;
            let name = entry.file_name();
            let hidden =
                [TEMPORARY, LOCK, OWNER].iter().any(|own| name.to_string_lossy().starts_with(own));
            if kind.is_dir() {
                if name != LOST_AND_FOUND {
                    self.list_into(&path, found)?;
                }
            } else if let (false, Ok(relative)) = (hidden, path.strip_prefix(&self.root)) {
                found.extend(relative.to_str().map(str::to_owned));
            }
        }
        Ok(())
    }
}

impl Store for LocalStore {
    fn create(&self, path: &str) -> Result<Box<dyn Upload>, StoreError> {
        let target = self.resolve(path)?;
        let folder = target.parent().unwrap_or(&self.root).to_owned();
        self.create_folder(&folder).map_err(|source| io_error("create", &folder, source))?;
        let number = next_number();
        let temporary = folder.join(format!("{TEMPORARY}{:016x}-{number}", *PROCESS));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|source| io_error("write", &target, source))?;
        Ok(Box::new(LocalUpload {
            file: BufWriter::new(file),
            temporary,
            target,
            folder,
            committed: false,
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, StoreError> {
        let path = self.resolve(path)?;
        let file = File::open(&path).map_err(|source| io_error("read", &path, source))?;
        Ok(Box::new(io::BufReader::new(file)))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let path = self.resolve(path)?;
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("read", &path, source)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let folder = if folder.is_empty() { self.root.clone() } else { self.resolve(folder)? };
        let mut found = Vec::new();
        self.list_into(&folder, &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let path = self.resolve(path)?;
        ignore_missing(fs::remove_file(&path)).map_err(|source| io_error("remove", &path, source))
    }

    fn claim(&self, owner: &str) -> Result<(), StoreError> {
        let path = self.root.join(OWNER);
        match fs::read_to_string(&path) {
            Ok(found) if found == owner => return Ok(()),
            Ok(found) => {
                return Err(StoreError::Owned {
                    path: self.root.display().to_string(),
                    owner: found,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(io_error("read", &path, source)),
        }
        // A hard link appears whole and never replaces: of two claims at once, one wins and the
        // other sees it.
        let number = next_number();
        let temporary = self.root.join(format!("{TEMPORARY}{:016x}-{number}", *PROCESS));
        fs::write(&temporary, owner).map_err(|source| io_error("write", &path, source))?;
        let linked = fs::hard_link(&temporary, &path);
        ignore_missing(fs::remove_file(&temporary))
            .map_err(|source| io_error("remove", &temporary, source))?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.claim(owner),
            linked => linked.map_err(|source| io_error("write", &path, source)),
        }
    }

    fn owner(&self) -> Result<Option<String>, StoreError> {
        let path = self.root.join(OWNER);
        match fs::read_to_string(&path) {
            Ok(owner) => Ok(Some(owner)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("read", &path, source)),
        }
    }

    fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.root.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| io_error("create", &path, source))?;
        let file = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: self.place() });
            }
            // Some network file systems know no locks; whoever starts runs there keeps them apart.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path, source)),
        };
        self.remove_leftovers(&self.root)?;
        Ok(Lock { _file: file })
    }

    fn clear(&self, _lock: &Lock) -> Result<(), StoreError> {
        for path in self.list("")? {
            self.delete(&path)?;
        }
        let owner = self.root.join(OWNER);
        ignore_missing(fs::remove_file(&owner)).map_err(|source| io_error("remove", &owner, source))
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn failure(&self, operation: &'static str, path: &str, source: io::Error) -> StoreError {
        io_error(operation, &self.root.join(path), source)
    }
}

fn next_number() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

struct LocalUpload {
    file: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    folder: PathBuf,
    committed: bool,
}

impl Write for LocalUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Upload for LocalUpload {
    fn commit(mut self: Box<Self>) -> Result<u64, StoreError> {
        let finish = |upload: &mut Self| -> io::Result<u64> {
            upload.file.flush()?;
            upload.file.get_ref().sync_all()?;
            let length = upload.file.get_ref().metadata()?.len();
            fs::rename(&upload.temporary, &upload.target)?;
            upload.committed = true;
            // Without this the name may be lost in a power cut although the contents are on the
            // disk.
            File::open(&upload.folder)?.sync_all()?;
            Ok(length)
        };
        finish(&mut self).map_err(|source| io_error("write", &self.target, source))
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be reported from here; the next run that takes the lock removes what is
            // left.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { operation, path: path.display().to_string(), source }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
