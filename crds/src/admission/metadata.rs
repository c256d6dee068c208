//! The metadata that every object has: the schema, and the names that an API server accepts. No I/O.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use regex::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::cause::{Cause, CauseKind};
use crate::crdgen;

const MAX_SUBDOMAIN: usize = 253;
const MAX_LABEL: usize = 63;
/// All annotations of an object together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The schema of one of Kubernetes' own types.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    crdgen::refine(&mut schema);
    schema
}

/// The schema of metadata, from Kubernetes' own type.
pub(crate) fn schema() -> Value {
    let mut schema = schema_of::<ObjectMeta>();
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        // Written by API servers, never by people.
        let any = json!({"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        fields.insert("managedFields".into(), any);
    }
    schema
}

/// Appends what is wrong with names, labels and annotations.
pub(super) fn check(metadata: Option<&Value>, causes: &mut Vec<Cause>) {
    let empty = json!({});
    let metadata = metadata.unwrap_or(&empty);
    match metadata.get("name") {
        None => {
            let detail = match metadata.get("generateName") {
                Some(_) => "generateName is not supported: a job is known by its name",
                None => "name is required",
            };
            causes.push(Cause::required("metadata.name", detail));
        }
        Some(Value::String(name)) => subdomain("metadata.name", name, causes),
        Some(_) => {} // the type is wrong: said already
    }
    if let Some(Value::String(namespace)) = metadata.get("namespace") {
        label("metadata.namespace", namespace, causes);
    }
    labels(metadata.get("labels"), causes);
    annotations(metadata.get("annotations"), causes);
}

/// RFC 1123 subdomain, at most 253 characters.
fn subdomain(path: &str, name: &str, causes: &mut Vec<Cause>) {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok()
    });
    let detail = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')";
    matches(path, name, &PATTERN, detail, causes);
    if name.len() > MAX_SUBDOMAIN {
        let detail = format!("must be no more than {MAX_SUBDOMAIN} characters");
        causes.push(Cause::invalid(path, &json!(name), &detail));
    }
}

/// RFC 1123 label, at most 63 characters.
fn label(path: &str, name: &str, causes: &mut Vec<Cause>) {
    static PATTERN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").ok());
    let detail = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name')";
    matches(path, name, &PATTERN, detail, causes);
    if name.len() > MAX_LABEL {
        let detail = format!("must be no more than {MAX_LABEL} characters");
        causes.push(Cause::invalid(path, &json!(name), &detail));
    }
}

fn labels(labels: Option<&Value>, causes: &mut Vec<Cause>) {
    static VALUE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$").ok());
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        qualified_name("metadata.labels", key, causes);
        let Value::String(value) = value else {
            continue;
        };
        let path = format!("metadata.labels.{key}");
        let detail = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        matches(&path, value, &VALUE, detail, causes);
        if value.len() > MAX_LABEL {
            let detail = format!("must be no more than {MAX_LABEL} characters");
            causes.push(Cause::invalid(&path, &json!(value), &detail));
        }
    }
}

fn annotations(annotations: Option<&Value>, causes: &mut Vec<Cause>) {
    let mut bytes = 0usize;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        qualified_name("metadata.annotations", &key.to_lowercase(), causes);
        bytes = bytes.saturating_add(key.len()).saturating_add(value.as_str().map_or(0, str::len));
    }
    if bytes > MAX_ANNOTATIONS {
        let message = format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes");
        causes.push(Cause::new("metadata.annotations", CauseKind::TooLong, message));
    }
}

/// `prefix/name`: an optional subdomain, and a name of at most 63 characters.
fn qualified_name(path: &str, key: &str, causes: &mut Vec<Cause>) {
    static NAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$").ok());
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            subdomain(path, prefix, causes);
            name
        }
        None => key,
    };
    let detail = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName')";
    matches(path, name, &NAME, detail, causes);
    if name.len() > MAX_LABEL {
        let detail = format!("name part must be no more than {MAX_LABEL} characters");
        causes.push(Cause::invalid(path, &json!(key), &detail));
    }
}

fn matches(
    path: &str,
    text: &str,
    pattern: &LazyLock<Option<Regex>>,
    detail: &str,
    causes: &mut Vec<Cause>,
) {
    if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
        causes.push(Cause::invalid(path, &json!(text), detail));
    }
}
