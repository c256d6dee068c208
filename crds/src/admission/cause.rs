//! One reason why an object is refused, in the API server's words. No I/O.

use std::fmt;

use serde_json::Value;

use super::suggest::closest;

/// The API server's note that CEL rules were left out.
pub(super) const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// The longest value that a message repeats.
const MAX_SHOWN_CHARS: usize = 80;

/// One reason why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The field, as `spec.columns[0].name`; empty for the object itself.
    pub path: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
    /// Which check refused it.
    pub kind: CauseKind,
}

/// Which check refused a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseKind {
    /// A value outside its range, pattern or rule.
    Invalid,
    /// A value of the wrong type.
    Type,
    /// A missing field.
    Required,
    /// A value that is none of the allowed ones.
    NotSupported,
    /// A text, list or map above its bound.
    TooLong,
    /// Two list entries of one key.
    Duplicate,
    /// A field that the schema does not know.
    UnknownField,
    /// Not a refusal of its own: rules were not checked because of the others.
    Skipped,
}

impl CauseKind {
    /// Whether CEL rules cannot be evaluated beside such a cause: they could meet values of types
    /// that they do not expect, or of sizes that nobody bounded.
    pub(super) fn blocks_rules(self) -> bool {
        matches!(self, Self::Type | Self::Required | Self::NotSupported | Self::TooLong)
    }
}

impl Cause {
    pub(crate) fn new(
        path: impl Into<String>,
        kind: CauseKind,
        message: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), message: message.into(), kind }
    }

    pub(super) fn invalid(path: &str, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self::new(path, CauseKind::Invalid, message)
    }

    pub(super) fn wrong_type(path: &str, value: &Value, expected: &str) -> Self {
        let found = type_name(value);
        let hint = match value {
            Value::Bool(_) if expected == "string" => {
                "; YAML reads y, n, yes, no, on and off as booleans: put a text in quotes"
            }
            Value::Number(_) if expected == "string" => "; put a text in quotes",
            _ => "",
        };
        let message = format!(
            "Invalid value: {}: must be of type {expected}: \"{found}\"{hint}",
            shown(value)
        );
        Self::new(path, CauseKind::Type, message)
    }

    pub(super) fn required(path: &str, detail: &str) -> Self {
        let message = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self::new(path, CauseKind::Required, message)
    }

    pub(super) fn not_supported(path: &str, value: &Value, allowed: &[Value]) -> Self {
        let allowed = allowed.iter().map(shown).collect::<Vec<_>>().join(", ");
        let message = format!("Unsupported value: {}: supported values: {allowed}", shown(value));
        Self::new(path, CauseKind::NotSupported, message)
    }

    pub(super) fn too_long(path: &str, max: u64) -> Self {
        let message = format!("Too long: may not be more than {max} bytes");
        Self::new(path, CauseKind::TooLong, message)
    }

    pub(super) fn too_many(path: &str, count: usize, max: u64) -> Self {
        let message = format!("Too many: {count}: must have at most {max} items");
        Self::new(path, CauseKind::TooLong, message)
    }

    pub(super) fn duplicate(path: &str, value: &Value) -> Self {
        if value.is_object() {
            return Self::new(path, CauseKind::Duplicate, format!("Duplicate value: {value}"));
        }
        Self::new(path, CauseKind::Duplicate, format!("Duplicate value: {}", shown(value)))
    }

    pub(super) fn unknown_field<'a>(
        path: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut message = format!("unknown field \"{path}\"");
        if let Some(known) = closest(name, known) {
            message.push_str(&format!("; did you mean \"{known}\"?"));
        }
        Self::new(path, CauseKind::UnknownField, message)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The JSON type of a value, as OpenAPI names it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as messages show it: scalars as JSON, shortened; of lists and objects only the type.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => format!("\"{}\"", type_name(value)),
        Value::String(text) => quoted(text),
        scalar => scalar.to_string(),
    }
}

/// A text in quotes, with escapes, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}
