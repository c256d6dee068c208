//! The values of an object against its schema: types, enums, ranges, lengths, patterns, lists. No
//! I/O.

use std::collections::HashSet;

use serde_json::{Map, Number, Value, json};

use super::cause::Cause;
use super::prune::child;
use super::schema::{ListType, Range, Schema, Type};

/// Appends what is wrong with `value`, in the order of its fields.
pub(super) fn check(schema: &Schema, value: &Value, causes: &mut Vec<Cause>) {
    node(schema, value, "", causes);
}

fn node(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable {
        return;
    }
    match (schema.type_, value) {
        (Type::Any, _) | (Type::Boolean, Value::Bool(_)) => {}
        (Type::Object, Value::Object(fields)) => object(schema, fields, path, causes),
        (Type::Array, Value::Array(items)) => list(schema, items, path, causes),
        (Type::String, Value::String(text)) => string(schema, text, path, causes),
        (Type::IntOrString, Value::String(text)) => string(schema, text, path, causes),
        (Type::IntOrString, Value::Number(number)) if is_integer(number) => {}
        (Type::Integer, Value::Number(number)) if is_integer(number) => {
            integer(schema, number, path, causes);
        }
        (Type::Number, Value::Number(number)) => range(schema.range, number, path, causes),
        (expected, found) => {
            causes.push(Cause::wrong_type(path, found, expected_name(expected)));
            return;
        }
    }
    if let Some(allowed) = &schema.allowed
        && !allowed.contains(value)
    {
        causes.push(Cause::not_supported(path, value, allowed));
    }
}

fn object(schema: &Schema, fields: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in &schema.required {
        if !fields.contains_key(name) {
            causes.push(Cause::required(&child(path, name), ""));
        }
    }
    entries(schema, fields.len(), path, causes);
    for (key, value) in fields {
        if let Some(schema) = schema.of_key(key) {
            node(schema, value, &child(path, key), causes);
        }
    }
}

fn list(schema: &Schema, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    entries(schema, items.len(), path, causes);
    if let Some(schema) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            node(schema, item, &format!("{path}[{index}]"), causes);
        }
    }
    unique(&schema.list_type, items, path, causes);
}

fn unique(list_type: &ListType, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match list_type {
            ListType::Atomic => return,
            ListType::Set => {
                if !seen.insert(item.to_string()) {
                    causes.push(Cause::duplicate(&path, item));
                }
            }
            ListType::Map(keys) => {
                let found =
                    keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
                let found = Value::Object(found.collect());
                if !seen.insert(found.to_string()) {
                    causes.push(Cause::duplicate(&path, &found));
                }
            }
        }
    }
}

fn entries(schema: &Schema, count: usize, path: &str, causes: &mut Vec<Cause>) {
    let (min, max) = schema.entries;
    if let Some(min) = min.filter(|min| (count as u64) < *min) {
        let what = if schema.type_ == Type::Array { "items" } else { "properties" };
        let detail = format!("should have at least {min} {what}");
        causes.push(Cause::invalid(path, &json!(count), &detail));
    }
    if let Some(max) = max.filter(|max| (count as u64) > *max) {
        causes.push(Cause::too_many(path, count, max));
    }
}

fn string(schema: &Schema, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let (min, max) = schema.length;
    let chars = text.chars().count() as u64;
    if let Some(max) = max.filter(|max| chars > *max) {
        causes.push(Cause::too_long(path, max));
        return; // a pattern could repeat a text of any length
    }
    if let Some(min) = min.filter(|min| chars < *min) {
        let detail = format!("should be at least {min} chars long");
        causes.push(Cause::invalid(path, &json!(text), &detail));
    }
    if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let detail = format!("should match '{pattern}'");
        causes.push(Cause::invalid(path, &json!(text), &detail));
    }
}

fn integer(schema: &Schema, number: &Number, path: &str, causes: &mut Vec<Cause>) {
    let before = causes.len();
    range(schema.range, number, path, causes);
    let value = number.as_i64().or_else(|| whole(number));
    let fits = match schema.int32 {
        true => value.is_some_and(|value| i32::try_from(value).is_ok()),
        false => value.is_some(),
    };
    if !fits && causes.len() == before {
        let detail = if schema.int32 { "must fit in 32 bits" } else { "must fit in 64 bits" };
        causes.push(Cause::invalid(path, &json!(number), detail));
    }
}

fn range(range: Range, number: &Number, path: &str, causes: &mut Vec<Cause>) {
    let Some(value) = number.as_f64() else { return };
    if let Some(minimum) = range.minimum {
        let or_equal = if range.exclusive_minimum { "" } else { " or equal to" };
        if value < minimum || (range.exclusive_minimum && value == minimum) {
            let detail = format!("should be greater than{or_equal} {minimum}");
            causes.push(Cause::invalid(path, &json!(number), &detail));
        }
    }
    if let Some(maximum) = range.maximum {
        let or_equal = if range.exclusive_maximum { "" } else { " or equal to" };
        if value > maximum || (range.exclusive_maximum && value == maximum) {
            let detail = format!("should be less than{or_equal} {maximum}");
            causes.push(Cause::invalid(path, &json!(number), &detail));
        }
    }
}

/// Whole numbers are integers however they are written; the manifest's reader has already turned
/// `1e3` into 1000.
fn is_integer(number: &Number) -> bool {
    number.as_f64().is_some_and(|value| value.fract() == 0.0)
}

/// The integer that a double is, where doubles are exact.
pub(super) fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT)?;
    Some(float as i64)
}

/// 2^53: above, a double is no longer exactly one integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn expected_name(type_: Type) -> &'static str {
    match type_ {
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::IntOrString => "integer,string",
        Type::Any => "any",
    }
}
