//! Packed weights in a file: written after they were first packed, and read at the next start straight into the memory that
//! they are computed from. Whatever is wrong with the file, the model's own file is packed again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use super::Precision;
use super::isa::Pool;
use super::packed::{PIECE_BYTES, PackedHead, Section, checksum, piece_checksum};
use super::weights::Weights;
use crate::model::ModelError;
use crate::models::Tensors;
use crate::whole_file;

/// Where the packed weights of one model in one precision are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFile {
    path: PathBuf,
    key: [u8; 32],
}

/// A piece of a section, and where it lies in the file.
struct Piece<'a> {
    offset: u64,
    bytes: &'a mut [u8],
    checksum: &'a mut u64,
}

impl PackedFile {
    /// A file for the weights that `key` stands for: a hash over model and precision.
    pub fn new(path: PathBuf, key: [u8; 32]) -> PackedFile {
        PackedFile { path, key }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The weights from the file, or else from the tensors, and then to the file.
    pub(super) fn load(
        &self,
        tensors: &dyn Tensors,
        precision: Precision,
        pool: &Pool,
    ) -> Result<Weights, ModelError> {
        if cfg!(target_endian = "big") {
            return Weights::load(tensors, precision); // the sections are as memory has them, and files little-endian
        }
        let path = self.path.display();
        match self.read(tensors, precision, pool) {
            Ok(Some(weights)) => return Ok(weights),
            Ok(None) => {}
            Err(reason) => {
                tracing::warn!("{path} is not used, the model is packed again: {reason}")
            }
        }
        let mut weights = Weights::load(tensors, precision)?;
        if let Err(error) = self.write(&mut weights) {
            tracing::warn!("the packed weights are not kept in {path}: {error}");
        }
        Ok(weights)
    }

    /// `None` if there is no file; else the weights, or why they are not used.
    fn read(
        &self,
        tensors: &dyn Tensors,
        precision: Precision,
        pool: &Pool,
    ) -> Result<Option<Weights>, String> {
        let metadata = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| error.to_string())?,
        };
        if !metadata.is_file() {
            return Err("it is no regular file".to_owned());
        }
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        let (head, data) = self.head(&file)?;
        // Sizes are compared with what the model's configuration asks for before memory is touched.
        let weights = Weights::with_sections(tensors, precision, &head.sections);
        let mut weights = weights.map_err(|error| error.to_string())?;
        let found = read_sections(&file, data, &mut weights, pool)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        if found != head.checksum {
            return Err("its weights are damaged".to_owned());
        }
        // When it was last used decides how long it is kept; where it may not be written, others decide.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(weights))
    }

    /// The head, and where the sections begin.
    fn head(&self, file: &File) -> Result<(PackedHead, u64), String> {
        let unreadable = |error: io::Error| format!("its head cannot be read: {error}");
        let mut start = [0; 16];
        file.read_exact_at(&mut start, 0).map_err(unreadable)?;
        let mut bytes = vec![0; PackedHead::announced(&start)?];
        file.read_exact_at(&mut bytes, 0).map_err(unreadable)?;
        let head = PackedHead::parse(&bytes)?;
        if head.key != self.key {
            return Err("it is of another model or precision".to_owned());
        }
        let size = file.metadata().map_err(unreadable)?.len();
        match head.file_bytes() {
            Some(expected) if expected == size => Ok((head, bytes.len() as u64)),
            _ => Err(format!("its size of {size} bytes is not that of its sections")),
        }
    }

    /// Writes the file as a whole or not at all.
    fn write(&self, weights: &mut Weights) -> io::Result<()> {
        let sections = weights.sections_mut();
        let described =
            |(kind, bytes): &(_, &mut [u8])| Section { kind: *kind, bytes: bytes.len() };
        let pieces = sections.iter().flat_map(|(_, bytes)| bytes.chunks(PIECE_BYTES));
        let head = PackedHead {
            key: self.key,
            checksum: checksum(&pieces.map(piece_checksum).collect::<Vec<_>>()),
            sections: sections.iter().map(described).collect(),
        };
        whole_file::write(&self.path, |file| {
            file.write_all(&head.to_bytes())?;
            sections.iter().try_for_each(|(_, bytes)| file.write_all(bytes))
        })
    }
}

/// Fills the weights, every thread some pieces, and returns the checksum of what was read.
fn read_sections(file: &File, data: u64, weights: &mut Weights, pool: &Pool) -> io::Result<u64> {
    let sections = weights.sections_mut();
    let pieces = sections.iter().map(|(_, bytes)| bytes.len().div_ceil(PIECE_BYTES)).sum();
    let mut checksums = vec![0; pieces];
    let mut offset = data;
    let mut tasks = Vec::with_capacity(pieces);
    let bytes = sections.into_iter().flat_map(|(_, bytes)| bytes.chunks_mut(PIECE_BYTES));
    for (bytes, checksum) in bytes.zip(&mut checksums) {
        let length = bytes.len() as u64;
        tasks.push(Piece { offset, bytes, checksum });
        offset += length;
    }
    let failed = Mutex::new(None);
    pool.for_each(tasks, |piece: Piece<'_>| match file.read_exact_at(piece.bytes, piece.offset) {
        Ok(()) => *piece.checksum = piece_checksum(piece.bytes),
        Err(error) => {
            if let Ok(mut failed) = failed.lock() {
                *failed = Some(error);
            }
        }
    });
    match failed.into_inner() {
        Ok(None) => Ok(checksum(&checksums)),
        Ok(Some(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::Other.into()),
    }
}
