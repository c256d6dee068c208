//! The CustomResourceDefinitions, made from the Rust types. No I/O: `src/bin/crdgen.rs` writes the
//! files.
//!
//! What the derive macros yield is refined in five ways:
//! - no field is `nullable`: an API server then drops a null before it applies defaults, and a rule
//!   that asks `has(self.field)` cannot meet one;
//! - Kubernetes' own types lose their descriptions (the CRD stays small; `kubectl explain pod.spec`
//!   has them);
//! - quantities get the pattern of Kubernetes' parser;
//! - paragraphs of doc comments become one line each;
//! - a status that nobody has written yet says `observedGeneration: -1`, so that kstatus sees a
//!   fresh object as in progress.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::job::GenerationJob;
use crate::kind::Kind;
use crate::model::ModelDeployment;

/// What `kubectl apply` can keep in its annotation, with room to spare. Both CRDs must be smaller,
/// as YAML and as JSON.
pub const MAX_BYTES: usize = 200_000;

/// How the API server's quantity parser reads numbers, as controller-gen writes it.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Fields whose types are Kubernetes' own.
const KUBERNETES_TYPES: [&str; 8] = [
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "resources",
    "imagePullSecrets",
    "env",
    "securityContext",
    "conditions",
];

const HEADER: &str = "# Generated from the Rust types. Do not edit: change the types, then run\n#   cargo run -p textnlp-crds --bin crdgen\n";

/// An error while a CRD is written.
#[derive(Debug, thiserror::Error)]
#[error("the CRD of {kind} cannot be written as YAML")]
pub struct Error {
    kind: &'static str,
    #[source]
    source: serde_saphyr::ser::Error,
}

/// The file name of the CRD of `kind`, below `crds/`.
pub fn file_name(kind: Kind) -> &'static str {
    match kind {
        Kind::GenerationJob => "generationjob.yaml",
        Kind::ModelDeployment => "modeldeployment.yaml",
    }
}

/// The CRD of `kind` as JSON, ready for an API server.
pub fn definition(kind: Kind) -> Value {
    let crd = match kind {
        Kind::GenerationJob => GenerationJob::crd(),
        Kind::ModelDeployment => ModelDeployment::crd(),
    };
    let mut crd = serde_json::to_value(crd).unwrap_or_default();
    if let Some(schema) = crd.pointer_mut(SCHEMA) {
        refine(schema);
        let status = json!({"observedGeneration": -1});
        if let Some(Value::Object(properties)) = schema.pointer_mut("/properties/status") {
            properties.insert("default".into(), status);
        }
    }
    crd
}

/// The CRD of `kind` as YAML, with a header that says where it comes from.
///
/// # Errors
/// If the YAML writer refuses a value.
pub fn yaml(kind: Kind) -> Result<String, Error> {
    let body = serde_saphyr::to_string(&definition(kind))
        .map_err(|source| Error { kind: kind.name(), source })?;
    Ok(format!("{HEADER}{}\n", body.trim_end()))
}

/// The schema inside the CRD of `kind`.
pub(crate) fn open_api_schema(kind: Kind) -> Value {
    definition(kind).pointer(SCHEMA).cloned().unwrap_or_default()
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

pub(crate) fn refine(schema: &mut Value) {
    let Value::Object(node) = schema else { return };
    node.remove("nullable");
    node.remove("title");
    if node.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        node.insert("pattern".into(), json!(QUANTITY));
    }
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = unwrapped(text);
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        for (name, property) in properties {
            refine(property);
            if KUBERNETES_TYPES.contains(&name.as_str()) {
                strip_below(property);
            }
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(inner) {
            refine(inner);
        }
    }
}

/// Removes the descriptions of everything below `schema`, and keeps its own.
fn strip_below(schema: &mut Value) {
    let children: Vec<&mut Value> = match schema {
        Value::Object(node) => node.iter_mut().flat_map(|(key, value)| below(key, value)).collect(),
        _ => return,
    };
    for child in children {
        if let Value::Object(node) = child {
            node.remove("description");
        }
        strip_below(child);
    }
}

fn below<'a>(key: &str, value: &'a mut Value) -> Vec<&'a mut Value> {
    match (key, value) {
        ("properties", Value::Object(properties)) => {
            properties.iter_mut().map(|(_, property): (_, &mut Value)| property).collect()
        }
        ("items" | "additionalProperties", inner) => vec![inner],
        _ => Vec::new(),
    }
}

/// Joins the lines of each paragraph.
fn unwrapped(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
