//! Schemas of the wire types: of requests as they are read, of answers as they are written.

use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// Where components are in the document.
const COMPONENTS: &str = "/components/schemas";

/// Collects the types that the document names.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = |contract| {
            let settings = SchemaSettings::draft2020_12();
            let settings = settings.with(|settings| {
                settings.definitions_path = COMPONENTS.into();
                settings.meta_schema = None;
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { read: settings(Contract::Deserialize), written: settings(Contract::Serialize) }
    }
}

impl Schemas {
    /// The schema of a request's body.
    pub(super) fn request<T: JsonSchema>(&mut self) -> Schema {
        self.read.subschema_for::<T>()
    }

    /// The schema of an answer.
    pub(super) fn answer<T: JsonSchema>(&mut self) -> Schema {
        self.written.subschema_for::<T>()
    }

    /// All types that were named. What is both read and written looks the same either way, or has two names.
    pub(super) fn into_components(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.extend(self.written.take_definitions(true));
        all.values_mut().for_each(portable);
        all.sort_keys();
        all
    }
}

/// Takes out what only an API server reads.
fn portable(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.starts_with("x-kubernetes-"));
            fields.values_mut().for_each(portable);
        }
        Value::Array(values) => values.iter_mut().for_each(portable),
        _ => {}
    }
}
