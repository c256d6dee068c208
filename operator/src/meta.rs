//! Metadata of children: labels, annotations, owner references, and the hash by which an unchanged child is known. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use textnlp_crds::task::labels;

/// The one field manager of everything that the operator applies (the scaler's replicas have their own).
pub const FIELD_MANAGER: &str = "textnlp-operator";

/// Annotation: hash of the object as the operator wanted it. See [`with_hash`].
pub const DESIRED_HASH: &str = "textnlp.dev/desired-hash";
/// Annotation of what outlives its owner: the owner's UID.
pub const OWNER_UID: &str = "textnlp.dev/owner-uid";

/// Value of `app.kubernetes.io/name`.
pub const NAME_VALUE: &str = "textnlp";
/// Value of `app.kubernetes.io/managed-by`.
pub const MANAGED_BY_VALUE: &str = "textnlp-operator";

/// Who owns a child.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Reference with `controller` and `blockOwnerDeletion`.
    pub reference: OwnerReference,
    /// Namespace of owner and child.
    pub namespace: String,
    /// Label that carries the owner's UID.
    pub uid_label: &'static str,
}

impl Owner {
    /// The owner of a GenerationJob's or ModelDeployment's children; none for an object without UID, which no API server
    /// gives out.
    pub fn of<K: Resource<DynamicType = ()>>(owner: &K, uid_label: &'static str) -> Option<Self> {
        let mut reference = owner.controller_owner_ref(&())?;
        // Deleted in the foreground, the owner stays until its children are gone.
        reference.block_owner_deletion = Some(true);
        Some(Self { reference, namespace: owner.namespace()?, uid_label })
    }

    /// The owner's name.
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// The owner's UID.
    pub fn uid(&self) -> &str {
        &self.reference.uid
    }

    /// The labels of everything that is made for this owner.
    pub fn labels(&self, component: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            (labels::NAME.into(), NAME_VALUE.into()),
            (labels::MANAGED_BY.into(), MANAGED_BY_VALUE.into()),
            (labels::COMPONENT.into(), component.into()),
            (self.uid_label.into(), self.uid().into()),
        ])
    }

    /// The annotations of everything that is made for this owner.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(labels::OWNER_NAME.into(), self.name().into())])
    }

    /// Metadata of a child that goes when its owner goes.
    pub fn object_meta(&self, name: &str, component: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(component)),
            annotations: Some(self.annotations()),
            owner_references: Some(vec![self.reference.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// Whether this owner is the controller of the object. Labels do not count: anyone can write them.
    pub fn controls(&self, meta: &ObjectMeta) -> bool {
        meta.owner_references.iter().flatten().any(|reference| {
            reference.controller == Some(true) && reference.uid == self.reference.uid
        })
    }
}

/// The object with the annotation [`DESIRED_HASH`] over everything else in it.
pub fn with_hash<K: Resource + Serialize>(mut object: K) -> K {
    object.annotations_mut().remove(DESIRED_HASH);
    let hash = hash(&object);
    object.annotations_mut().insert(DESIRED_HASH.into(), hash);
    object
}

/// SHA-256 of a value's canonical JSON (sorted keys), in 16 hexadecimal digits.
pub fn hash(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let digest = Sha256::digest(sorted(value).to_string());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let keys: BTreeMap<_, _> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(keys.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Whether everything that is wanted is there: each field of `wanted` in `found`, whatever else `found` has. What a server
/// leaves out (null, false, zero, empty) counts as there, and quantities are compared by their value.
pub fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| match found.get(key) {
                Some(found) => contains(found, wanted),
                None => is_zero(wanted),
            })
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| contains(found, wanted))
        }
        (Value::String(found), Value::String(wanted)) => {
            found == wanted
                || matches!((quantity(found), quantity(wanted)), (Some(a), Some(b)) if a == b)
        }
        (found, wanted) => found == wanted,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
        Value::Bool(true) => false,
    }
}

/// The value of a Kubernetes quantity in thousandths.
fn quantity(text: &str) -> Option<i128> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = whole.parse().ok()?;
    let mut value = whole.checked_mul(factor)?;
    if !fraction.is_empty() && fraction.len() <= 9 {
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        value += fraction.parse::<i128>().ok()?.checked_mul(factor)? / scale;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    #[test]
    fn a_hash_changes_with_the_object_and_only_then() {
        let object = |value: &str| ConfigMap {
            data: Some(BTreeMap::from([("key".into(), value.into())])),
            ..ConfigMap::default()
        };
        let first = with_hash(object("a"));
        assert_eq!(first, with_hash(first.clone()));
        assert_ne!(
            first.annotations()[DESIRED_HASH],
            with_hash(object("b")).annotations()[DESIRED_HASH]
        );
    }

    #[test]
    fn what_the_server_adds_or_leaves_out_is_no_difference() {
        let check = |found: Value, wanted: Value, same: bool| {
            assert_eq!(contains(&found, &wanted), same, "{found} {wanted}");
        };
        check(json!({"a": 1, "b": 2}), json!({"a": 1}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": false, "c": {}, "d": {"e": []}}), true);
        check(json!({"a": 1}), json!({"a": 2}), false);
        check(json!({"cpu": "1"}), json!({"cpu": "1000m"}), true);
        check(json!({"memory": "1Gi"}), json!({"memory": "1024Mi"}), true);
        check(json!({"memory": "1536Mi"}), json!({"memory": "1.5Gi"}), true);
        check(json!({"a": [1, 2]}), json!({"a": [1]}), false);
        check(json!({}), json!({"a": true}), false);
    }
}
