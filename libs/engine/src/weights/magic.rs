//! What a file is that is not the expected one: names the format by its first bytes, and refuses pickle.

use super::safetensors::is_safetensors;

/// Bytes that [`describe`] looks at.
pub(super) const SHOWN_BYTES: u64 = 64;

/// Why pickle is refused.
pub(super) const PICKLE_REFUSED: &str = "pickle checkpoints run code when they are loaded and are refused; \
     convert the model to safetensors or GGUF";

/// Says what a file is by its first bytes, as the end of a sentence that starts with "it should …, but".
pub(super) fn describe(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
    if start.is_empty() {
        "it is empty".to_owned()
    } else if is_pickle(start) {
        format!("it is a pickle or ZIP archive: {PICKLE_REFUSED}")
    } else if text.starts_with("version https://git-lfs") {
        "it is a Git LFS pointer, not the file itself: run `git lfs pull`".to_owned()
    } else if text.starts_with("<!doctype")
        || text.starts_with("<html")
        || text.starts_with("<?xml")
    {
        "it is a web page: the download got an error or login page".to_owned()
    } else if start.starts_with(b"GGUF") {
        "it is a GGUF: give it the extension .gguf".to_owned()
    } else if start.starts_with(b"ggml") || start.starts_with(b"lmgg") || start.starts_with(b"tjgg")
    {
        "it is a GGML file of before GGUF: convert it to GGUF".to_owned()
    } else if start.starts_with(&[0x1f, 0x8b]) {
        "it is compressed with gzip: unpack it first".to_owned()
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        "it is compressed with zstd: unpack it first".to_owned()
    } else if start.starts_with(&[0x89, b'H', b'D', b'F']) {
        "it is an HDF5 file (Keras): convert it to safetensors".to_owned()
    } else if is_safetensors(start) {
        "it is a safetensors file: give it the extension .safetensors".to_owned()
    } else if text.starts_with('{') {
        "it is JSON".to_owned()
    } else {
        format!(
            "it begins with {}",
            start.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>()
        )
    }
}

/// PyTorch's checkpoints: a ZIP archive, or a bare pickle of protocol 2 to 5.
fn is_pickle(start: &[u8]) -> bool {
    let pickle = matches!(start, [0x80, 2..=5, ..]) && !is_safetensors(start); // a header may have 640 bytes, 0x280
    pickle || start.starts_with(b"PK\x03\x04")
}
