//! What an API server does to an object before it looks at the values: unknown fields are found,
//! nulls dropped, defaults filled in, numbers
//! brought to one form. No I/O.

use serde_json::{Number, Value};

use super::cause::Cause;
use super::schema::{Schema, Type};
use super::validate;

/// Removes fields that the schema does not know, and reports each.
pub(super) fn drop_unknown_fields(schema: &Schema, value: &mut Value, causes: &mut Vec<Cause>) {
    unknown(schema, value, "", causes);
}

fn unknown(schema: &Schema, value: &mut Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(object) if schema.type_ == Type::Object => {
            object.retain(|key, value| {
                let path = child(path, key);
                match schema.of_key(key) {
                    Some(schema) => unknown(schema, value, &path, causes),
                    None if schema.preserve_unknown => {}
                    None => {
                        let known = schema.properties.keys().map(String::as_str);
                        causes.push(Cause::unknown_field(&path, key, known));
                        return false;
                    }
                }
                true
            });
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (index, item) in list.iter_mut().enumerate() {
                unknown(items, item, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}

/// Removes nulls of fields that may not be null: they count as absent. Nulls without a schema, such
/// as those inside a record, stay.
pub(super) fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(object) => object.retain(|key, value| match schema.of_key(key) {
            Some(schema) if value.is_null() => schema.nullable || schema.type_ == Type::Any,
            Some(schema) => {
                drop_nulls(schema, value);
                true
            }
            None => true,
        }),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            list.iter_mut().for_each(|item| drop_nulls(items, item));
        }
        _ => {}
    }
}

/// Fills in the defaults of absent fields, and of the defaults themselves.
pub(super) fn fill_defaults(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, property) in &schema.properties {
                if let (Some(default), false) = (&property.default, object.contains_key(name)) {
                    object.insert(name.clone(), default.clone());
                }
            }
            for (key, value) in object {
                if let Some(schema) = schema.of_key(key) {
                    fill_defaults(schema, value);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            list.iter_mut().for_each(|item| fill_defaults(items, item));
        }
        _ => {}
    }
}

/// Writes each number as its type has it: `1` of a number is 1.0, `3.0` of an integer is 3. Rules then
/// compare values, not spellings, as they do in an API server.
pub(super) fn unify_numbers(schema: &Schema, value: &mut Value) {
    match (schema.type_, &mut *value) {
        (Type::Number, Value::Number(number)) => {
            if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                *number = float;
            }
        }
        (Type::Integer, Value::Number(number)) if number.is_f64() => {
            if let Some(whole) = validate::whole(number) {
                *number = Number::from(whole);
            }
        }
        (_, Value::Object(object)) => {
            for (key, value) in object {
                if let Some(schema) = schema.of_key(key) {
                    unify_numbers(schema, value);
                }
            }
        }
        (_, Value::Array(list)) => {
            let Some(items) = &schema.items else { return };
            list.iter_mut().for_each(|item| unify_numbers(items, item));
        }
        _ => {}
    }
}

/// The path of a field of the object at `path`.
pub(super) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
