//! Reader of GGUF versions 2 and 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>). The bytes are
//! untrusted: counts, lengths, offsets and products are checked before they are used.

mod cursor;
mod metadata;
mod tensors;

use std::sync::Arc;

use super::WeightsError;
use super::magic;
use super::source::ReadAt;
use super::table::TensorTable;
use cursor::Cursor;

pub use metadata::Metadata;

const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 20;

/// A GGUF whose header has been read and checked; its tensors' bytes stay in the source.
#[derive(Clone)]
pub struct Gguf {
    source: Arc<dyn ReadAt>,
    version: u32,
    metadata: Metadata,
    tensors: TensorTable,
}

impl Gguf {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`WeightsError::NotAModel`] for another format or version, [`WeightsError::Damaged`] for one that breaks the
    /// format, [`WeightsError::Tensor`] for a tensor of a type that the format does not define.
    pub fn parse(source: Arc<dyn ReadAt>) -> Result<Gguf, WeightsError> {
        let name = source.name().to_owned();
        let mut cursor = Cursor::new(source.as_ref());
        let version = read_version(&mut cursor, &name)?;
        let tensor_count = cursor.u64("the number of tensors")?;
        let entry_count = cursor.u64("the number of metadata entries")?;
        let metadata = Metadata::read(&mut cursor, &name, entry_count)?;
        let alignment = alignment(&metadata)?;
        let tensors = tensors::read(&mut cursor, &name, tensor_count, alignment, source.size())?;
        Ok(Gguf { source, version, metadata, tensors })
    }

    /// Format version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key-value part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors.
    pub fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    /// Where the bytes are.
    pub fn source(&self) -> &Arc<dyn ReadAt> {
        &self.source
    }
}

fn read_version(cursor: &mut Cursor<'_>, name: &str) -> Result<u32, WeightsError> {
    let not_a_model = |reason: String| WeightsError::NotAModel { path: name.to_owned(), reason };
    let shown = cursor.remaining().min(magic::SHOWN_BYTES);
    let start = cursor.take(shown, "the file's start")?.to_vec();
    if !start.starts_with(b"GGUF") {
        return Err(not_a_model(format!(
            "it should begin with \"GGUF\", but {}",
            magic::describe(&start)
        )));
    }
    *cursor = cursor.restart(4);
    match cursor.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        version if matches!(version.swap_bytes(), 1..=3) => {
            Err(not_a_model("it is a big-endian GGUF; only little-endian ones are read".to_owned()))
        }
        version => Err(not_a_model(format!(
            "it is a GGUF of version {version}; versions 2 and 3 are read"
        ))),
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, WeightsError> {
    let key = "general.alignment";
    let alignment = metadata.unsigned(key)?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
        let reason =
            format!("is {alignment}, but a power of two from 1 to {MAX_ALIGNMENT} is needed");
        return Err(WeightsError::config(metadata.file(), key, reason));
    }
    Ok(alignment)
}
