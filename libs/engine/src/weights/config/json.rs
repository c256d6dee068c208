//! A JSON object with typed getters whose errors name the file, the field, what was found and what is needed.

use serde_json::{Map, Value};

use super::super::WeightsError;

/// A parsed JSON object of a model directory.
#[derive(Debug, Clone)]
pub(in super::super) struct Json {
    file: String,
    fields: Map<String, Value>,
}

impl Json {
    /// Parses `bytes`; the file's name is for messages.
    pub(in super::super) fn parse(file: &str, bytes: &[u8]) -> Result<Json, WeightsError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Json { file: file.to_owned(), fields }),
            Ok(_) => Err(WeightsError::config(file, "document", "is no JSON object")),
            Err(error) => {
                Err(WeightsError::config(file, "document", format!("is no valid JSON: {error}")))
            }
        }
    }

    pub(in super::super) fn file(&self) -> &str {
        &self.file
    }

    /// The value, `null` counting as absent.
    pub(in super::super) fn value(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// Whether the field is there, even as `null`.
    pub(in super::super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    pub(in super::super) fn unsigned(&self, key: &str) -> Result<Option<u64>, WeightsError> {
        self.get(key, "a non-negative integer", Value::as_u64)
    }

    pub(in super::super) fn float(&self, key: &str) -> Result<Option<f64>, WeightsError> {
        self.get(key, "a number", Value::as_f64)
    }

    pub(in super::super) fn boolean(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        self.get(key, "true or false", Value::as_bool)
    }

    pub(in super::super) fn string(&self, key: &str) -> Result<Option<&str>, WeightsError> {
        self.get(key, "a string", Value::as_str)
    }

    /// An object inside this one; its errors name both keys.
    pub(in super::super) fn object(&self, key: &str) -> Result<Option<Json>, WeightsError> {
        let fields = self.get(key, "an object", Value::as_object)?;
        let file = format!("{}: {key}", self.file);
        Ok(fields.map(|fields| Json { file, fields: fields.clone() }))
    }

    pub(in super::super) fn missing(&self, key: &str) -> WeightsError {
        WeightsError::config(&self.file, key, "missing")
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        needed: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => {
                let reason = format!("is {}, but {needed} is needed", shown(value));
                Err(WeightsError::config(&self.file, key, reason))
            }
        }
    }
}

/// A value as a message shows it, shortened.
pub(in super::super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 60 => "a long string".to_owned(),
        other => other.to_string(),
    }
}
