//! The plain client: it makes the writes that the operator made, as the audit log has them, with objects of the same size, in
//! the same order for each object, and waits for nothing. What may be compared with it is how fast its writes are answered,
//! and how fast the cluster has done the work of the Jobs that it created. I/O; how an object is copied has none.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::audit::Request;
use crate::error::Error;
use crate::fixtures::{NAMESPACE, PLAIN};

const FIELD_MANAGER: &str = "plain-client";

/// What the plain client did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Writes that were answered as they were to the operator.
    pub(crate) writes: usize,
    /// Writes that failed here.
    pub(crate) failed: usize,
    /// Writes of the operator that are not made again: those of the model, which there is only one of.
    pub(crate) left_out: usize,
    /// Jobs that were created.
    pub(crate) jobs: usize,
    /// Until the last answer.
    pub(crate) duration: Duration,
}

/// The kinds that belong to a job; all are written again.
fn kind(resource: &str) -> Option<&'static str> {
    Some(match resource {
        "generationjobs" => "GenerationJob",
        "jobs" => "Job",
        "configmaps" => "ConfigMap",
        "events" => "Event",
        "persistentvolumeclaims" => "PersistentVolumeClaim",
        _ => return None,
    })
}

/// The resource of a request.
pub(crate) fn resource(request: &Request) -> Option<ApiResource> {
    let api_version = match request.group.as_str() {
        "" => request.version.clone(),
        group => format!("{group}/{}", request.version),
    };
    Some(ApiResource {
        group: request.group.clone(),
        version: request.version.clone(),
        api_version,
        kind: kind(&request.resource)?.into(),
        plural: request.resource.clone(),
    })
}

/// The objects that the operator has written, and the jobs that stand for theirs in the other namespace.
pub(crate) struct Plain {
    client: Client,
    lanes: usize,
    /// By resource and name; those that are gone are stood for by any other of their resource.
    templates: HashMap<String, BTreeMap<String, Value>>,
    /// UID of each job's counterpart.
    owners: HashMap<String, String>,
}

impl Plain {
    /// Reads what the operator left behind. `lanes` writes are under way at once.
    pub(crate) async fn new(
        client: Client,
        lanes: usize,
        writes: &[Request],
    ) -> Result<Self, Error> {
        let mut plain = Self { client, lanes, templates: HashMap::new(), owners: HashMap::new() };
        for write in writes {
            let Some(resource) = resource(write) else { continue };
            if plain.templates.contains_key(&write.resource) {
                continue;
            }
            let objects = plain.list(&resource, NAMESPACE).await?;
            let objects = objects.into_iter().map(|object| (object.name_any(), json!(object)));
            plain.templates.insert(write.resource.clone(), objects.collect());
        }
        Ok(plain)
    }

    async fn list(
        &self,
        resource: &ApiResource,
        namespace: &str,
    ) -> Result<Vec<DynamicObject>, Error> {
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, resource);
        let what = format!("list {} in {namespace}", resource.plural);
        api.list(&ListParams::default()).await.map(|list| list.items).map_err(Error::api(what))
    }

    /// Makes all writes, as soon as the one before of the same lane is answered. The jobs' counterparts must be there.
    pub(crate) async fn run(
        &mut self,
        jobs: &ApiResource,
        writes: &[Request],
    ) -> Result<Outcome, Error> {
        let uid = |object: &DynamicObject| object.uid().unwrap_or_default();
        let counterparts = self.list(jobs, PLAIN).await?;
        self.owners = counterparts.iter().map(|job| (job.name_any(), uid(job))).collect();

        let ours: Vec<&Request> =
            writes.iter().filter(|write| write.is_ok() && self.is_ours(write)).collect();
        let mut lanes: Vec<Vec<&Request>> = vec![Vec::new(); self.lanes];
        for &write in &ours {
            // All writes of one object in one lane, so that they keep their order.
            let mut hasher = DefaultHasher::new();
            (&write.resource, &write.name).hash(&mut hasher);
            let lane = usize::try_from(hasher.finish() % self.lanes as u64).unwrap_or(0);
            lanes[lane].push(write);
        }
        let begun = Instant::now();
        let done: Vec<Lane> = join_all(lanes.iter().map(|lane| self.lane(lane))).await;
        let duration = begun.elapsed();
        Ok(Outcome {
            writes: done.iter().map(|lane| lane.written).sum(),
            failed: done.iter().map(|lane| lane.failed).sum(),
            left_out: writes.iter().filter(|write| write.is_ok()).count() - ours.len(),
            jobs: done.iter().map(|lane| lane.jobs).sum(),
            duration,
        })
    }

    fn is_ours(&self, write: &Request) -> bool {
        let known = self.templates.get(&write.resource).is_some_and(|objects| !objects.is_empty());
        known && write.namespace == NAMESPACE && !self.is_the_models(write)
    }

    /// Whether a write is about something of the model.
    fn is_the_models(&self, write: &Request) -> bool {
        let object =
            self.templates.get(&write.resource).and_then(|objects| objects.get(&write.name));
        object.is_some_and(|object| {
            object["metadata"]["labels"].get("textnlp.dev/model-uid").is_some()
                || object["regarding"]["kind"] == "ModelDeployment"
        })
    }

    async fn lane(&self, writes: &[&Request]) -> Lane {
        let mut lane = Lane::default();
        for (number, write) in writes.iter().enumerate() {
            match self.write(write, number).await {
                Ok(()) => {
                    lane.written += 1;
                    lane.jobs += usize::from(write.kind() == "create jobs");
                }
                Err(error) => {
                    if lane.failed == 0 {
                        crate::note(&format!("plain client: {error}"));
                    }
                    lane.failed += 1;
                }
            }
        }
        lane
    }

    /// Makes one write again. `number` makes each status another one: the API server stores no status twice.
    async fn write(&self, write: &Request, number: usize) -> Result<(), Error> {
        let Some((resource, template)) = resource(write).zip(self.template(write)) else {
            return Ok(());
        };
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), PLAIN, &resource);
        let name = write.name.as_str();
        let what = || format!("{} {name}", write.kind());
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        match (write.verb.as_str(), write.subresource.as_str()) {
            ("create", _) => {
                let object = copy(template, &resource.kind, name, &self.owners);
                let object: DynamicObject = serde_json::from_value(object)
                    .map_err(|error| Error::Unreadable { what: what(), found: error.to_string() })?;
                api.create(&PostParams::default(), &object).await.map(|_| ())
            }
            ("delete", _) => api.delete(name, &DeleteParams::background()).await.map(|_| ()),
            (_, "status") => {
                let mut status = template["status"].clone();
                status["progress"] = json!({"summary": format!("{number}/{number}"), "percent": 100});
                let body = json!({
                    "apiVersion": resource.api_version, "kind": resource.kind,
                    "metadata": {"name": name, "namespace": PLAIN}, "status": status
                });
                api.patch_status(name, &apply, &Patch::Apply(&body)).await.map(|_| ())
            }
            // An object that server-side apply creates is a patch that is answered with 201.
            (_, "") if write.code == 201 => {
                let mut object = copy(template, &resource.kind, name, &self.owners);
                object["apiVersion"] = resource.api_version.clone().into();
                object["kind"] = resource.kind.clone().into();
                api.patch(name, &apply, &Patch::Apply(&object)).await.map(|_| ())
            }
            _ => {
                let body = json!({"metadata": {"annotations": {"bench.textnlp.dev/write": number.to_string()}}});
                api.patch(name, &PatchParams::default(), &Patch::Merge(&body)).await.map(|_| ())
            }
        }
        .map_err(Error::api(what()))
    }

    fn template(&self, write: &Request) -> Option<&Value> {
        let objects = self.templates.get(&write.resource)?;
        objects.get(&write.name).or_else(|| objects.values().next())
    }
}

/// What one lane did.
#[derive(Default)]
struct Lane {
    written: usize,
    failed: usize,
    jobs: usize,
}

/// Creates objects, `at_once` at a time.
pub(crate) async fn create_all(
    api: &Api<DynamicObject>,
    at_once: usize,
    objects: Vec<Value>,
) -> Result<(), Error> {
    let lane = |first: usize| {
        let mine = objects.iter().skip(first).step_by(at_once);
        async move {
            for object in mine {
                let object: DynamicObject =
                    serde_json::from_value(object.clone()).map_err(|error| Error::Unreadable {
                        what: "an object".into(),
                        found: error.to_string(),
                    })?;
                let what = format!("create {}", object.name_any());
                api.create(&PostParams::default(), &object).await.map_err(Error::api(what))?;
            }
            Ok::<(), Error>(())
        }
    };
    try_join_all((0..at_once).map(lane)).await.map(|_| ())
}

/// The counterpart of an object in the other namespace: without what the API server and the Job controller have set, and
/// owned by the counterpart of its owner. Objects out of a list do not name their kind.
fn copy(object: &Value, kind: &str, name: &str, owners: &HashMap<String, String>) -> Value {
    let mut copy = object.clone();
    let remove = |value: &mut Value, keys: &[&str]| {
        if let Some(map) = value.as_object_mut() {
            keys.iter().for_each(|key| drop(map.shift_remove(*key)));
        }
    };
    let of_the_job = |key: &str| {
        key.starts_with("batch.kubernetes.io/") || matches!(key, "controller-uid" | "job-name")
    };
    remove(&mut copy, &["status"]);
    remove(
        &mut copy["metadata"],
        &[
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
            "finalizers",
        ],
    );
    copy["metadata"]["name"] = name.into();
    copy["metadata"]["namespace"] = PLAIN.into();
    for owner in copy["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        if let Some(uid) = owner["name"].as_str().and_then(|owner| owners.get(owner)) {
            owner["uid"] = uid.as_str().into();
        }
    }
    if kind == "Job" {
        remove(&mut copy["spec"], &["selector"]);
        for metadata in ["/metadata", "/spec/template/metadata"] {
            if let Some(labels) =
                copy.pointer_mut(&format!("{metadata}/labels")).and_then(Value::as_object_mut)
            {
                labels.retain(|key, _| !of_the_job(key));
            }
        }
    }
    if kind == "Event" {
        copy["regarding"]["namespace"] = PLAIN.into();
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_job_is_as_its_author_wrote_it_and_has_the_other_owner() {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": "j", "namespace": "bench", "uid": "1", "resourceVersion": "2", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [],
                "labels": {"app.kubernetes.io/name": "textnlp", "batch.kubernetes.io/job-name": "j"},
                "ownerReferences": [{"kind": "GenerationJob", "name": "job-00001", "uid": "old"}]
            },
            "spec": {
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}},
                "template": {"metadata": {"labels": {"controller-uid": "1", "job-name": "j", "a": "b"}}, "spec": {}}
            },
            "status": {"succeeded": 1}
        });
        let owners = HashMap::from([("job-00001".to_owned(), "new".to_owned())]);
        assert_eq!(
            copy(&job, "Job", "j", &owners),
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {
                    "name": "j", "namespace": "bench-plain",
                    "labels": {"app.kubernetes.io/name": "textnlp"},
                    "ownerReferences": [{"kind": "GenerationJob", "name": "job-00001", "uid": "new"}]
                },
                "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}}
            })
        );
    }
}
