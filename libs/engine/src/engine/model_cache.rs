//! What is kept of models from one start to the next, in a folder of the user's: digests of their files, and weights as they
//! were packed. All of it can be removed at any time; what is missing or damaged is made again.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::models::Precision;
use crate::models::cpu::{LAYOUT, PackedFile};
use crate::weights::digest::hex;
use crate::weights::{ModelFiles, WeightsError};
use crate::whole_file::UNFINISHED;

/// Packed weights that are kept; the least recently used go first.
const MOST_PACKED: usize = 8;

/// Bytes of packed weights that are kept, unless the newest alone is larger.
const MOST_PACKED_BYTES: u64 = 32 << 30;

/// Digests that are kept.
const MOST_DIGESTS: usize = 1000;

/// An unfinished file that is older is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder for digests and packed weights. Processes may share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCache {
    folder: PathBuf,
}

impl ModelCache {
    /// In that folder, which is made when something is first kept there.
    pub fn at(folder: impl Into<PathBuf>) -> ModelCache {
        ModelCache { folder: folder.into() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn packed_folder(&self) -> PathBuf {
        self.folder.join("packed")
    }

    fn digests_folder(&self) -> PathBuf {
        self.folder.join("digests")
    }

    /// The digest of a model; files that have not changed since are not read again.
    pub(super) fn digest(&self, files: &ModelFiles) -> Result<String, WeightsError> {
        files.digest_remembered(&self.digests_folder())
    }

    /// Where the packed weights of a model lie, or will; `numerics` is the name of their arithmetic alone, since keys and
    /// values are not packed.
    pub(super) fn packed(&self, digest: &str, numerics: &str, precision: Precision) -> PackedFile {
        let precision = precision.as_str();
        let text = format!("packed {LAYOUT}\n{digest}\n{numerics}\n{precision}\n");
        let key: [u8; 32] = Sha256::digest(text).into();
        PackedFile::new(self.packed_folder().join(hex(&key[..16]) + ".packed"), key)
    }

    /// Removes what has not been used for longest, beyond what is kept.
    pub(super) fn tidy(&self, used: &PackedFile) {
        let kept = [
            (self.packed_folder(), MOST_PACKED, MOST_PACKED_BYTES),
            (self.digests_folder(), MOST_DIGESTS, u64::MAX),
        ];
        for (folder, most, most_bytes) in kept {
            // A folder of others, or none: they tidy it.
            if let Err(error) = tidy(&folder, most, most_bytes, used.path()) {
                tracing::debug!("{} is not tidied: {error}", folder.display());
            }
        }
    }
}

fn tidy(folder: &Path, most: usize, most_bytes: u64, used: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        if !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified()?;
        let unfinished = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        if unfinished {
            let age = SystemTime::now().duration_since(modified).unwrap_or_default();
            if age > ABANDONED {
                fs::remove_file(path)?;
            }
        } else if ["packed", "json"].iter().any(|end| path.extension() == Some(OsStr::new(end))) {
            files.push((path != used, std::cmp::Reverse(modified), path, metadata.len()));
        }
    }
    files.sort();
    let mut bytes = 0_u64;
    for (index, (_, _, path, size)) in files.into_iter().enumerate() {
        bytes = bytes.saturating_add(size);
        if index > 0 && (index >= most || bytes > most_bytes) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files, each a day older than the one before.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (days, name) in names.iter().enumerate() {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).expect("a file");
            let file = fs::File::options().write(true).open(path).expect("a file");
            let age = Duration::from_secs(86_400 * (days as u64 + 1));
            file.set_modified(SystemTime::now() - age).expect("a time");
        }
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_least_recently_used_files_go_and_the_one_in_use_stays() {
        let check = |most, most_bytes, expect: &[&str]| {
            let folder = folder(&["a.packed", "b.packed", "c.packed", "d.packed", "notes.txt"]);
            let used = folder.path().join("d.packed");
            tidy(folder.path(), most, most_bytes, &used).expect("a folder of ours");
            assert_eq!(names(folder.path()), expect);
        };
        check(4, 400, &["a.packed", "b.packed", "c.packed", "d.packed", "notes.txt"]);
        check(3, 400, &["a.packed", "b.packed", "d.packed", "notes.txt"]);
        check(4, 399, &["a.packed", "b.packed", "d.packed", "notes.txt"]);
        check(4, 1, &["d.packed", "notes.txt"]);
    }

    #[test]
    fn unfinished_files_go_when_nobody_can_be_writing_them() {
        let folder = folder(&[".new-abandoned"]);
        fs::write(folder.path().join(".new-running"), "x").expect("a file");
        tidy(folder.path(), 1, 1, Path::new("")).expect("a folder of ours");
        assert_eq!(names(folder.path()), [".new-running"]);
    }

    #[test]
    fn what_decides_the_packed_weights_decides_their_file() {
        let cache = ModelCache::at("cache");
        let packed = cache.packed("sha256:1", "cpu-1/f32", Precision::AsStored);
        assert_eq!(packed, cache.packed("sha256:1", "cpu-1/f32", Precision::AsStored));
        for other in [
            cache.packed("sha256:2", "cpu-1/f32", Precision::AsStored),
            cache.packed("sha256:1", "cpu-1/q4", Precision::AsStored),
            cache.packed("sha256:1", "cpu-1/f32", Precision::F32),
        ] {
            assert_ne!(packed.path(), other.path());
            assert_ne!(packed, other);
        }
    }
}
