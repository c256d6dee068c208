//! What a job's spec means for its children: which models, which claim. No I/O.

use std::collections::BTreeSet;

use textnlp_crds::GenerationJobSpec;
use textnlp_crds::output::OwnedClaim;

use crate::meta::Owner;
use crate::names;

/// The models that the columns call, by name.
pub(crate) fn models(spec: &GenerationJobSpec) -> BTreeSet<String> {
    let called = spec.columns.iter().filter(|column| column.value.is_none());
    called
        .filter_map(|column| column.model_ref.as_ref().or(spec.model_ref.as_ref()))
        .map(|model| model.name.clone())
        .collect()
}

/// The model that the status names: the job's own, or that of the first column that calls one.
pub(crate) fn main_model(spec: &GenerationJobSpec) -> Option<String> {
    let called = models(spec);
    let own =
        spec.model_ref.as_ref().map(|model| &model.name).filter(|name| called.contains(*name));
    let first = spec
        .columns
        .iter()
        .filter(|column| column.value.is_none())
        .find_map(|column| column.model_ref.as_ref());
    own.or(first.map(|model| &model.name)).cloned()
}

/// The claim that the operator makes for the job; none if the dataset goes elsewhere.
pub(crate) fn owned_claim(spec: &GenerationJobSpec) -> Option<OwnedClaim> {
    let Some(destination) = &spec.output.destination else { return Some(default_claim()) };
    let elsewhere = destination.persistent_volume_claim.is_some()
        || destination.object_store.is_some()
        || destination.directory.is_some();
    match &destination.claim {
        Some(claim) => Some(claim.clone()),
        None if elsewhere => None,
        None => Some(default_claim()),
    }
}

/// As the schema has it.
fn default_claim() -> OwnedClaim {
    serde_json::from_value(serde_json::json!({})).unwrap_or_default()
}

/// The name of the claim at the output's mount: the user's own or the operator's.
pub(crate) fn output_claim(spec: &GenerationJobSpec, owner: &Owner) -> Option<String> {
    let theirs =
        spec.output.destination.as_ref().and_then(|place| place.persistent_volume_claim.as_ref());
    match theirs {
        Some(claim) => Some(claim.claim_name.clone()),
        None => owned_claim(spec).map(|_| claim_name(owner)),
    }
}

/// The name of the claim that the operator makes.
pub(crate) fn claim_name(owner: &Owner) -> String {
    names::job(owner.name(), owner.uid(), "dataset")
}
