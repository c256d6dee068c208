//! The controller's caches of what it made, and the watches that fill them. I/O: watches alone.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::controller::trigger_with;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use textnlp_crds::ModelDeployment;
use textnlp_crds::task::labels;

use super::memory::Memory;
use super::triggers::Triggers;
use crate::context::Context;
use crate::filling::Filling;
use crate::index::Index;
use crate::watch;

/// Caches of children, and what is remembered of each model.
pub struct Caches {
    /// Servers.
    pub deployments: Children<Deployment>,
    /// Fetch Jobs.
    pub jobs: Children<Job>,
    /// Pods of both.
    pub pods: Children<Pod>,
    /// Both Services.
    pub services: Children<Service>,
    /// Accounts.
    pub service_accounts: Children<ServiceAccount>,
    /// Caches of model files.
    pub claims: Children<PersistentVolumeClaim>,
    /// Budgets.
    pub budgets: Children<PodDisruptionBudget>,
    /// Policies.
    pub policies: Children<NetworkPolicy>,
    /// Whether all of them are filled.
    pub filling: Filling,
    /// What is remembered between two reconciliations, by the model's UID.
    memories: Mutex<HashMap<String, Memory>>,
}

/// A cache of one kind of children.
pub struct Children<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    index: Arc<Index>,
}

impl<K> Children<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// The child of that name.
    pub fn named(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// All that carry the model's UID.
    pub fn of(&self, uid: &str) -> Vec<Arc<K>> {
        self.index.children(uid, &self.store)
    }
}

impl Caches {
    /// Empty caches, and the watches that fill them: what they yield are the models to reconcile.
    pub fn new(context: &Context) -> (Self, Triggers) {
        let filling = Filling::of(8);
        let watches = Watches { context, filling: &filling };
        let (deployments, deployment) = watches.children::<Deployment>(|_| ());
        let (jobs, job) = watches.children::<Job>(watch::slim_job);
        let (pods, pod) = watches.children::<Pod>(watch::slim_pod);
        let (services, service) = watches.children::<Service>(drop_managers);
        let (service_accounts, account) = watches.children::<ServiceAccount>(drop_managers);
        let (claims, claim) = watches.children::<PersistentVolumeClaim>(drop_managers);
        let (budgets, budget) = watches.children::<PodDisruptionBudget>(drop_managers);
        let (policies, policy) = watches.children::<NetworkPolicy>(drop_managers);
        let all = [deployment, job, pod, service, account, claim, budget, policy];
        let caches = Self {
            deployments,
            jobs,
            pods,
            services,
            service_accounts,
            claims,
            budgets,
            policies,
            filling,
            memories: Mutex::default(),
        };
        (caches, stream::select_all(all).boxed())
    }

    /// Works with what is remembered of the model with this UID.
    pub fn memory<T>(&self, uid: &str, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        work(memories.entry(uid.to_owned()).or_default())
    }

    /// Forgets a model that is gone.
    pub fn forget(&self, uid: &str) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// What the watches of children have in common.
struct Watches<'a> {
    context: &'a Context,
    filling: &'a Filling,
}

impl Watches<'_> {
    /// A cache of one kind of children; each change of one asks for its model.
    fn children<K>(&self, slim: fn(&mut K)) -> (Children<K>, Triggers)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (store, writer) = store::store();
        let index = Arc::new(Index::new(labels::MODEL_UID));
        let indexed = index.clone();
        let events =
            watcher(self.context.api::<K>(), self.context.lists.children_of(labels::MODEL_UID))
                .default_backoff()
                .modify(slim)
                .inspect_ok(move |event| indexed.follow(event))
                .reflect(writer)
                .inspect_ok(self.filling.follow());
        let triggers = trigger_with(watch::touched(events), |child| model_of(&child));
        (Children { store, index }, triggers.boxed())
    }
}

/// The model that a child says it belongs to. It need not be true: a reconciliation more does no harm.
fn model_of<K: Resource>(child: &K) -> Option<ObjectRef<ModelDeployment>> {
    let name = child.annotations().get(labels::OWNER_NAME)?;
    Some(ObjectRef::new(name).within(child.meta().namespace.as_deref()?))
}

fn drop_managers<K: Resource>(child: &mut K) {
    child.meta_mut().managed_fields = None;
}

#[cfg(test)]
pub(super) mod filled {
    //! Caches as watches would have filled them.

    use super::*;
    use kube::runtime::watcher::Event;

    /// Caches that hold these objects, each of one of the kinds.
    pub(in super::super) fn caches(objects: &[serde_json::Value]) -> Caches {
        Caches {
            deployments: children(objects),
            jobs: children(objects),
            pods: children(objects),
            services: children(objects),
            service_accounts: children(objects),
            claims: children(objects),
            budgets: children(objects),
            policies: children(objects),
            filling: Filling::of(0),
            memories: Mutex::default(),
        }
    }

    fn children<K>(objects: &[serde_json::Value]) -> Children<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
    {
        let (store, mut writer) = store::store();
        let index = Arc::new(Index::new(labels::MODEL_UID));
        let mut see = |event: Event<K>| {
            index.follow(&event);
            writer.apply_watcher_event(&event);
        };
        see(Event::Init);
        for object in objects.iter().filter(|object| object["kind"] == *K::kind(&())) {
            see(Event::InitApply(serde_json::from_value(object.clone()).expect("an object")));
        }
        see(Event::InitDone);
        Children { store, index }
    }
}
