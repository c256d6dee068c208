//! Comma-separated values as RFC 4180 has them: a header line, then records whose values are strings.
//!
//! Written here because the `csv` crate neither refuses a quote that is left open nor bounds the length of a record;
//! the tests hold both readers against each other.

use std::collections::HashMap;
use std::io::BufRead;
use std::ops::Range;

use serde_json::{Map, Value};

use super::error::{Position, SourceError, utf8};
use super::{Item, Limits};
use crate::record::RecordError;

/// Reads records; blank lines are skipped, lines end in LF, CRLF or CR.
pub(super) struct CsvReader<R> {
    lines: RawRecords<R>,
    header: Option<Vec<String>>,
}

impl<R: BufRead> CsvReader<R> {
    pub(super) fn new(input: R, name: String, limits: Limits) -> Self {
        let lines = RawRecords {
            input,
            name,
            limits,
            next: Position::START,
            after_cr: false,
            start: Position::START,
            raw: Vec::new(),
            fields: Vec::new(),
        };
        Self { lines, header: None }
    }

    fn read_header(&mut self) -> Result<Option<Vec<String>>, SourceError> {
        if !self.lines.read()? {
            return Ok(None);
        }
        let names = self.lines.values()?;
        let mut seen = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            let error =
                |message: String| Err(self.lines.position(index).error(&self.lines.name, message));
            if name.is_empty() {
                return error(format!("column {} of the header has no name", index + 1));
            }
            if name.contains('\0') {
                return error(format!("the name of column {} holds a NUL character", index + 1));
            }
            if let Some(first) = seen.insert(name.as_str(), index) {
                return error(format!(
                    "columns {} and {} are both named `{name}`",
                    first + 1,
                    index + 1
                ));
            }
        }
        Ok(Some(names))
    }

    fn read_record(&mut self) -> Result<Option<Item>, SourceError> {
        if self.header.is_none() {
            self.header = self.read_header()?;
        }
        let Some(header) = &self.header else { return Ok(None) };
        if !self.lines.read()? {
            return Ok(None);
        }
        let values = self.lines.values()?;
        if values.len() != header.len() {
            let place = self.lines.position(header.len().min(values.len() - 1));
            return Err(place.error(
                &self.lines.name,
                format!("this row has {} fields, the header has {}", values.len(), header.len()),
            ));
        }
        let nul = values.iter().position(|value| value.contains('\0'));
        let defect = nul.map(|index| {
            format!(
                "field `{}` holds a NUL character (U+0000), which no prompt can; remove it",
                header[index]
            )
        });
        let record: Map<_, _> =
            header.iter().cloned().zip(values.into_iter().map(Value::String)).collect();
        Ok(Some(match defect {
            None => Ok(record),
            Some(message) => Err(RecordError { message, record }),
        }))
    }
}

impl<R: BufRead> Iterator for CsvReader<R> {
    type Item = Result<Item, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_record().transpose()
    }
}

/// Splits the input into records and these into fields, without looking at what the fields hold.
struct RawRecords<R> {
    input: R,
    name: String,
    limits: Limits,
    /// Where the next byte stands.
    next: Position,
    /// The last record ended in CR; an LF right after it belongs to it.
    after_cr: bool,
    start: Position,
    raw: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Clone)]
struct Field {
    /// Where in the raw record, without the outer quotes.
    bytes: Range<usize>,
    quoted: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before the first byte of a field.
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: it ends the field, or the next quote doubles it.
    AfterQuote,
}

impl<R: BufRead> RawRecords<R> {
    /// Reads the next record that is not a blank line; false at the end.
    fn read(&mut self) -> Result<bool, SourceError> {
        loop {
            self.start = self.next;
            self.raw.clear();
            self.fields.clear();
            let at_end = self.read_line()?;
            let is_blank =
                matches!(&self.fields[..], [only] if only.bytes.is_empty() && !only.quoted);
            if !is_blank {
                return Ok(true);
            }
            if at_end {
                return Ok(false);
            }
        }
    }

    /// Reads up to the end of one record; returns whether the input ended.
    fn read_line(&mut self) -> Result<bool, SourceError> {
        let (mut state, mut field) = (State::FieldStart, 0);
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(SourceError::Read { path: self.name.clone(), source }),
            };
            if available.is_empty() {
                return self.end(state, field).map(|()| true);
            }
            let mut used = 0;
            let mut ended = None;
            for &byte in available {
                used += 1;
                if std::mem::take(&mut self.after_cr) && byte == b'\n' && self.raw.is_empty() {
                    continue;
                }
                if state != State::Quoted && matches!(byte, b'\n' | b'\r') {
                    ended = Some(byte);
                    break;
                }
                self.raw.push(byte);
                if self.raw.len() > self.limits.record_bytes {
                    break;
                }
                let end = self.raw.len();
                state = match (state, byte) {
                    (State::Quoted, b'"') => State::AfterQuote,
                    (State::AfterQuote, b'"') | (State::Quoted, _) => State::Quoted,
                    (State::FieldStart, b'"') => {
                        field = end;
                        State::Quoted
                    }
                    (_, b',') => {
                        self.fields.push(Field::new(field, end - 1, state));
                        field = end;
                        State::FieldStart
                    }
                    (State::AfterQuote, _) => {
                        let place = self.start.after(&self.raw[..end - 1]);
                        return Err(place.error(&self.name, "text after a closing quote; double a quote that belongs to the text (\"\")"));
                    }
                    _ => State::Unquoted,
                };
            }
            self.input.consume(used);
            self.check_limits(state, field)?;
            if let Some(byte) = ended {
                self.end(state, field)?;
                self.after_cr = byte == b'\r';
                self.next = Position { line: self.next.line + 1, column: 1 };
                return Ok(false);
            }
        }
    }

    fn check_limits(&self, state: State, field: usize) -> Result<(), SourceError> {
        if self.raw.len() > self.limits.record_bytes {
            let limit = self.limits.record_bytes;
            return Err(if state == State::Quoted {
                self.open_quote(field)
            } else {
                self.start.error(&self.name, format!("the row is longer than {limit} bytes"))
            });
        }
        if self.fields.len() > self.limits.fields {
            let limit = self.limits.fields;
            return Err(self
                .start
                .error(&self.name, format!("the row has more than {limit} fields")));
        }
        Ok(())
    }

    fn open_quote(&self, field: usize) -> SourceError {
        let place = self.start.after(&self.raw[..field - 1]);
        place.error(&self.name, "a quote is opened here and never closed")
    }

    fn end(&mut self, state: State, field: usize) -> Result<(), SourceError> {
        if state == State::Quoted {
            return Err(self.open_quote(field));
        }
        self.fields.push(Field::new(field, self.raw.len(), state));
        self.next = self.start.after(&self.raw);
        Ok(())
    }

    fn position(&self, field: usize) -> Position {
        let start = self
            .fields
            .get(field)
            .map_or(self.raw.len(), |f| f.bytes.start - usize::from(f.quoted));
        self.start.after(&self.raw[..start])
    }

    /// The record's values, quotes resolved.
    fn values(&self) -> Result<Vec<String>, SourceError> {
        let raw = utf8(&self.raw, self.start, &self.name)?;
        Ok(self
            .fields
            .iter()
            .map(|field| {
                let text = &raw[field.bytes.clone()];
                if field.quoted { text.replace("\"\"", "\"") } else { text.to_owned() }
            })
            .collect())
    }
}

impl Field {
    fn new(start: usize, end: usize, state: State) -> Self {
        let quoted = state == State::AfterQuote;
        Self { bytes: start..end - usize::from(quoted), quoted }
    }
}
