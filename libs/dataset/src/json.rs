//! Strict JSON for records: what `serde_json` would let pass silently is an error with its place
//! here.
//!
//! A record is an object without duplicate names and without integers beyond 2^53, which other
//! readers would change. NUL characters and halves of surrogate pairs are well-formed JSON that no
//! text can hold; they are reported apart from errors, since only their record is lost.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use crate::record::{Record, RecordError};

/// Deepest nesting of a record's values. Chunks wrap records twice, and `serde_json` reads back 128
/// levels.
pub const MAX_DEPTH: usize = 100;

/// The largest integer that every JSON reader keeps: 2^53.
pub const MAX_INTEGER: u64 = 1 << 53;

/// A text that is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong, for the user.
    pub message: String,
}

/// Parses one JSON object, with nothing but white space around it.
///
/// The inner result is the record, or what makes it unusable although it is well-formed.
pub fn parse_record(text: &str) -> Result<Result<Record, RecordError>, JsonError> {
    let mut parser = Parser { text, offset: 0, path: Vec::new(), defect: None };
    parser.skip_space();
    if parser.peek() != Some(b'{') {
        return Err(parser.error("expected an object, as in {\"name\": \"value\"}"));
    }
    let record = parser.object()?;
    parser.skip_space();
    if parser.offset < text.len() {
        return Err(parser.error("there is more text after the object; a line holds one record"));
    }
    Ok(match parser.defect {
        None => Ok(record),
        Some(message) => Err(RecordError { message, record }),
    })
}

/// Checks a record that was not read from JSON text (inline, Parquet) by the same rules.
///
/// The outer error refuses the source, the inner one is that record's.
pub fn check_record(record: Record) -> Result<Result<Record, RecordError>, String> {
    let mut defect = None;
    for (name, value) in &record {
        let mut path = vec![Segment::Name(name.clone())];
        if name.contains('\0') {
            defect.get_or_insert_with(|| nul(&path));
        }
        check_value(value, &mut path, &mut defect)?;
    }
    Ok(match defect {
        None => Ok(record),
        Some(message) => Err(RecordError { message, record }),
    })
}

fn check_value(
    value: &Value,
    path: &mut Vec<Segment>,
    defect: &mut Option<String>,
) -> Result<(), String> {
    if path.len() > MAX_DEPTH {
        return Err(too_deep());
    }
    match value {
        Value::String(text) if text.contains('\0') => {
            defect.get_or_insert_with(|| nul(path));
        }
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_some_and(|magnitude| magnitude > MAX_INTEGER) {
                return Err(too_large(path, &number.to_string()));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Segment::Index(index));
                check_value(item, path, defect)?;
                path.pop();
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(Segment::Name(name.clone()));
                check_value(value, path, defect)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Segment {
    Name(String),
    Index(usize),
}

struct Parser<'a> {
    text: &'a str,
    offset: usize,
    path: Vec<Segment>,
    defect: Option<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError { offset: self.offset, message: message.into() }
    }

    /// Names what stands at the current place instead of what was expected.
    fn unexpected(&self, expected: &str) -> JsonError {
        match self.text.get(self.offset..).and_then(|rest| rest.chars().next()) {
            None => self.error(format!("the line ends where {expected} was expected")),
            Some(found) => {
                self.error(format!("expected {expected}, found `{}`", found.escape_default()))
            }
        }
    }

    fn value(&mut self) -> Result<Value, JsonError> {
        if self.path.len() > MAX_DEPTH {
            return Err(self.error(too_deep()));
        }
        match self.peek() {
            Some(b'{') => self.object().map(Value::Object),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        if !self.text.as_bytes()[self.offset..].starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.offset += word.len();
        Ok(value)
    }

    fn object(&mut self) -> Result<Record, JsonError> {
        let mut fields = Map::new();
        self.offset += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.offset += 1;
            return Ok(fields);
        }
        loop {
            self.skip_space();
            let start = self.offset;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a field name in double quotes"));
            }
            let name = self.string()?;
            if fields.contains_key(&name) {
                self.offset = start;
                return Err(self.error(format!("field `{}` is there twice", name.escape_debug())));
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.offset += 1;
            self.skip_space();
            self.path.push(Segment::Name(name.clone()));
            let value = self.value()?;
            self.path.pop();
            fields.insert(name, value);
            if !self.next_item(b'}', "`,` or `}`")? {
                return Ok(fields);
            }
        }
    }

    fn array(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.offset += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.offset += 1;
            return Ok(Value::Array(items));
        }
        loop {
            self.skip_space();
            self.path.push(Segment::Index(items.len()));
            items.push(self.value()?);
            self.path.pop();
            if !self.next_item(b']', "`,` or `]`")? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// Whether a comma follows (true) or the end of the object or array (false).
    fn next_item(&mut self, end: u8, expected: &str) -> Result<bool, JsonError> {
        self.skip_space();
        let more = match self.peek() {
            Some(b',') => true,
            Some(byte) if byte == end => false,
            _ => return Err(self.unexpected(expected)),
        };
        self.offset += 1;
        Ok(more)
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.offset;
        let bytes = self.text.as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = start + usize::from(bytes[start] == b'-');
        let whole = digits(end);
        let mut valid = whole > 0 && (whole == 1 || bytes[end] != b'0');
        end += whole;
        let mut is_integer = true;
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            (valid, is_integer, end) = (valid && fraction > 0, false, end + 1 + fraction);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            end += 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            (valid, is_integer, end) = (valid && exponent > 0, false, end + exponent);
        }
        let literal = &self.text[start..end];
        if !valid {
            return Err(self.error(format!("`{literal}` is no JSON number")));
        }
        self.offset = end;
        let number = if is_integer && literal != "-0" {
            let integer = literal.parse::<i64>().ok().filter(|n| n.unsigned_abs() <= MAX_INTEGER);
            integer.map(Number::from)
        } else {
            literal.parse().ok().and_then(Number::from_f64)
        };
        number
            .map(Value::Number)
            .ok_or_else(|| JsonError { offset: start, message: too_large(&self.path, literal) })
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.offset;
        self.offset += 1;
        let mut string = String::new();
        loop {
            let plain = self.offset;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.offset += 1;
            }
            string.push_str(&self.text[plain..self.offset]);
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(string);
                }
                Some(b'\\') => self.escape(&mut string)?,
                Some(0) => {
                    self.offset += 1;
                    string.push('\0');
                    self.note_nul();
                }
                Some(_) => {
                    return Err(self.unexpected("an escape such as \\n for a control character"));
                }
                None => {
                    self.offset = start;
                    return Err(self
                        .error("a string is left open: its closing `\"` is missing on this line"));
                }
            }
        }
    }

    fn escape(&mut self, string: &mut String) -> Result<(), JsonError> {
        let start = self.offset;
        let escape = self.text.as_bytes().get(start + 1).copied();
        self.offset += 2;
        string.push(match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.unicode_escape(start)?,
            _ => {
                self.offset = start;
                return Err(self.error(
                    "unknown escape; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u0000",
                ));
            }
        });
        Ok(())
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let unit = self.hex_digits().ok_or_else(|| JsonError {
            offset: start,
            message: "expected four hexadecimal digits after \\u".into(),
        })?;
        if let high @ 0xd800..=0xdbff = unit
            && self.text[self.offset..].starts_with("\\u")
        {
            let after_high = self.offset;
            self.offset += 2;
            if let Some(low @ 0xdc00..=0xdfff) = self.hex_digits() {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.offset = after_high;
        }
        if unit == 0 {
            self.note_nul();
        }
        Ok(char::from_u32(unit).unwrap_or_else(|| {
            let field = path_text(&self.path);
            self.defect.get_or_insert_with(|| {
                format!("{field} holds \\u{unit:04x}, half of a surrogate pair, which is no character; remove it")
            });
            char::REPLACEMENT_CHARACTER
        }))
    }

    fn hex_digits(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.offset..self.offset + 4)?;
        let value = digits
            .iter()
            .try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))?;
        self.offset += 4;
        Some(value)
    }

    fn note_nul(&mut self) {
        let path = &self.path;
        self.defect.get_or_insert_with(|| nul(path));
    }
}

fn nul(path: &[Segment]) -> String {
    format!("{} holds a NUL character (U+0000), which no prompt can; remove it", path_text(path))
}

fn too_large(path: &[Segment], literal: &str) -> String {
    let literal: String = literal.chars().take(40).collect();
    let field = path_text(path);
    format!(
        "{field} is {literal}, beyond 2^53 = 9007199254740992, where JSON readers round; write it as a string"
    )
}

fn too_deep() -> String {
    format!("values are nested deeper than {MAX_DEPTH} levels; flatten them")
}

fn path_text(path: &[Segment]) -> String {
    if path.is_empty() {
        return "a field name".into();
    }
    let mut text = String::from("field `");
    for (position, segment) in path.iter().enumerate() {
        let _ = match segment {
            Segment::Name(name) if position == 0 => write!(text, "{}", name.escape_debug()),
            Segment::Name(name) => write!(text, ".{}", name.escape_debug()),
            Segment::Index(index) => write!(text, "[{index}]"),
        };
    }
    text.push('`');
    text
}
