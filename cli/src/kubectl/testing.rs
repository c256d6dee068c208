//! Objects for the tests of this folder.

use serde_json::{Value, json};
use textnlp_crds::{GenerationJob, ModelDeployment};

/// The job `tickets`, with these fields of its spec and this status.
pub(crate) fn job(spec: Value, status: Value) -> GenerationJob {
    let mut whole =
        json!({"modelRef": {"name": "smollm2"}, "columns": [{"name": "text", "prompt": "Hello"}]});
    merge(&mut whole, spec);
    read(json!({
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob",
        "metadata": {"name": "tickets", "namespace": "shop", "uid": "u-job", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": whole, "status": status,
    }))
}

/// The model `smollm2`, with this status.
pub(crate) fn model(status: Value) -> ModelDeployment {
    read(json!({
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "smollm2", "namespace": "shop", "uid": "u-model", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"source": {"persistentVolumeClaim": {"claimName": "models", "path": "m.gguf"}}},
        "status": status,
    }))
}

/// A condition since a minute after midnight.
pub(crate) fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:01:00Z"})
}

/// An object from JSON.
#[track_caller]
pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the object is valid")
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
