//! The parameters of metrics: described as data, so that the schema, the help text and the check are one thing.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// One parameter of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParamInfo {
    /// The field's name under `params`.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Its type, what is allowed, and the default.
    pub kind: ParamKind,
}

/// The type of a parameter, with its range and default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParamKind {
    /// One of these words; the default.
    Choice(&'static [&'static str], &'static str),
    /// A whole number from, to; the default.
    Integer(i64, i64, i64),
    /// `true` or `false`; the default.
    Flag(bool),
    /// A text of at most so many characters (Unicode scalar values, as a CRD's `maxLength`), which must be given.
    Text(usize),
    /// A number from, to; the default, if there is one whatever the other parameters are.
    Number(f64, f64, Option<f64>),
    /// A list of some of these words; all of them if it is not given.
    Subset(&'static [&'static str]),
    /// An object of at most so many bytes as JSON, which must be given.
    Object(usize),
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamKind::Choice(words, _) => write!(f, "one of {}", words.join(", ")),
            ParamKind::Integer(min, max, _) => write!(f, "a whole number from {min} to {max}"),
            ParamKind::Flag(_) => write!(f, "true or false"),
            ParamKind::Text(most) => write!(f, "a text of 1 to {most} characters"),
            ParamKind::Number(min, max, _) => write!(f, "a number from {min} to {max}"),
            ParamKind::Subset(words) => write!(f, "a list of {}", words.join(", ")),
            ParamKind::Object(bytes) => write!(f, "an object of at most {bytes} bytes as JSON"),
        }
    }
}

/// Why a metric, filter or gate cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: found {found}; allowed: {allowed}")]
pub struct ParamError {
    /// The path below the entry of the manifest: `metric`, `params.tokenize`, `min`.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

impl ParamError {
    pub(crate) fn new(
        field: impl Into<String>,
        found: impl fmt::Display,
        allowed: impl fmt::Display,
    ) -> Self {
        Self { field: field.into(), found: found.to_string(), allowed: allowed.to_string() }
    }
}

/// Parameters that were checked against their description, defaults filled in.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<&'static str, Setting>);

#[derive(Debug)]
enum Setting {
    Choice(&'static str),
    Integer(i64),
    Flag(bool),
    Text(String),
    Number(Option<f64>),
    Subset(Vec<&'static str>),
    Object(Value),
}

impl Params {
    /// Checks `given` (an object, or null for none) against `infos`.
    pub(crate) fn read(infos: &'static [ParamInfo], given: &Value) -> Result<Self, ParamError> {
        let empty = Map::new();
        let given = match given {
            Value::Null => &empty,
            Value::Object(fields) => fields,
            other => {
                return Err(ParamError::new("params", describe(other), "an object of parameters"));
            }
        };
        if let Some(unknown) =
            given.keys().find(|key| infos.iter().all(|info| info.name != key.as_str()))
        {
            let allowed = match infos {
                [] => "nothing: this metric has no parameters".to_owned(),
                infos => infos.iter().map(|info| info.name).collect::<Vec<_>>().join(", "),
            };
            return Err(ParamError::new(
                format!("params.{unknown}"),
                "an unknown parameter",
                allowed,
            ));
        }
        infos
            .iter()
            .map(|info| Ok((info.name, setting(info, given.get(info.name))?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    // A name or type that the metric's own `ParamInfo` does not have is a mistake in its file, which its tests meet.

    pub(crate) fn choice(&self, name: &str) -> &'static str {
        if let Some(Setting::Choice(word)) = self.0.get(name) { word } else { "" }
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        if let Some(Setting::Integer(number)) = self.0.get(name) { *number } else { 0 }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Setting::Flag(true)))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        if let Some(Setting::Text(text)) = self.0.get(name) { text } else { "" }
    }

    pub(crate) fn subset(&self, name: &str) -> &[&'static str] {
        if let Some(Setting::Subset(words)) = self.0.get(name) { words } else { &[] }
    }

    pub(crate) fn object(&self, name: &str) -> &Value {
        if let Some(Setting::Object(object)) = self.0.get(name) { object } else { &Value::Null }
    }

    /// `None` if it was not given and has no default.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        if let Some(Setting::Number(number)) = self.0.get(name) { *number } else { None }
    }
}

fn setting(info: &ParamInfo, given: Option<&Value>) -> Result<Setting, ParamError> {
    let wrong = |found: String| ParamError::new(format!("params.{}", info.name), found, info.kind);
    match (info.kind, given) {
        (ParamKind::Choice(_, default), None) => Ok(Setting::Choice(default)),
        (ParamKind::Integer(_, _, default), None) => Ok(Setting::Integer(default)),
        (ParamKind::Flag(default), None) => Ok(Setting::Flag(default)),
        (ParamKind::Text(_) | ParamKind::Object(_), None) => Err(wrong("nothing".to_owned())),
        (ParamKind::Number(_, _, default), None) => Ok(Setting::Number(default)),
        (ParamKind::Subset(words), None) => Ok(Setting::Subset(words.to_vec())),
        (ParamKind::Subset(_), Some(Value::Array(given))) if given.is_empty() => {
            Err(wrong("an empty list".to_owned()))
        }
        (ParamKind::Subset(words), Some(Value::Array(given))) => {
            let known = |word: &Value| words.iter().find(|allowed| word == **allowed).copied();
            let found = given.iter().map(|word| known(word).ok_or_else(|| wrong(describe(word))));
            found.collect::<Result<_, _>>().map(Setting::Subset)
        }
        (ParamKind::Choice(words, _), Some(Value::String(word))) => words
            .iter()
            .find(|allowed| *allowed == word)
            .map(|word| Setting::Choice(word))
            .ok_or_else(|| wrong(quote(word))),
        (ParamKind::Integer(min, max, _), Some(Value::Number(number))) => match whole(number) {
            Some(n) if (min..=max).contains(&n) => Ok(Setting::Integer(n)),
            _ => Err(wrong(number.to_string())),
        },
        (ParamKind::Number(min, max, _), Some(Value::Number(number))) => {
            match number.as_f64().filter(|x| (min..=max).contains(x)) {
                Some(x) => Ok(Setting::Number(Some(x))),
                None => Err(wrong(number.to_string())),
            }
        }
        (ParamKind::Flag(_), Some(Value::Bool(flag))) => Ok(Setting::Flag(*flag)),
        (ParamKind::Text(max), Some(Value::String(text))) => match text.chars().count() {
            length if (1..=max).contains(&length) => Ok(Setting::Text(text.clone())),
            length => Err(wrong(format!("{length} characters"))),
        },
        (ParamKind::Object(max), Some(object @ Value::Object(_))) => {
            match object.to_string().len() {
                bytes if bytes <= max => Ok(Setting::Object(object.clone())),
                bytes => Err(wrong(format!("{bytes} bytes"))),
            }
        }
        (_, Some(other)) => Err(wrong(describe(other))),
    }
}

/// `4` and `4.0`: JSON, and so a CRD's schema, does not tell them apart.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        number.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e15).map(|x| x as i64)
    })
}

/// The value in a few words, for a message.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quote(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A user's word, quoted, escaped and cut to a line.
pub(crate) fn quote(text: &str) -> String {
    const MAX: usize = 60;
    let mut quoted: String = text.chars().take(MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}
