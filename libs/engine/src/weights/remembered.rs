//! Hashes of weights files, remembered from one start to the next: hashing a file takes longer than reading packed weights.
//!
//! A hash is that of the same file as long as its path, device, inode, size and times of change are the same.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::WeightsError;
use super::digest;
use super::source::{ReadAt, read_small};
use crate::whole_file;

const MAX_RECORD_BYTES: u64 = 64 << 10;

/// A file that was changed so recently may be changed again without another time of change: some file systems count in
/// units of two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// What tells one state of one file from all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Of the inode: content, or what `touch` sets.
    changed: (i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    file: FileIdentity,
    sha256: String,
}

impl FileIdentity {
    /// Of a file that is open, by its canonical path.
    pub(super) fn of(path: &Path, metadata: &fs::Metadata) -> io::Result<FileIdentity> {
        Ok(FileIdentity {
            path: path.canonicalize()?,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn record_path(&self, folder: &Path) -> PathBuf {
        let name = digest::sha256(self.path.as_os_str().as_encoded_bytes());
        folder.join(format!("{}.json", &name[..32]))
    }

    fn is_settled(&self) -> bool {
        let modified = u64::try_from(self.modified.0).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_secs(modified)) > SETTLED
    }
}

/// SHA-256 of a whole source, lower-case hex: the remembered one, or else a new one, which is remembered if it can be.
///
/// # Errors
/// [`WeightsError::Io`] of the source. (Records that cannot be read or written are none.)
pub(super) fn sha256_of(source: &dyn ReadAt, folder: &Path) -> Result<String, WeightsError> {
    let Some(file) = source.identity() else {
        return digest::sha256_of(source);
    };
    let path = file.record_path(folder);
    if let Some(sha256) = remembered(&path, &file) {
        return Ok(sha256);
    }
    let sha256 = digest::sha256_of(source)?;
    if file.is_settled() && source.identity().as_ref() == Some(&file) {
        let record = Record { file, sha256: sha256.clone() };
        let json = serde_json::to_vec(&record).map_err(io::Error::from);
        let kept = json.and_then(|json| whole_file::write(&path, |file| file.write_all(&json)));
        if let Err(error) = kept {
            tracing::warn!("the digest is not kept in {}: {error}", path.display());
        }
    }
    Ok(sha256)
}

fn remembered(path: &Path, file: &FileIdentity) -> Option<String> {
    let bytes = read_small(path, MAX_RECORD_BYTES).ok()??;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let valid = record.sha256.len() == 64 && record.sha256.bytes().all(digit);
    (valid && record.file == *file).then_some(record.sha256)
}
