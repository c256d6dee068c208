//! `--set PATH=VALUE`: one field of the job, changed for one run. No I/O.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::yaml;

/// A field and its new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    path: String,
    steps: Vec<Step>,
    value: Value,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `.field`, or `["a.key"]`.
    Field(String),
    /// `[0]`.
    Index(usize),
    /// `[ticket]`: the entry of a list whose `name` that is.
    Named(String),
}

/// What is wrong with an override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// No `=`.
    #[error("{0:?} has no `=`: write PATH=VALUE, such as spec.sampling.seed=7")]
    NoValue(String),
    /// A path that cannot be read.
    #[error(
        "{0:?} is no path: write fields and entries, such as spec.columns[0].prompt or spec.columns[ticket].prompt"
    )]
    Path(String),
    /// A path to something that a run may not change.
    #[error("{0:?} cannot be set: a path begins with `spec.` or `metadata.`")]
    Root(String),
    /// A value that is no YAML.
    #[error("the value cannot be read: {0}")]
    Value(String),
    /// A field of a value without fields.
    #[error("{0} is no object: it has no fields to set")]
    NoObject(String),
    /// An entry of a value without entries.
    #[error("{0} is no list: it has no entries to set")]
    NoList(String),
    /// An entry that is not there.
    #[error("{list} has {count} entries, and none is {entry}")]
    NoEntry {
        /// The list.
        list: String,
        /// How many entries it has.
        count: usize,
        /// The entry that was asked for.
        entry: String,
    },
}

impl Override {
    /// A field and its new value, which is YAML.
    ///
    /// # Errors
    /// If the path or the value cannot be read.
    pub fn new(path: &str, value: &str) -> Result<Override, OverrideError> {
        let path = path.trim();
        let steps = steps(path).ok_or_else(|| OverrideError::Path(path.to_owned()))?;
        match steps.first() {
            Some(Step::Field(root))
                if steps.len() > 1 && (root == "spec" || root == "metadata") => {}
            _ => return Err(OverrideError::Root(path.to_owned())),
        }
        let mut documents =
            yaml::documents(value).map_err(|error| OverrideError::Value(error.message))?;
        let value = match (documents.pop(), documents.is_empty()) {
            (None, _) => Value::Null,
            (Some(node), true) => node.value,
            (Some(_), false) => {
                return Err(OverrideError::Value("it has several documents".into()));
            }
        };
        Ok(Override { path: path.to_owned(), steps, value })
    }

    /// The path as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Sets the field, making the objects on the way to it. Returns the path with entries as
    /// numbers, as causes name it.
    pub(super) fn apply(&self, object: &mut Value) -> Result<String, OverrideError> {
        let mut place = object;
        let mut path = String::new();
        for step in &self.steps {
            let (next, name) = match step {
                Step::Field(field) => (field_of(place, field, &path)?, format!(".{field}")),
                Step::Index(index) => entry_of(place, &path, &index.to_string(), |list| {
                    (*index < list.len()).then_some(*index)
                })?,
                Step::Named(name) => entry_of(place, &path, name, |list| {
                    list.iter()
                        .position(|entry| entry.get("name") == Some(&Value::from(name.as_str())))
                })?,
            };
            place = next;
            path.push_str(&name);
        }
        *place = self.value.clone();
        Ok(path.trim_start_matches('.').to_owned())
    }
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let (path, value) =
            text.split_once('=').ok_or_else(|| OverrideError::NoValue(text.to_owned()))?;
        Override::new(path, value)
    }
}

fn field_of<'a>(
    place: &'a mut Value,
    field: &str,
    path: &str,
) -> Result<&'a mut Value, OverrideError> {
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    match place {
        Value::Object(fields) => Ok(fields.entry(field.to_owned()).or_insert(Value::Null)),
        _ => Err(OverrideError::NoObject(path.trim_start_matches('.').to_owned())),
    }
}

fn entry_of<'a>(
    place: &'a mut Value,
    path: &str,
    entry: &str,
    find: impl Fn(&[Value]) -> Option<usize>,
) -> Result<(&'a mut Value, String), OverrideError> {
    let list = path.trim_start_matches('.').to_owned();
    let Value::Array(entries) = place else {
        return Err(OverrideError::NoList(list));
    };
    let count = entries.len();
    let index = find(entries);
    match index.and_then(|index| Some((entries.get_mut(index)?, format!("[{index}]")))) {
        Some(found) => Ok(found),
        None => Err(OverrideError::NoEntry { list, count, entry: entry.to_owned() }),
    }
}

/// The steps of `a.b[0].c`; None if there is an empty one.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (inside, after) = bracket.split_once(']')?;
            steps.push(bracketed(inside)?);
            rest = after;
        } else {
            let start = if steps.is_empty() { rest } else { rest.strip_prefix('.')? };
            let end = start.find(['.', '[']).unwrap_or(start.len());
            steps.push(Step::Field(start.get(..end).filter(|field| !field.is_empty())?.to_owned()));
            rest = start.get(end..)?;
        }
    }
    Some(steps)
}

fn bracketed(inside: &str) -> Option<Step> {
    for quote in ['"', '\''] {
        if let Some(key) = inside.strip_prefix(quote).and_then(|key| key.strip_suffix(quote)) {
            return Some(Step::Field(key.to_owned()));
        }
    }
    match inside.parse() {
        Ok(index) => Some(Step::Index(index)),
        Err(_) if inside.is_empty() => None,
        Err(_) => Some(Step::Named(inside.to_owned())),
    }
}
