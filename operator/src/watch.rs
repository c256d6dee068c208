//! Watches that feed caches and controllers: objects that cannot be read are left out instead of stopping the rest, and what no
//! one looks at is dropped before it is cached. I/O.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, future};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::{Api, WatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::context::{Context, Scope, Written};
use crate::events::{Notice, Severity};
use crate::meta::{MANAGED_BY_VALUE, OWNER_UID};
use crate::{apply, controller};

/// Seconds until a watch is renewed. A connection that went silent is noticed so much later at the most.
const WATCH_SECONDS: u32 = 60;

/// How the first content of a cache is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// As the beginning of a watch: an object at a time, so that neither side holds all of them.
    Streamed,
    /// In pages. API servers before 1.34 know nothing else unless they were told to.
    Paged,
}

impl Lists {
    /// What the API server offers: tried out, since versions do not say what is switched on.
    pub async fn offered(client: &Client, scope: &Scope) -> Self {
        let pods: Api<Pod> = scope.api(client);
        let none = WatchParams::default().fields("metadata.name=none").timeout(1).initial_events();
        loop {
            let watch = async { pods.watch(&none, "0").await.map(drop) };
            match apply::call(|| "watch of Pods".into(), watch).await {
                Ok(()) => return Self::Streamed,
                Err(error) if error.is_invalid() => {
                    tracing::info!("the API server does not stream lists: they are read in pages");
                    return Self::Paged;
                }
                Err(error) => {
                    tracing::warn!(%error, "the API server does not say how it lists");
                    tokio::time::sleep(controller::jittered(Duration::from_secs(4))).await;
                }
            }
        }
    }

    /// How watches are set up: with a short life.
    pub fn config(self) -> watcher::Config {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        match self {
            Self::Streamed => config.streaming_lists(),
            Self::Paged => config,
        }
    }

    /// How watches of children are set up: only those that carry `uid_label` and were made by the operator.
    pub fn children_of(self, uid_label: &str) -> watcher::Config {
        let managed = textnlp_crds::task::labels::MANAGED_BY;
        self.config().labels(&format!("{managed}={MANAGED_BY_VALUE},{uid_label}"))
    }
}

/// Watches one of our own kinds. An object that cannot be read (its CRD is older or newer than this program) is reported on the
/// object and left out.
pub fn guarded<K>(
    context: Arc<Context>,
    controller: &'static str,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api = context.api::<DeserializeGuard<K>>();
    watcher(api, context.lists.config()).try_filter_map(move |event| {
        future::ready(Ok(match event {
            Event::Init => Some(Event::Init),
            Event::InitDone => Some(Event::InitDone),
            Event::InitApply(object) => {
                readable(&context, controller, object).map(Event::InitApply)
            }
            Event::Apply(object) => readable(&context, controller, object).map(Event::Apply),
            Event::Delete(object) => object.0.ok().map(slim).map(Event::Delete),
        }))
    })
}

fn readable<K>(
    context: &Context,
    controller: &'static str,
    object: DeserializeGuard<K>,
) -> Option<K>
where
    K: Resource<DynamicType = ()>,
{
    match object.0 {
        Ok(object) => Some(slim(object)),
        Err(invalid) => {
            context.shared.metrics.invalid(controller);
            let name = invalid.metadata.name.clone().unwrap_or_default();
            tracing::warn!(kind = %K::kind(&()), name, error = invalid.error, "an object cannot be read");
            let regarding = k8s_openapi::api::core::v1::ObjectReference {
                api_version: Some(K::api_version(&()).into()),
                kind: Some(K::kind(&()).into()),
                name: invalid.metadata.name,
                namespace: invalid.metadata.namespace,
                uid: invalid.metadata.uid,
                resource_version: None,
                field_path: None,
            };
            context.shared.events.send(Notice {
                regarding,
                severity: Severity::Warning,
                reason: "Unreadable".into(),
                note: format!("the operator cannot read this object: {}; is the CRD of this operator's version installed?", invalid.error),
                action: "Read",
            });
            None
        }
    }
}

/// Keeps [`Written`] no longer than the watch needs to catch up: to be called after the cache has the event.
pub fn caught_up<K: Resource>(written: &Written<K>, event: &Event<K>) {
    match event {
        Event::Apply(object) | Event::InitApply(object) => written.seen(object),
        Event::Delete(object) => written.forget(object),
        Event::Init | Event::InitDone => {}
    }
}

/// An object without what only other clients look at.
pub fn slim<K: Resource>(mut object: K) -> K {
    object.managed_fields_mut().clear();
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
    object
}

/// A Job without its pod template, which is never read again.
pub fn slim_job(job: &mut Job) {
    job.metadata.managed_fields = None;
    if let Some(spec) = &mut job.spec {
        spec.template = Default::default();
    }
}

/// A pod with its metadata, status, node and containers' limits.
pub fn slim_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    let Some(spec) = pod.spec.take() else { return };
    let containers =
        spec.containers.into_iter().map(|container| k8s_openapi::api::core::v1::Container {
            name: container.name,
            image: container.image,
            resources: container.resources,
            ..Default::default()
        });
    pod.spec = Some(PodSpec {
        node_name: spec.node_name,
        containers: containers.collect(),
        ..PodSpec::default()
    });
}

/// The objects that changed, were found, or are gone.
pub fn touched<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<K>> + Send
where
    K: Send,
{
    events.filter_map(|event| {
        future::ready(match event {
            Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
                Some(Ok(object))
            }
            Ok(Event::Init | Event::InitDone) => None,
            Err(error) => Some(Err(error)),
        })
    })
}

/// Whose child an object is that outlives its owner.
pub fn owner_uid<K: Resource>(object: &K) -> Option<&str> {
    object.annotations().get(OWNER_UID).map(String::as_str)
}
