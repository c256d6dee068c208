//! Field names that YAML 1.1 takes for booleans. No I/O.
//!
//! kubectl turns `params: {n: 2}` into `{"false": 2}`, and an API server then refuses the unknown
//! field. A local run knows which field was meant: it takes it, and says that the name needs quotes.

use serde_json::{Map, Value};

use super::place::{Inside, Place, Position};

/// A field that was given back its name.
pub(super) struct Renamed {
    pub(super) path: String,
    /// The field's name, as it is written and meant.
    pub(super) name: String,
    /// What kubectl makes of it.
    pub(super) read_as: String,
    pub(super) at: Position,
}

/// Gives fields of `schema` the name that was written, where YAML made a boolean of it. Only names
/// that the schema knows: keys of records and constants stay as kubectl reads them.
pub(super) fn restore(schema: &Value, value: &mut Value, place: &mut Place) -> Vec<Renamed> {
    let mut renamed = Vec::new();
    walk(schema, value, place, "", &mut renamed);
    renamed
}

fn walk(
    schema: &Value,
    value: &mut Value,
    place: &mut Place,
    path: &str,
    renamed: &mut Vec<Renamed>,
) {
    match (value, &mut place.inside) {
        (Value::Object(object), Inside::Fields(places)) => {
            let Some(known) = schema.get("properties").and_then(Value::as_object) else {
                return;
            };
            for read_as in ["true", "false"] {
                let spelling = places.get(read_as).and_then(|place| place.spelling.clone());
                let Some(name) = spelling.filter(|name| known.contains_key(name.as_str())) else {
                    continue;
                };
                let Some(place) = places.remove(read_as) else {
                    continue;
                };
                let at = place.at;
                rename(object, read_as, &name);
                places.insert(name.clone(), place);
                let path = format!("{path}.{name}").trim_start_matches('.').to_owned();
                renamed.push(Renamed { path, name, read_as: read_as.to_owned(), at });
            }
            for (key, value) in object {
                if let (Some(schema), Some(place)) = (known.get(key), places.get_mut(key)) {
                    walk(schema, value, place, &format!("{path}.{key}"), renamed);
                }
            }
        }
        (Value::Array(list), Inside::Items(places)) => {
            let Some(items) = schema.get("items") else {
                return;
            };
            for (index, (value, place)) in list.iter_mut().zip(places).enumerate() {
                walk(items, value, place, &format!("{path}[{index}]"), renamed);
            }
        }
        _ => {}
    }
}

/// Renames a key in its place among the others.
fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    let fields = std::mem::take(object);
    *object = fields
        .into_iter()
        .map(|(key, value)| (if key == from { to.to_owned() } else { key }, value))
        .collect();
}
