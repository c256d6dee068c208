//! What the tests of this folder share: a model, and the settings.

use serde_json::{Value, json};
use textnlp_crds::ModelDeployment;
use textnlp_crds::task::Fetched;

use super::validate::{Validated, validate};
pub(super) use crate::fixture::{config, config_with};

/// The name of the children of [`model`].
pub(super) const NAME: &str = "mdl-smollm2-4a49acf8";

/// A ModelDeployment `shop/smollm2` with that spec.
pub(super) fn deployment(spec: Value) -> ModelDeployment {
    serde_json::from_value(json!({
        "apiVersion": "textnlp.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "smollm2", "namespace": "shop", "uid": "uid-1", "generation": 3},
        "spec": spec,
    }))
    .expect("a model")
}

/// The same, validated.
pub(super) fn model(spec: Value) -> Validated {
    validate(&deployment(spec)).expect("a valid model")
}

/// A model in the claim `models`.
pub(super) fn in_claim() -> Validated {
    model(
        json!({"source": {"persistentVolumeClaim": {"claimName": "models", "path": "smollm2.gguf"}}}),
    )
}

/// What a fetch pod found.
pub(super) fn fetched() -> Fetched {
    serde_json::from_value(json!({
        "model": {"architecture": "llama", "digest": "sha256:d1", "numerics": "cpu-1/int8"},
        "path": "smollm2.gguf",
        "bytes": 98,
    }))
    .expect("an answer")
}

/// Metadata of a child.
pub(super) fn metadata(name: &str, component: &str) -> Value {
    json!({
        "name": name,
        "namespace": "shop",
        "labels": labels(component),
        "annotations": {"textnlp.dev/owner-name": "smollm2"},
        "ownerReferences": [{
            "apiVersion": "textnlp.dev/v1alpha1", "kind": "ModelDeployment", "name": "smollm2", "uid": "uid-1",
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    })
}

/// Labels of a child.
pub(super) fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "textnlp-operator",
        "app.kubernetes.io/name": "textnlp",
        "textnlp.dev/model-uid": "uid-1",
    })
}

/// The pods' security under the restricted standard.
pub(super) fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// The containers' security under the restricted standard.
pub(super) fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
    })
}
