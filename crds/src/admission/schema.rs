//! A structural schema of Kubernetes, read from JSON once and then evaluated many times: the subset
//! that an API server allows in a CRD, without `allOf`, `oneOf` and `not`. No I/O.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

/// How deep a schema may nest.
const MAX_DEPTH: usize = 64;

/// A schema that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// A node without a type.
    #[error("the schema at {0} has no type that is known here")]
    Type(String),
    /// A pattern that is no regular expression.
    #[error("the schema at {path} has a bad pattern")]
    Pattern {
        path: String,
        #[source]
        source: regex::Error,
    },
    /// A schema that nests too deeply.
    #[error("the schema at {0} nests more than {MAX_DEPTH} levels")]
    Depth(String),
}

/// The type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
    /// `x-kubernetes-preserve-unknown-fields` without a type: any JSON.
    Any,
}

/// How a list merges, and so which entries of it must be unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListType {
    Atomic,
    Set,
    /// One entry for each value of these keys.
    Map(Vec<String>),
}

/// Bounds of a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) exclusive_maximum: bool,
}

/// One node of a schema.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) type_: Type,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) allowed: Option<Vec<Value>>,
    pub(super) properties: BTreeMap<String, Schema>,
    pub(super) required: Vec<String>,
    /// The schema of keys that are no properties.
    pub(super) additional: Option<Box<Schema>>,
    /// Whether keys without a schema are kept.
    pub(super) preserve_unknown: bool,
    pub(super) items: Option<Box<Schema>>,
    pub(super) list_type: ListType,
    pub(super) range: Range,
    pub(super) int32: bool,
    /// Least and greatest length of a text, in characters.
    pub(super) length: (Option<u64>, Option<u64>),
    /// Least and greatest number of entries of a list or an object.
    pub(super) entries: (Option<u64>, Option<u64>),
    pub(super) pattern: Option<Regex>,
}

impl Schema {
    /// Reads a schema as a CRD writes it.
    pub(super) fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        compile(schema, "", 0)
    }

    /// The schema of the value under `key`.
    pub(super) fn of_key(&self, key: &str) -> Option<&Schema> {
        self.properties.get(key).or(self.additional.as_deref())
    }
}

fn compile(schema: &Value, path: &str, depth: usize) -> Result<Schema, SchemaError> {
    if depth > MAX_DEPTH {
        return Err(SchemaError::Depth(path.to_owned()));
    }
    let empty = Map::new();
    let node = schema.as_object().unwrap_or(&empty);
    let child = |schema: &Value, name: &str| compile(schema, &format!("{path}.{name}"), depth + 1);
    let boxed = |key: &str| match node.get(key) {
        Some(inner @ Value::Object(_)) => child(inner, key).map(|inner| Some(Box::new(inner))),
        _ => Ok(None),
    };
    let type_ = type_of(node).ok_or_else(|| SchemaError::Type(path.to_owned()))?;
    let mut properties = BTreeMap::new();
    for (name, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        properties.insert(name.clone(), child(property, name)?);
    }
    let list = type_ == Type::Array;
    Ok(Schema {
        type_,
        nullable: flag(node, "nullable"),
        default: node.get("default").cloned(),
        allowed: node.get("enum").and_then(Value::as_array).cloned(),
        properties,
        required: texts(node, "required"),
        additional: boxed("additionalProperties")?,
        preserve_unknown: flag(node, "x-kubernetes-preserve-unknown-fields")
            || flag(node, "additionalProperties"),
        items: boxed("items")?,
        list_type: list_type(node),
        range: Range {
            minimum: node.get("minimum").and_then(Value::as_f64),
            maximum: node.get("maximum").and_then(Value::as_f64),
            exclusive_minimum: flag(node, "exclusiveMinimum"),
            exclusive_maximum: flag(node, "exclusiveMaximum"),
        },
        int32: node.get("format").and_then(Value::as_str) == Some("int32"),
        length: (size(node, "minLength"), size(node, "maxLength")),
        entries: match list {
            true => (size(node, "minItems"), size(node, "maxItems")),
            false => (size(node, "minProperties"), size(node, "maxProperties")),
        },
        pattern: pattern(node, path)?,
    })
}

fn type_of(node: &Map<String, Value>) -> Option<Type> {
    if flag(node, "x-kubernetes-int-or-string") {
        return Some(Type::IntOrString);
    }
    match node.get("type").and_then(Value::as_str) {
        Some("object") => Some(Type::Object),
        Some("array") => Some(Type::Array),
        Some("string") => Some(Type::String),
        Some("integer") => Some(Type::Integer),
        Some("number") => Some(Type::Number),
        Some("boolean") => Some(Type::Boolean),
        None if flag(node, "x-kubernetes-preserve-unknown-fields") => Some(Type::Any),
        _ => None,
    }
}

fn list_type(node: &Map<String, Value>) -> ListType {
    match node.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(node, "x-kubernetes-list-map-keys")),
        _ => ListType::Atomic,
    }
}

fn pattern(node: &Map<String, Value>, path: &str) -> Result<Option<Regex>, SchemaError> {
    let Some(pattern) = node.get("pattern").and_then(Value::as_str) else {
        return Ok(None);
    };
    Regex::new(pattern)
        .map(Some)
        .map_err(|source| SchemaError::Pattern { path: path.to_owned(), source })
}

fn flag(node: &Map<String, Value>, key: &str) -> bool {
    node.get(key) == Some(&Value::Bool(true))
}

fn size(node: &Map<String, Value>, key: &str) -> Option<u64> {
    node.get(key).and_then(Value::as_u64)
}

fn texts(node: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = node.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
