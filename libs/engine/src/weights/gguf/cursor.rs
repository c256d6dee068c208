//! A reading position in a GGUF header: every length is checked against the bytes that remain before it is used.

use super::super::WeightsError;
use super::super::source::{ReadAt, read_exact};

/// Longest header (metadata and tensor list) that is read: a vocabulary of a million tokens takes some 60 MB.
pub(super) const MAX_HEADER_BYTES: u64 = 256 << 20;

const WINDOW_BYTES: u64 = 1 << 20;

pub(super) struct Cursor<'a> {
    source: &'a dyn ReadAt,
    /// Bytes `start..start + window.len()` of the source.
    window: Vec<u8>,
    start: u64,
    position: u64,
    end: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a dyn ReadAt) -> Cursor<'a> {
        let end = source.size().min(MAX_HEADER_BYTES);
        Cursor { source, window: Vec::new(), start: 0, position: 0, end }
    }

    /// The same header, at another position.
    pub(super) fn restart(&self, position: u64) -> Cursor<'a> {
        Cursor { position: position.min(self.end), ..Cursor::new(self.source) }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that the header may still take.
    pub(super) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> WeightsError {
        WeightsError::damaged(self.source.name(), self.position, reason)
    }

    /// The next `count` bytes; `what` names them in the error.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&[u8], WeightsError> {
        if count > self.remaining() {
            let whole = self.end == self.source.size();
            let limit = if whole {
                "before the file ends"
            } else {
                "before the 256 MiB that a header may have"
            };
            let reason =
                format!("{what} needs {count} bytes, but {} remain {limit}", self.remaining());
            return Err(self.damaged(reason));
        }
        if self.position + count > self.start + self.window.len() as u64 {
            let bytes = count.max(WINDOW_BYTES).min(self.remaining());
            self.window.resize(bytes as usize, 0);
            self.start = self.position;
            read_exact(self.source, self.start, &mut self.window)?;
        }
        let first = (self.position - self.start) as usize;
        self.position += count;
        Ok(&self.window[first..first + count as usize])
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], WeightsError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, what)?);
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length and as many bytes of UTF-8.
    pub(super) fn string(&mut self, limit: u64, what: &str) -> Result<String, WeightsError> {
        let length = self.u64(what)?;
        if length > limit {
            return Err(
                self.damaged(format!("{what} is {length} bytes long; at most {limit} are allowed"))
            );
        }
        let start = self.position;
        let text = std::str::from_utf8(self.take(length, what)?).map(str::to_owned);
        text.map_err(|error| {
            let reason = format!("{what} is not UTF-8");
            WeightsError::damaged(self.source.name(), start + error.valid_up_to() as u64, reason)
        })
    }

    /// A count of things that take at least `min_bytes` each, checked against `limit` and the bytes that remain.
    pub(super) fn check_count(
        &self,
        count: u64,
        min_bytes: u64,
        limit: u64,
        what: &str,
    ) -> Result<usize, WeightsError> {
        if count > limit {
            return Err(self.damaged(format!("{count} {what}; at most {limit} are allowed")));
        }
        let needed = count.checked_mul(min_bytes);
        if needed.is_none_or(|bytes| bytes > self.remaining()) {
            let reason = format!(
                "{count} {what} cannot fit into the {} bytes that remain",
                self.remaining()
            );
            return Err(self.damaged(reason));
        }
        Ok(count as usize)
    }
}
