//! Where a model's pods run and what they mount: what servers and fetch pods have in common. Pure.
//!
//! Both come from the same `spec.pod`, so that a fetch pod, the first that mounts the cache, puts its volume where the servers
//! can run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, PersistentVolumeClaimVolumeSource, PodAffinity, PodAffinityTerm, PodSpec,
    ResourceRequirements, SecretVolumeSource, Toleration, Volume, VolumeMount,
};
use textnlp_crds::output::AccessMode;
use textnlp_crds::task::labels;

use super::network::label_selector;
use super::validate::{Source, Validated};

/// Name of the volume with the model.
pub(super) const MODELS: &str = "models";
/// Name of the volume with the source's Secret.
pub(super) const SECRET: &str = "secret";

/// What servers and fetch pods have in common: account, place, tolerations.
pub(super) fn pod_spec(model: &Validated) -> PodSpec {
    let user = model.spec.pod.as_ref();
    PodSpec {
        affinity: affinity(model),
        service_account_name: Some(model.child_name()),
        tolerations: tolerations(
            user.and_then(|pod| pod.tolerations.as_deref()),
            model.spec.resources.as_ref(),
        ),
        ..PodSpec::default()
    }
}

/// A cache that one node at a time can attach keeps all pods of the model on one node: elsewhere they would wait for the volume
/// without a word. A user's own rules about other pods go before it.
fn affinity(model: &Validated) -> Option<Affinity> {
    let mode = model.spec.cache.as_ref().map(|cache| cache.access_mode).unwrap_or_default();
    if !matches!(model.source, Source::Remote { .. }) || mode != AccessMode::ReadWriteOnce {
        return None;
    }
    let mut affinity =
        model.spec.pod.as_ref().and_then(|pod| pod.affinity.clone()).unwrap_or_default();
    affinity.pod_affinity.get_or_insert_with(|| PodAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
            label_selector: Some(label_selector(
                [(labels::MODEL_UID.into(), model.owner.uid().into())].into(),
            )),
            topology_key: "kubernetes.io/hostname".into(),
            ..PodAffinityTerm::default()
        }]),
        ..PodAffinity::default()
    });
    Some(affinity)
}

/// The user's tolerations, and one for each device that is asked for: nodes with accelerators are often tainted with their
/// resource's name, and not every cluster adds the toleration by itself.
fn tolerations(
    user: Option<&[Toleration]>,
    resources: Option<&ResourceRequirements>,
) -> Option<Vec<Toleration>> {
    let mut tolerations = user.unwrap_or_default().to_vec();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    for device in limits.into_iter().flat_map(BTreeMap::keys).filter(|name| is_device(name)) {
        if !tolerations.iter().any(|toleration| toleration.key.as_ref() == Some(device)) {
            tolerations.push(Toleration {
                key: Some(device.clone()),
                operator: Some("Exists".into()),
                effect: Some("NoSchedule".into()),
                ..Toleration::default()
            });
        }
    }
    (!tolerations.is_empty()).then_some(tolerations)
}

/// An extended resource, such as `nvidia.com/gpu`: those of Kubernetes itself have no domain, or its own.
fn is_device(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"))
}

/// The claim with the model. A user's own is attached read-only too: that is all that some volumes allow.
pub(super) fn models_volume(model: &Validated) -> Volume {
    let read_only = matches!(model.source, Source::Claim { .. }).then_some(true);
    Volume {
        name: MODELS.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: model.claim_name(),
            read_only,
        }),
        ..Volume::default()
    }
}

pub(super) fn secret_volume(secret: &str) -> Volume {
    Volume {
        name: SECRET.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The Secret that opens the source.
pub(super) fn secret(model: &Validated) -> Option<&str> {
    match &model.source {
        Source::Remote { secret } => secret.as_deref(),
        Source::Claim { .. } | Source::External(_) => None,
    }
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::model;
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde_json::{Value, json};

    fn value(object: impl serde::Serialize) -> Value {
        serde_json::to_value(object).expect("JSON")
    }

    #[test]
    fn the_user_s_own_toleration_of_a_device_is_enough() {
        let resources = ResourceRequirements {
            limits: Some([("nvidia.com/gpu".to_owned(), Quantity("1".into()))].into()),
            ..ResourceRequirements::default()
        };
        let own: Vec<Toleration> =
            serde_json::from_value(json!([{"key": "nvidia.com/gpu", "value": "present"}]))
                .expect("tolerations");
        assert_eq!(tolerations(Some(&own), Some(&resources)), Some(own.clone()));
        assert_eq!(tolerations(None, None), None);
    }

    #[test]
    fn a_cache_of_one_node_keeps_its_pods_together() {
        let check = |spec: Value, expect: Value| assert_eq!(value(affinity(&model(spec))), expect);
        let hub = json!({"huggingFace": {"repo": "a/b"}});
        let together = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchLabels": {"textnlp.dev/model-uid": "uid-1"}}, "topologyKey": "kubernetes.io/hostname",
        }]});
        check(json!({"source": hub.clone()}), json!({"podAffinity": together.clone()}));
        check(
            json!({"source": hub.clone(), "cache": {"accessMode": "ReadWriteMany"}}),
            Value::Null,
        );
        check(json!({"source": {"persistentVolumeClaim": {"claimName": "models"}}}), Value::Null);
        let nodes = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]});
        let user =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": nodes}});
        let mut both = user.clone();
        both["podAffinity"] = together;
        check(json!({"source": hub, "pod": {"affinity": user}}), both);
    }
}
