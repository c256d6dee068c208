//! What the tests of this folder share: a job, its model, its children, and the settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use textnlp_crds::task::{Prepared, labels};
use textnlp_crds::{GenerationJob, ModelDeployment};

use super::children::{Child, Step};
use super::observe::{Needs, Observed};
use super::position::validation_hash;
pub(super) use crate::fixture::{config, config_with, merge};
use crate::meta::Owner;

/// The digest of the model.
pub(super) const DIGEST: &str = "sha256:d1";

/// A time, so many seconds after the beginning.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a valid time")
}

/// The GenerationJob `shop/tickets`, generation 1, with these fields over a small spec.
pub(super) fn job(fields: Value) -> GenerationJob {
    let mut spec = json!({
        "modelRef": {"name": "smollm2"},
        "source": {"inline": {"records": [{"product": "kettle"}, {"product": "lamp"}]}},
        "columns": [{"name": "ticket", "prompt": "{{ product }}"}],
    });
    merge(&mut spec, fields);
    serde_json::from_value(json!({
        "apiVersion": "textnlp.dev/v1alpha1",
        "kind": "GenerationJob",
        "metadata": {"name": "tickets", "namespace": "shop", "uid": "uid-1", "generation": 1, "resourceVersion": "7"},
        "spec": spec,
        "status": {"observedGeneration": -1},
    }))
    .expect("a job")
}

/// The job with this status.
pub(super) fn with_status(mut job: GenerationJob, status: Value) -> GenerationJob {
    job.status = Some(serde_json::from_value(status).expect("a status"));
    job
}

/// Conditions, as `Type=Status/Reason`, that were last changed at second 0.
pub(super) fn conditions(of: &[&str]) -> Value {
    let condition = |text: &&str| {
        let (type_, rest) = text.split_once('=').expect("Type=Status/Reason");
        let (status, reason) = rest.split_once('/').unwrap_or((rest, "Any"));
        json!({"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": at(0).to_string()})
    };
    of.iter().map(condition).collect()
}

/// The status of a job whose attempt has begun, with this merged in.
pub(super) fn begun(fields: Value) -> Value {
    let mut status = json!({
        "observedGeneration": 1,
        "startTime": at(0).to_string(),
        "attempt": 0,
        "activeSeconds": 0,
        "phase": "Preparing",
        "model": {"name": "smollm2", "digest": DIGEST, "numerics": "cpu-1/int8", "reproducible": true},
        "conditions": conditions(&["Reconciling=True/Preparing", "Suspended=False/NotSuspended", "Succeeded=Unknown/NotYet"]),
    });
    merge(&mut status, fields);
    status
}

/// A model that serves.
pub(super) fn model() -> ModelDeployment {
    model_with(json!({
        "readyReplicas": 1,
        "url": "http://mdl-smollm2-afaec2d5.shop.svc:8000",
        "model": {"digest": DIGEST, "numerics": "cpu-1/int8", "chatTemplate": true, "contextTokens": 2048},
        "conditions": conditions(&["Ready=True/Serving"]),
    }))
}

/// A model with this status.
pub(super) fn model_with(status: Value) -> ModelDeployment {
    serde_json::from_value(json!({
        "apiVersion": "textnlp.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "smollm2", "namespace": "shop", "uid": "uid-2", "generation": 1},
        "spec": {"source": {"persistentVolumeClaim": {"claimName": "models"}}},
        "status": status,
    }))
    .expect("a model")
}

/// What prepare answers: 2 records, 8 rows of which 2 are there, 3 shards.
pub(super) fn answered() -> Prepared {
    Prepared { records: 2, rows: 8, finished: 2, shards: 3, generation_hash: "sha256:g".into() }
}

/// The owner that the job is.
pub(super) fn owner(job: &GenerationJob) -> Owner {
    Owner::of(job, labels::JOB_UID).expect("a UID")
}

/// A child Job of attempt 0 and run 0, with these fields merged in.
pub(super) fn child(job: &GenerationJob, step: Step, fields: Value) -> Child {
    child_of(job, step, 0, 0, fields)
}

/// A child Job with these fields merged in.
pub(super) fn child_of(
    job: &GenerationJob,
    step: Step,
    attempt: i32,
    run: i32,
    fields: Value,
) -> Child {
    let mut object = json!({
        "metadata": {
            "name": format!("{}-{attempt}-{run}", step.word()),
            "namespace": "shop",
            "uid": format!("uid-{}-{attempt}-{run}", step.word()),
            "creationTimestamp": at(0).to_string(),
            "labels": {"app.kubernetes.io/component": step.component(), "textnlp.dev/job-uid": "uid-1"},
            "annotations": {
                "textnlp.dev/attempt": attempt.to_string(),
                "textnlp.dev/run": run.to_string(),
                "textnlp.dev/validation-hash": validation_hash(&job.spec),
            },
            "ownerReferences": [{"apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob", "name": "tickets", "uid": "uid-1", "controller": true}],
        },
        "spec": {"completions": if step == Step::Generate { 3 } else { 1 }, "parallelism": 1, "template": {}},
    });
    merge(&mut object, fields);
    let object: Job = serde_json::from_value(object).expect("a Job");
    Child::of(&owner(job), Arc::new(object), &[]).expect("a child")
}

/// The status of a Job with a condition.
pub(super) fn job_condition(type_: &str, reason: &str) -> Value {
    json!({"status": {"conditions": [{"type": type_, "status": "True", "reason": reason, "message": "because"}]}})
}

/// The child with a pod that ended so and wrote this.
pub(super) fn ended(mut child: Child, exit_code: i32, message: &str) -> Child {
    let name = format!("{}-pod-{}", child.step.word(), child.pods.len());
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": {"containers": []},
        "status": {
            "phase": if exit_code == 0 { "Succeeded" } else { "Failed" },
            "containerStatuses": [{
                "name": "textnlp", "image": "textnlp:0.1.0", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": exit_code, "reason": if exit_code == 0 { "Completed" } else { "Error" },
                    "message": message, "finishedAt": at(5).to_string()}},
            }],
        },
    }))
    .expect("a pod");
    child.pods.push(Arc::new(pod));
    child
}

/// A complete prepare child that answered [`answered`].
pub(super) fn prepare_done(job: &GenerationJob) -> Child {
    let child = child(job, Step::Prepare, job_condition("Complete", ""));
    ended(child, 0, &textnlp_crds::task::Termination::Prepared(answered()).write())
}

/// A generate child with these fields merged in.
pub(super) fn generate(job: &GenerationJob, fields: Value) -> Child {
    let prepared = serde_json::to_string(&answered()).expect("JSON");
    let mut all = json!({"metadata": {"annotations": {"textnlp.dev/prepared": prepared}}});
    merge(&mut all, fields);
    child(job, Step::Generate, all)
}

/// A look at the job that found a model that serves, nothing else missing, and these children.
pub(super) fn observed(job: GenerationJob, children: Vec<Child>) -> Observed {
    let attempt = super::position::attempt(&job, None);
    let models = BTreeMap::from([("smollm2".to_owned(), Some(Arc::new(model())))]);
    Observed {
        owner: owner(&job),
        job: Arc::new(job),
        models,
        children,
        attempt,
        snapshot: None,
        needs: Needs::default(),
        owned_claim: None,
        trouble: None,
        queue_message: None,
        rates: None,
    }
}

/// The same, with the snapshot that the attempt was begun with.
pub(super) fn with_snapshot(mut observed: Observed) -> Observed {
    let validated = super::validate::validate(&observed).expect("valid");
    let task =
        super::build::task(&observed.owner, &observed.job.spec, observed.attempt, validated.models);
    observed.snapshot = Some(task);
    observed
}
