//! What metrics, filters and the removal of duplicates read: a row of a job, or a record of any file.

use std::borrow::Cow;

use serde_json::{Map, Value};
use textnlp_dataset::{Row, SourceRecord};
use textnlp_validation::Sample;

use super::Target;

/// Something that has texts by name.
pub trait Scored {
    /// Its id, unique in the dataset.
    fn id(&self) -> Cow<'_, str>;

    /// A field by name.
    fn field(&self, name: &str) -> Option<&Value>;

    /// How many tokens the model counts in a column that it wrote.
    fn tokens(&self, column: &str) -> Option<u64>;

    /// Why generation of a column stopped.
    fn finish_reason(&self, column: &str) -> Option<&str>;

    /// What an expression sees: all fields and the id.
    fn flat(&self) -> Map<String, Value>;
}

impl Scored for Row {
    fn id(&self) -> Cow<'_, str> {
        self.id.to_string().into()
    }

    fn field(&self, name: &str) -> Option<&Value> {
        (self.columns.get(name))
            .or_else(|| self.attributes.get(name))
            .or_else(|| self.fields.get(name))
    }

    fn tokens(&self, column: &str) -> Option<u64> {
        self.meta.tokens.get(column).map(|tokens| tokens.completion)
    }

    fn finish_reason(&self, column: &str) -> Option<&str> {
        self.meta.finish_reasons.get(column).map(String::as_str)
    }

    fn flat(&self) -> Map<String, Value> {
        let fields = self.fields.iter().chain(&self.attributes).chain(&self.columns);
        let mut flat: Map<String, Value> = fields.map(|(k, v)| (k.clone(), v.clone())).collect();
        flat.insert("id".to_owned(), Value::from(self.id.to_string()));
        flat
    }
}

/// A record of a file; where it is a row of a dataset of ours, with its id and what is known of its generation.
impl Scored for SourceRecord {
    fn id(&self) -> Cow<'_, str> {
        match self.fields().get("id") {
            Some(Value::String(id)) => id.into(),
            Some(id) if id.is_number() => id.to_string().into(),
            _ => self.index.to_string().into(),
        }
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.fields().get(name)
    }

    fn tokens(&self, column: &str) -> Option<u64> {
        self.fields().get("_textnlp")?.get("tokens")?.get(column)?.get("completion")?.as_u64()
    }

    fn finish_reason(&self, column: &str) -> Option<&str> {
        self.fields().get("_textnlp")?.get("finishReason")?.get(column)?.as_str()
    }

    fn flat(&self) -> Map<String, Value> {
        self.fields().clone()
    }
}

/// A field as text: strings as they are, nothing for null, anything else as JSON.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}

/// Calls `read` with the sample that a target names in a row; with `None` if the row has no such text.
pub(super) fn with_sample<T>(
    row: &impl Scored,
    target: &Target,
    read: impl FnOnce(Option<&Sample<'_>>) -> T,
) -> T {
    let column = target.column.as_deref().unwrap_or("");
    let Some(text) = row.field(column).and_then(text_of) else { return read(None) };
    let references: Vec<_> = match target.reference.as_deref().and_then(|name| row.field(name)) {
        Some(Value::Array(values)) => values.iter().filter_map(text_of).collect(),
        Some(value) => text_of(value).into_iter().collect(),
        None => Vec::new(),
    };
    let references: Vec<&str> = references.iter().map(AsRef::as_ref).collect();
    let id = row.id();
    read(Some(&Sample {
        id: &id,
        text: &text,
        references: &references,
        tokens: row.tokens(column),
        finish_reason: row.finish_reason(column),
    }))
}
