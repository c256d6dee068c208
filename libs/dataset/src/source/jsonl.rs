//! JSON Lines: one object a line.

use std::io::{BufRead, Read};

use super::error::{Position, SourceError, utf8};
use super::{Item, Limits};
use crate::json;

/// Reads records line by line; blank lines are skipped.
pub(super) struct JsonlReader<R> {
    input: R,
    name: String,
    limits: Limits,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> JsonlReader<R> {
    pub(super) fn new(input: R, name: String, limits: Limits) -> Self {
        Self { input, name, limits, line: 0, buffer: Vec::new() }
    }

    fn read_line(&mut self) -> Result<bool, SourceError> {
        self.buffer.clear();
        self.line += 1;
        let limit = self.limits.record_bytes as u64;
        let read =
            self.input.by_ref().take(limit.saturating_add(1)).read_until(b'\n', &mut self.buffer);
        read.map_err(|source| SourceError::Read { path: self.name.clone(), source })?;
        if self.buffer.len() as u64 > limit {
            return Err(self
                .start()
                .error(&self.name, format!("the line is longer than {limit} bytes")));
        }
        Ok(!self.buffer.is_empty())
    }

    fn start(&self) -> Position {
        Position { line: self.line, column: 1 }
    }

    fn parse(&self) -> Result<Option<Item>, SourceError> {
        let bytes = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let text = utf8(bytes, self.start(), &self.name)?;
        json::parse_record(text).map(Some).map_err(|error| {
            // Counted here rather than by `Position::after`: a lone CR inside a line ends no line
            // of JSONL.
            let column = text.get(..error.offset).unwrap_or(text).chars().count() as u64 + 1;
            Position { line: self.line, column }.error(&self.name, error.message)
        })
    }
}

impl<R: BufRead> Iterator for JsonlReader<R> {
    type Item = Result<Item, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
            if let Some(item) = self.parse().transpose() {
                return Some(item);
            }
        }
    }
}
