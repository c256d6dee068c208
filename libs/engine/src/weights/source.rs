//! Bytes at an offset, from a file or from memory. Files are read by position rather than mapped, so that a file that
//! shrinks while it is read gives an error and not a fatal signal, and so that several threads can read at once.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{FileIdentity, WeightsError};

/// Bytes that can be read from several threads.
pub trait ReadAt: Send + Sync {
    /// What error messages call the source.
    fn name(&self) -> &str;
    /// Number of bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` with the bytes from `offset` on; an error if there are not enough.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// What tells the file in its present state from all others; `None` if it is no file.
    fn identity(&self) -> Option<FileIdentity> {
        None
    }
}

/// A regular file, opened for reading.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    path: PathBuf,
    name: String,
    size: u64,
}

impl FileSource {
    /// Opens `path`, which must be a regular file (a pipe would block, a device has no size).
    ///
    /// # Errors
    /// [`WeightsError::Io`] if it cannot be opened, [`WeightsError::NotAModel`] if it is no regular file.
    pub fn open(path: &Path) -> Result<FileSource, WeightsError> {
        let name = path.display().to_string();
        let io_error = |source| WeightsError::Io { path: name.clone(), source };
        if !fs::metadata(path).map_err(io_error)?.is_file() {
            let reason = "it is neither a regular file nor a directory".to_owned();
            return Err(WeightsError::NotAModel { path: name, reason });
        }
        let file = File::open(path).map_err(io_error)?;
        let size = file.metadata().map_err(io_error)?.len();
        Ok(FileSource { file, path: path.to_owned(), name, size })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl ReadAt for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn identity(&self) -> Option<FileIdentity> {
        FileIdentity::of(&self.path, &self.file.metadata().ok()?).ok()
    }
}

/// Bytes in memory (tests, fuzzing).
impl ReadAt for Vec<u8> {
    fn name(&self) -> &str {
        "input"
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(buffer.len())?))
            .and_then(|range| self.get(range))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Reads `buffer.len()` bytes, with the source's name in the error.
pub(super) fn read_exact(
    source: &dyn ReadAt,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), WeightsError> {
    source
        .read_exact_at(offset, buffer)
        .map_err(|error| WeightsError::Io { path: source.name().to_owned(), source: error })
}

/// Reads a whole small file, refusing one of more than `limit` bytes before any of it is read. `None` if there is none.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, WeightsError> {
    let source = match FileSource::open(path) {
        Ok(source) => source,
        Err(WeightsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let bytes = source.size();
    if bytes > limit {
        return Err(WeightsError::TooLarge { file: source.name().to_owned(), bytes, limit });
    }
    let mut buffer = vec![0; bytes as usize];
    read_exact(&source, 0, &mut buffer)?;
    Ok(Some(buffer))
}
