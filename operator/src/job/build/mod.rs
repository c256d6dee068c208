//! Builders of a job's children: plain functions from a snapshot to Kubernetes objects. No I/O.

mod claim;
mod jobs;
mod mounts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use textnlp_crds::GenerationJobSpec;
use textnlp_crds::task::{JobTask, ModelEndpoint};

use crate::job::children::ATTEMPT;
use crate::job::spec;
use crate::meta::Owner;
use crate::names;

pub(crate) use claim::claim;
pub(crate) use jobs::{Blueprint, CANNOT_WORK, POD_HASH, finalize, generate, prepare};

/// Key of the ConfigMap, and name of the file, that holds a [`JobTask`].
const TASK_KEY: &str = "job.json";

/// The name of the ConfigMap with the snapshot of an attempt.
pub(crate) fn task_name(owner: &Owner, attempt: i32) -> String {
    names::job(owner.name(), owner.uid(), &format!("task-{attempt}"))
}

/// The name of the ConfigMap of a finalize step that judges by other rules than the attempt's snapshot.
pub(crate) fn finalize_task_name(owner: &Owner, attempt: i32, run: i32) -> String {
    names::job(owner.name(), owner.uid(), &format!("finalize-{attempt}-{run}"))
}

/// The snapshot that an attempt is begun with.
pub(crate) fn task(
    owner: &Owner,
    spec: &GenerationJobSpec,
    attempt: i32,
    models: BTreeMap<String, ModelEndpoint>,
) -> JobTask {
    JobTask {
        name: owner.name().into(),
        namespace: owner.namespace.clone(),
        uid: owner.uid().into(),
        spec: spec.clone(),
        models,
        attempt,
        claim: spec::output_claim(spec, owner),
    }
}

/// The snapshot for a finalize step: what decides rows as the attempt began with it, what judges and forms them as it is now.
pub(crate) fn rejudged(snapshot: &JobTask, spec: &GenerationJobSpec) -> JobTask {
    let mut task = snapshot.clone();
    task.spec.validation.clone_from(&spec.validation);
    task.spec.output.fields.clone_from(&spec.output.fields);
    task.spec.output.formats.clone_from(&spec.output.formats);
    task
}

/// The immutable ConfigMap that brings a snapshot to the pods.
pub(crate) fn task_map(
    owner: &Owner,
    name: &str,
    task: &JobTask,
) -> Result<ConfigMap, serde_json::Error> {
    let mut metadata = owner.object_meta(name, "task");
    metadata.annotations.get_or_insert_default().insert(ATTEMPT.into(), task.attempt.to_string());
    Ok(ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(TASK_KEY.into(), serde_json::to_string(task)?)])),
        immutable: Some(true),
        ..ConfigMap::default()
    })
}

/// The snapshot in a ConfigMap; none if it is not one of ours.
pub(crate) fn read_task(map: &ConfigMap) -> Option<JobTask> {
    serde_json::from_str(map.data.as_ref()?.get(TASK_KEY)?).ok()
}
