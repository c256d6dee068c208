//! Why a source cannot be read.

use std::io;

use crate::store::StoreError;

/// A source that cannot be used. Every variant names the place.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SourceError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{path}` leads out of `{base}` through a symbolic link; remove the link")]
    Outside { path: String, base: String },
    #[error("no file matches `{pattern}` in `{base}`")]
    NoMatch { pattern: String, base: String },
    #[error("`{pattern}` is no glob: {why}")]
    Pattern { pattern: String, why: String },
    #[error("`{path}` is a directory; name its files, as in `{path}/*.jsonl`")]
    Directory { path: String },
    #[error(
        "`{name}`: the format cannot be told from the name; set `format` to CSV, JSONL or Parquet \
         (known endings: .csv, .jsonl, .ndjson, .parquet; all but the last also with .gz or .zst)"
    )]
    UnknownFormat { name: String },
    #[error("`{name}` is not {expected}, although its name says so")]
    NotCompressed { name: String, expected: &'static str },
    #[error("{name}:{line}:{column}: {message}")]
    Text { name: String, line: u64, column: u64, message: String },
    #[error("{name}, record {index}: {message}")]
    Record { name: String, index: u64, message: String },
    #[error("{name}: {message}")]
    Parquet { name: String, message: String },
    #[error("`{name}` has no records")]
    Empty { name: String },
    #[error("offset {offset} leaves nothing: `{name}` has {records} records")]
    Offset { name: String, offset: u64, records: u64 },
}

/// A place in a text, both counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// The place behind these bytes. A CR, an LF or both end a line.
    pub(crate) fn after(mut self, bytes: &[u8]) -> Self {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if index > 0 && bytes[index - 1] == b'\r' => {}
                b'\n' | b'\r' => self = Self { line: self.line + 1, column: 1 },
                // Bytes that continue a UTF-8 character.
                0x80..=0xbf => {}
                _ => self.column += 1,
            }
        }
        self
    }

    pub(crate) fn error(self, name: &str, message: impl Into<String>) -> SourceError {
        let Self { line, column } = self;
        SourceError::Text { name: name.into(), line, column, message: message.into() }
    }
}

/// Text of bytes, or an error that names the first one that is no UTF-8.
pub(crate) fn utf8<'b>(
    bytes: &'b [u8],
    start: Position,
    name: &str,
) -> Result<&'b str, SourceError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = error.valid_up_to();
        let byte = bytes.get(valid).copied().unwrap_or_default();
        let message = format!(
            "byte 0x{byte:02X} is not UTF-8; if the file is Latin-1, convert it: iconv -f latin1 -t utf-8"
        );
        start.after(&bytes[..valid]).error(name, message)
    })
}
