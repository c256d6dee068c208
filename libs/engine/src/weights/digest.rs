//! The model digest: SHA-256 over one line per part, `<role> <SHA-256 of the part, lower-case hex>\n`, the lines sorted
//! by their bytes. Roles are `weights-1`, `weights-2` … (weight files in name order), `config` (bytes of
//! `config.json`), `tokenizer` (bytes of `tokenizer.json`) and `chatTemplate` (text of the template). A GGUF holds all
//! of them and has the one line `weights-1`. Paths are never part of it. The result reads `sha256:<hex>`.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::WeightsError;
use super::source::{ReadAt, read_exact};

/// Bytes hashed at a time.
const BLOCK_BYTES: u64 = 4 << 20;

/// SHA-256 of a whole source, lower-case hex.
///
/// # Errors
/// [`WeightsError::Io`].
pub fn sha256_of(source: &dyn ReadAt) -> Result<String, WeightsError> {
    let mut hash = Sha256::new();
    let mut offset = 0;
    let mut buffer = vec![0; BLOCK_BYTES.min(source.size()) as usize];
    while offset < source.size() {
        let block = (source.size() - offset).min(BLOCK_BYTES);
        let block = &mut buffer[..block as usize];
        read_exact(source, offset, block)?;
        hash.update(&*block);
        offset += block.len() as u64;
    }
    Ok(hex(&hash.finalize()))
}

/// SHA-256 of bytes, lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The digest of parts `(role, SHA-256 as hex)`.
pub(super) fn of_parts(parts: &[(String, String)]) -> String {
    let mut lines: Vec<String> =
        parts.iter().map(|(role, hash)| format!("{role} {hash}\n")).collect();
    lines.sort_unstable();
    format!("sha256:{}", sha256(lines.concat().as_bytes()))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}
