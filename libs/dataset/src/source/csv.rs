//! Comma-separated values as RFC 4180 has them: a header line, then records whose values are
//! strings.
//!
//! Written here because the `csv` crate neither refuses a quote that is left open nor bounds the
//! length of a record; the tests hold both readers against each other.

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
        let record = RawRecord::new();
        let lines = RawRecords { input, name, limits, after_cr: false, record };
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
    /// The last record ended in CR; an LF right after it belongs to it.
    after_cr: bool,
    record: RawRecord,
}

impl<R: BufRead> RawRecords<R> {
    /// Reads the next record that is not a blank line; false at the end.
    fn read(&mut self) -> Result<bool, SourceError> {
        loop {
            self.record.restart();
            let at_end = self.read_line()?;
            if !self.record.is_blank() {
                return Ok(true);
            }
            if at_end {
                return Ok(false);
            }
        }
    }

    /// Reads up to the end of one record; returns whether the input ended.
    fn read_line(&mut self) -> Result<bool, SourceError> {
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(SourceError::Read { path: self.name.clone(), source }),
            };
            let (mut used, mut ended) = (0, available.is_empty().then_some(None));
            for &byte in available {
                used += 1;
                if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                    continue;
                }
                if self.record.is_ended_by(byte) {
                    ended = Some(Some(byte));
                    break;
                }
                self.record.push(byte, &self.name)?;
                if self.record.raw.len() > self.limits.record_bytes {
                    break;
                }
            }
            self.input.consume(used);
            self.record.check(&self.limits, &self.name)?;
            if let Some(end) = ended {
                self.record.end(&self.name)?;
                self.after_cr = end == Some(b'\r');
                return Ok(end.is_none());
            }
        }
    }

    fn position(&self, field: usize) -> Position {
        let record = &self.record;
        let start = record.fields.get(field).map_or(record.raw.len(), Field::start);
        record.start.after(&record.raw[..start])
    }

    /// The record's values, quotes resolved.
    fn values(&self) -> Result<Vec<String>, SourceError> {
        let raw = utf8(&self.record.raw, self.record.start, &self.name)?;
        let value = |field: &Field| {
            let text = &raw[field.bytes.clone()];
            if field.quoted { text.replace("\"\"", "\"") } else { text.to_owned() }
        };
        Ok(self.record.fields.iter().map(value).collect())
    }
}

/// One record as written, and where its fields are.
struct RawRecord {
    raw: Vec<u8>,
    fields: Vec<Field>,
    /// Where the record starts, and the next one.
    start: Position,
    next: Position,
    state: State,
    /// Where in `raw` the current field starts, behind its opening quote.
    field: usize,
}

struct Field {
    /// Where in the raw record, without the outer quotes.
    bytes: Range<usize>,
    quoted: bool,
}

impl Field {
    fn start(&self) -> usize {
        self.bytes.start - usize::from(self.quoted)
    }
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

impl RawRecord {
    fn new() -> Self {
        let (start, next) = (Position::START, Position::START);
        Self {
            raw: Vec::new(),
            fields: Vec::new(),
            start,
            next,
            state: State::FieldStart,
            field: 0,
        }
    }

    fn restart(&mut self) {
        self.raw.clear();
        self.fields.clear();
        (self.start, self.state, self.field) = (self.next, State::FieldStart, 0);
    }

    fn is_ended_by(&self, byte: u8) -> bool {
        self.state != State::Quoted && matches!(byte, b'\n' | b'\r')
    }

    fn is_blank(&self) -> bool {
        matches!(&self.fields[..], [only] if only.bytes.is_empty() && !only.quoted)
    }

    /// Takes a byte that does not end the record.
    fn push(&mut self, byte: u8, name: &str) -> Result<(), SourceError> {
        self.raw.push(byte);
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::AfterQuote,
            (State::AfterQuote, b'"') | (State::Quoted, _) => State::Quoted,
            (State::FieldStart, b'"') => {
                self.field = self.raw.len();
                State::Quoted
            }
            (_, b',') => {
                self.end_field(self.raw.len() - 1);
                self.field = self.raw.len();
                State::FieldStart
            }
            (State::AfterQuote, _) => {
                let place = self.start.after(&self.raw[..self.raw.len() - 1]);
                let why =
                    "text after a closing quote; double a quote that belongs to the text (\"\")";
                return Err(place.error(name, why));
            }
            (State::FieldStart | State::Unquoted, _) => State::Unquoted,
        };
        Ok(())
    }

    fn end_field(&mut self, end: usize) {
        let quoted = self.state == State::AfterQuote;
        self.fields.push(Field { bytes: self.field..end - usize::from(quoted), quoted });
    }

    fn end(&mut self, name: &str) -> Result<(), SourceError> {
        if self.state == State::Quoted {
            return Err(self.open_quote(name));
        }
        self.end_field(self.raw.len());
        self.next = Position { line: self.start.after(&self.raw).line + 1, column: 1 };
        Ok(())
    }

    fn check(&self, limits: &Limits, name: &str) -> Result<(), SourceError> {
        let message = if self.raw.len() > limits.record_bytes {
            if self.state == State::Quoted {
                return Err(self.open_quote(name));
            }
            format!("the row is longer than {} bytes", limits.record_bytes)
        } else if self.fields.len() > limits.fields {
            format!("the row has more than {} fields", limits.fields)
        } else {
            return Ok(());
        };
        Err(self.start.error(name, message))
    }

    fn open_quote(&self, name: &str) -> SourceError {
        let place = self.start.after(&self.raw[..self.field - 1]);
        place.error(name, "a quote is opened here and never closed")
    }
}
