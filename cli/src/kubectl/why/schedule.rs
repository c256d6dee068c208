//! Why a pod has no node: the scheduler's words, and below them the claim that is not bound, or what the nodes offer. No I/O.

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, PodCondition};
use kube::ResourceExt;

use super::Step;
use super::pod::{reason, what};
use super::world::World;

/// Nodes that are told one by one.
const LISTED: usize = 5;

/// The chain from a pod that has no node.
pub(super) fn steps(world: &World, pod: &Pod, unscheduled: &PodCondition) -> Vec<Step> {
    let message =
        unscheduled.message.clone().unwrap_or_else(|| "no node has been found for it".into());
    let named = reason(unscheduled.reason.as_deref().unwrap_or("Unschedulable"), &message);
    let since = unscheduled.last_transition_time.as_ref().map(|time| time.0);
    let own = Step::new(what(pod), &named, message.clone(), since);
    let below = match named.as_str() {
        "ClaimNotBound" => claims(world, pod),
        _ => insufficient(&message)
            .and_then(|resource| nodes(world, pod, resource))
            .into_iter()
            .collect(),
    };
    [own].into_iter().chain(below).collect()
}

/// The first claim of a pod that is not there or not bound, or what its volume waits for.
pub(super) fn claims(world: &World, pod: &Pod) -> Vec<Step> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let names =
        volumes.filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name));
    names.filter_map(|name| claim(world, name)).take(1).collect()
}

fn claim(world: &World, name: &str) -> Option<Step> {
    let what = format!("pvc/{name}");
    if world.unread.iter().any(|unread| unread.contains("persistentvolumeclaims")) {
        return None;
    }
    let Some(claim) = world.claims.iter().find(|claim| claim.name_any() == name) else {
        return Some(Step::new(
            what,
            "ClaimNotFound",
            "there is no such claim in the namespace",
            None,
        ));
    };
    let phase =
        claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if phase == "Bound" {
        return None;
    }
    let said = world.event(claim.metadata.uid.as_deref(), &[]);
    let said = said.map(|event| {
        format!(
            "{}: {}",
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default()
        )
    });
    let message = format!(
        "{phase}, {}; {}",
        wish(claim),
        said.unwrap_or_else(|| "no volume was found or made for it".into())
    );
    Some(Step::new(
        what,
        "ClaimNotBound",
        message,
        claim.metadata.creation_timestamp.as_ref().map(|time| time.0),
    ))
}

/// What a claim asks for.
fn wish(claim: &PersistentVolumeClaim) -> String {
    let spec = claim.spec.clone().unwrap_or_default();
    let size = spec
        .resources
        .and_then(|resources| resources.requests)
        .and_then(|requests| requests.get("storage").cloned());
    let class = match spec.storage_class_name.as_deref() {
        None => "the default storage class".to_owned(),
        Some("") => "no storage class".to_owned(),
        Some(class) => format!("storage class {class}"),
    };
    let modes = spec.access_modes.unwrap_or_default().join(", ");
    format!("asks for {} {modes} of {class}", size.map_or_else(|| "space".into(), |size| size.0))
}

/// The resource that the scheduler finds too little of: `Insufficient nvidia.com/gpu`.
fn insufficient(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Insufficient ")?;
    rest.split([',', ' '])
        .next()
        .map(|name| name.trim_end_matches('.'))
        .filter(|name| !name.is_empty())
}

/// What the nodes have of a resource, beside what the pod asks for.
fn nodes(world: &World, pod: &Pod, resource: &str) -> Option<Step> {
    if world.nodes.is_empty() {
        return None;
    }
    let offers = |node: &Node| {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let has =
            allocatable.and_then(|all| all.get(resource)).map_or("none", |quantity| &quantity.0);
        format!("{} {has}", node.name_any())
    };
    let mut listed: Vec<String> = world.nodes.iter().take(LISTED).map(offers).collect();
    if world.nodes.len() > LISTED {
        listed.push(format!("and {} more", world.nodes.len() - LISTED));
    }
    let asked = pod.spec.iter().flat_map(|spec| &spec.containers).find_map(|container| {
        let resources = container.resources.as_ref()?;
        let of =
            |map: &Option<std::collections::BTreeMap<_, _>>| map.as_ref()?.get(resource).cloned();
        let quantity: k8s_openapi::apimachinery::pkg::api::resource::Quantity =
            of(&resources.requests).or_else(|| of(&resources.limits))?;
        Some(quantity.0)
    });
    let asked = asked.map(|asked| format!("the pod asks for {asked}; ")).unwrap_or_default();
    let message = format!("{asked}of {resource} the nodes have in all: {}", listed.join(", "));
    Some(Step::new("nodes", "Unschedulable", message, None))
}
