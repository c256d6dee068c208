//! The API's description (OpenAPI 3.1), made from the wire types. The committed `openapi.json` is what is served; a test fails when
//! the types have moved on from it.

mod operations;
mod page;
mod schemas;

use serde_json::{Value, json};

use self::schemas::Schemas;

/// The committed document.
pub(crate) const DOCUMENT: &str = include_str!("../../openapi.json");

pub(crate) use self::page::page;

/// The document as the types have it now, as text.
pub fn openapi() -> String {
    let mut schemas = Schemas::default();
    let paths = operations::paths(&mut schemas);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TextNLP inference server",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "OpenAI's API for one model, and the platform's own calls: rows from records and columns, their scores, and tables of them.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "tags": operations::tags(),
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, or a token, where the server asks for one.",
            }},
            "schemas": Value::Object(schemas.into_components()),
        },
    });
    // Maps with text keys, numbers and texts are always JSON.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_what_the_types_say() {
        assert!(DOCUMENT == openapi(), "openapi.json is stale: run `make generate`");
    }

    #[test]
    fn every_reference_of_the_document_leads_to_a_schema() {
        fn visit(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        found.push(reference.clone());
                    }
                    fields.values().for_each(|value| visit(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| visit(value, found)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let mut found = Vec::new();
        visit(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference into the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
