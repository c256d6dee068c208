//! `/openapi.json` and `/docs`.

use reqwest::StatusCode;
use serde_json::Value;

use crate::server::{json_of, ready};

#[test]
fn the_committed_document_is_what_the_types_say() {
    let committed = include_str!("../../openapi.json");
    let stale = committed != textnlp_inference_server::openapi();
    assert!(!stale, "openapi.json is stale: run `make generate`");
}

/// All references of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.push(reference.clone());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_served_for_programs_and_for_people() {
    let server = ready().await;
    let document = json_of(server.get("/openapi.json").await, StatusCode::OK).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let page = server.get("/docs").await;
    assert!(page.headers()["content-security-policy"].to_str().expect("text").contains("'none'"));
    let page = page.text().await.expect("text");
    for path in document["paths"].as_object().expect("paths").keys() {
        assert!(page.contains(path.as_str()), "{path}");
    }
    assert!(!page.contains("<script"));
}
