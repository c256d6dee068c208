//! The objects that an explanation is made from. No I/O.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolumeClaim, Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use textnlp_crds::ModelDeployment;
use textnlp_crds::task::labels;

/// What was found in the namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// Its name.
    pub(crate) namespace: String,
    /// All models of the namespace.
    pub(crate) models: Vec<ModelDeployment>,
    /// Child Jobs of the job and its models.
    pub(crate) jobs: Vec<Job>,
    /// Deployments of the models.
    pub(crate) deployments: Vec<Deployment>,
    /// Pods of the job and its models.
    pub(crate) pods: Vec<Pod>,
    /// Claims of the namespace.
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    /// Quotas of the namespace.
    pub(crate) quotas: Vec<ResourceQuota>,
    /// Events of the namespace.
    pub(crate) events: Vec<Event>,
    /// Nodes, where a pod waits for one.
    pub(crate) nodes: Vec<Node>,
    /// Kueue's Workloads of the namespace, where the job names a queue.
    pub(crate) workloads: Vec<Value>,
    /// What could not be read, and why.
    pub(crate) unread: Vec<String>,
}

impl World {
    /// The newest event about an object with one of these reasons (any, where there are none), and its sentence.
    pub(super) fn event(&self, uid: Option<&str>, reasons: &[&str]) -> Option<&Event> {
        let about = |event: &&Event| {
            let reason = event.reason.as_deref().unwrap_or_default();
            event.involved_object.uid.as_deref() == uid
                && (reasons.is_empty() || reasons.contains(&reason))
        };
        uid.and_then(|_| self.events.iter().filter(about).max_by_key(|event| time(event)))
    }

    /// The newest warning about an object.
    pub(super) fn warning(&self, uid: Option<&str>) -> Option<&Event> {
        let about = |event: &&Event| {
            event.involved_object.uid.as_deref() == uid && event.type_.as_deref() == Some("Warning")
        };
        uid.and_then(|_| self.events.iter().filter(about).max_by_key(|event| time(event)))
    }

    /// The pods of a Job, the oldest first.
    pub(super) fn pods_of(&self, job: &Job) -> Vec<&Pod> {
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let owned = |pod: &&Pod| {
            pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid)
        };
        sorted(self.pods.iter().filter(owned))
    }

    /// The server pods of a model, the oldest first.
    pub(super) fn servers_of(&self, model_uid: &str) -> Vec<&Pod> {
        sorted(
            self.pods
                .iter()
                .filter(|pod| is_of(&pod.metadata, labels::MODEL_UID, model_uid, "server")),
        )
    }
}

/// Whether an object is a component of an owner.
pub(super) fn is_of(meta: &ObjectMeta, label: &str, uid: &str, component: &str) -> bool {
    let has = |key: &str, value: &str| {
        meta.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str) == Some(value)
    };
    has(label, uid) && has(labels::COMPONENT, component)
}

/// When an event was seen last.
pub(super) fn time(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(event.event_time.as_ref().map(|time| time.0))
}

fn sorted<'a>(pods: impl Iterator<Item = &'a Pod>) -> Vec<&'a Pod> {
    let mut pods: Vec<&Pod> = pods.collect();
    pods.sort_by_key(|pod| {
        (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.metadata.name.clone())
    });
    pods
}
