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
