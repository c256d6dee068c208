//! What reading a model can meet, in words for the user: which file, where, what was found, what is allowed.

use std::io;

/// What [`ModelFiles::open`](super::ModelFiles::open) and its readers can meet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused to open or read a file.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The path names something that is no model, or not exactly one.
    #[error("{path} is not a model that can be read: {reason}")]
    NotAModel {
        /// The path given.
        path: String,
        /// What it is, and what would be accepted.
        reason: String,
    },
    /// A file exceeds a limit that is checked before it is read.
    #[error("{file} is {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file breaks its own format: truncated, corrupted or crafted.
    #[error("{file} is damaged at byte {offset}: {reason}; download it again")]
    Damaged {
        /// The file.
        file: String,
        /// Where the fault was met.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A field of `config.json`, of another JSON file or of GGUF metadata is missing, out of range or not supported.
    #[error("{file}: {key}: {reason}")]
    Config {
        /// The file.
        file: String,
        /// The field.
        key: String,
        /// What was found and what is allowed.
        reason: String,
    },
    /// A tensor is missing, has another shape than the configuration says, or a type that cannot be read.
    #[error("{file}: tensor {tensor}: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor's name in the file.
        tensor: String,
        /// What was found and what is allowed.
        reason: String,
    },
}

impl WeightsError {
    /// The kind of error as one word, for conditions, events and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            WeightsError::Io { .. } => "ModelUnreadable",
            WeightsError::NotAModel { .. } => "NotAModel",
            WeightsError::TooLarge { .. } => "ModelFileTooLarge",
            WeightsError::Damaged { .. } => "ModelDamaged",
            WeightsError::Config { .. } => "ModelConfigInvalid",
            WeightsError::Tensor { .. } => "ModelTensorInvalid",
        }
    }

    pub(super) fn config(file: &str, key: &str, reason: impl Into<String>) -> WeightsError {
        let (key, reason) = (printable(key), printable(&reason.into()));
        WeightsError::Config { file: file.to_owned(), key, reason }
    }

    pub(super) fn tensor(file: &str, tensor: &str, reason: impl Into<String>) -> WeightsError {
        let (tensor, reason) = (printable(tensor), printable(&reason.into()));
        WeightsError::Tensor { file: file.to_owned(), tensor, reason }
    }

    pub(super) fn damaged(file: &str, offset: u64, reason: impl Into<String>) -> WeightsError {
        WeightsError::Damaged { file: file.to_owned(), offset, reason: printable(&reason.into()) }
    }
}

/// Names and values come from untrusted files and end on terminals: control characters and marks of writing direction
/// are escaped, and long texts cut.
fn printable(text: &str) -> String {
    const LIMIT: usize = 500;
    let mut shown = String::new();
    for character in text.chars().take(LIMIT) {
        let steers = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || steers {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(LIMIT).is_some() {
        shown.push('…');
    }
    shown
}
