//! GGUF metadata: keys and typed values, read with limits, and getters that say what was found and what is needed.

use std::collections::HashMap;

use super::super::WeightsError;
use super::cursor::Cursor;

const MAX_KEY_BYTES: u64 = 65_535;
const MAX_STRING_BYTES: u64 = 16 << 20;
const MAX_ARRAY_LENGTH: u64 = 1 << 24;
/// Key length, one byte of key, value type, one byte of value.
const MIN_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;
const MAX_ENTRIES: u64 = 1 << 16;

/// GGUF's scalar types, by their numbers in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;

impl Scalar {
    fn from_id(id: u32) -> Option<Scalar> {
        Some(match id {
            0 => Scalar::U8,
            1 => Scalar::I8,
            2 => Scalar::U16,
            3 => Scalar::I16,
            4 => Scalar::U32,
            5 => Scalar::I32,
            6 => Scalar::F32,
            7 => Scalar::Bool,
            10 => Scalar::U64,
            11 => Scalar::I64,
            12 => Scalar::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 | Scalar::Bool => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }

    /// Decodes exactly [`Scalar::bytes`] bytes; `None` for a boolean that is neither 0 nor 1, or another length.
    fn decode(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Scalar::U8 => Value::Integer(u8::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::I8 => Value::Integer(i8::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::U16 => Value::Integer(u16::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::I16 => Value::Integer(i16::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::U32 => Value::Integer(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::I32 => Value::Integer(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::U64 => Value::Integer(u64::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::I64 => Value::Integer(i64::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::F32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            Scalar::F64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            Scalar::Bool => match bytes {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
        })
    }
}

/// A metadata value. Arrays of numbers stay as bytes until asked for.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    Numbers(Scalar, Vec<u8>),
}

impl Value {
    fn describe(&self) -> String {
        match self {
            Value::Integer(number) => format!("the integer {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Bool(truth) => format!("the boolean {truth}"),
            Value::String(_) => "a string".to_owned(),
            Value::Strings(strings) => format!("an array of {} strings", strings.len()),
            Value::Numbers(scalar, bytes) => {
                format!("an array of {} numbers", bytes.len() / scalar.bytes())
            }
        }
    }
}

/// The key-value part of a GGUF.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    file: String,
    values: HashMap<String, Value>,
}

impl Metadata {
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        file: &str,
        count: u64,
    ) -> Result<Metadata, WeightsError> {
        let count = cursor.check_count(count, MIN_ENTRY_BYTES, MAX_ENTRIES, "metadata entries")?;
        let mut values = HashMap::with_capacity(count);
        for _ in 0..count {
            let key = cursor.string(MAX_KEY_BYTES, "a metadata key")?;
            let value = read_value(cursor, &key)?;
            if values.contains_key(&key) {
                return Err(cursor.damaged(format!("metadata key {key:?} appears twice")));
            }
            values.insert(key, value);
        }
        Ok(Metadata { file: file.to_owned(), values })
    }

    /// Whether the key is there, whatever its type.
    pub fn contains(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A non-negative integer.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, WeightsError> {
        self.get(key, "a non-negative integer", |value| match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A number; an integer is taken as one.
    pub fn float(&self, key: &str) -> Result<Option<f64>, WeightsError> {
        self.get(key, "a number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        })
    }

    /// A boolean.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        self.get(key, "a boolean", |value| match value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        })
    }

    /// A string.
    pub fn string(&self, key: &str) -> Result<Option<&str>, WeightsError> {
        self.get(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&[String]>, WeightsError> {
        self.get(key, "an array of strings", |value| match value {
            Value::Strings(strings) => Some(strings.as_slice()),
            // An empty array may have been written with any element type.
            Value::Numbers(_, bytes) if bytes.is_empty() => Some(&[]),
            _ => None,
        })
    }

    /// An array of integers that fit into 32 bits.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i32>>, WeightsError> {
        self.get(key, "an array of 32-bit integers", |value| match value {
            Value::Numbers(scalar, bytes) => bytes
                .chunks_exact(scalar.bytes())
                .map(|bytes| match scalar.decode(bytes) {
                    Some(Value::Integer(number)) => i32::try_from(number).ok(),
                    _ => None,
                })
                .collect(),
            _ => None,
        })
    }

    /// The error of a key that is needed and not there.
    pub fn missing(&self, key: &str) -> WeightsError {
        WeightsError::config(&self.file, key, "missing in the metadata")
    }

    /// Every key whose value is read is named by its file in errors.
    pub fn file(&self) -> &str {
        &self.file
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        needed: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => {
                let reason = format!("is {}, but {needed} is needed", value.describe());
                Err(WeightsError::config(&self.file, key, reason))
            }
        }
    }
}

fn read_value(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, WeightsError> {
    match cursor.u32("a value type")? {
        STRING => Ok(Value::String(cursor.string(MAX_STRING_BYTES, key)?)),
        ARRAY => read_array(cursor, key),
        id => {
            let scalar = scalar(cursor, id, key)?;
            let bytes = cursor.take(scalar.bytes() as u64, key)?;
            let value = scalar.decode(bytes);
            value.ok_or_else(|| {
                cursor.damaged(format!("{key} is a boolean that is neither 0 nor 1"))
            })
        }
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, WeightsError> {
    let id = cursor.u32("an array's element type")?;
    let length = cursor.u64("an array's length")?;
    match id {
        ARRAY => {
            Err(cursor.damaged(format!("{key} is an array of arrays, which is not supported")))
        }
        STRING => {
            let length = cursor.check_count(length, 8, MAX_ARRAY_LENGTH, "strings of an array")?;
            let mut strings = Vec::with_capacity(length);
            for _ in 0..length {
                strings.push(cursor.string(MAX_STRING_BYTES, key)?);
            }
            Ok(Value::Strings(strings))
        }
        id => {
            let scalar = scalar(cursor, id, key)?;
            let size = scalar.bytes() as u64;
            let length =
                cursor.check_count(length, size, MAX_ARRAY_LENGTH, "numbers of an array")?;
            Ok(Value::Numbers(scalar, cursor.take(length as u64 * size, key)?.to_vec()))
        }
    }
}

fn scalar(cursor: &Cursor<'_>, id: u32, key: &str) -> Result<Scalar, WeightsError> {
    Scalar::from_id(id)
        .ok_or_else(|| cursor.damaged(format!("{key} has value type {id}; known are 0 to 12")))
}
