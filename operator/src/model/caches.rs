//! The controller's caches of what it made, and the watches that fill them. I/O: watches alone.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, future, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use textnlp_crds::ModelDeployment;
use textnlp_crds::task::labels;

use super::memory::Memory;
use super::triggers::Triggers;
use crate::context::Context;
use crate::watch;

/// Caches of children, and what is remembered of each model.
pub struct Caches {
    /// Servers.
    pub deployments: Store<Deployment>,
    /// Fetch Jobs.
    pub jobs: Store<Job>,
    /// Pods of both.
    pub pods: Store<Pod>,
    /// Both Services.
    pub services: Store<Service>,
    /// Accounts.
    pub service_accounts: Store<ServiceAccount>,
    /// Caches of model files.
    pub claims: Store<PersistentVolumeClaim>,
    /// Budgets.
    pub budgets: Store<PodDisruptionBudget>,
    /// Policies.
    pub policies: Store<NetworkPolicy>,
    /// What is remembered between two reconciliations, by the model's UID.
    memories: Mutex<HashMap<String, Memory>>,
}

impl Caches {
    /// Empty caches, and the watches that fill them: what they yield are the models to reconcile.
    pub fn new(context: &Context) -> (Self, Triggers) {
        let (deployments, deployment) = children::<Deployment>(context, |_| ());
        let (jobs, job) = children::<Job>(context, |job| watch::slim_job(job));
        let (pods, pod) = children::<Pod>(context, watch::slim_pod);
        let (services, service) = children::<Service>(context, drop_managers);
        let (service_accounts, account) = children::<ServiceAccount>(context, drop_managers);
        let (claims, claim) = children::<PersistentVolumeClaim>(context, drop_managers);
        let (budgets, budget) = children::<PodDisruptionBudget>(context, drop_managers);
        let (policies, policy) = children::<NetworkPolicy>(context, drop_managers);
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
            memories: Mutex::default(),
        };
        (caches, stream::select_all(all).boxed())
    }

    /// Waits until all of them are filled: what is not there yet must not be taken for what does not exist.
    pub async fn are_filled(&self) -> Result<(), WriterDropped> {
        self.deployments.wait_until_ready().await?;
        self.jobs.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.service_accounts.wait_until_ready().await?;
        self.claims.wait_until_ready().await?;
        self.budgets.wait_until_ready().await?;
        self.policies.wait_until_ready().await
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

/// A cache of one kind of children; each change of one asks for its model.
fn children<K>(context: &Context, slim: fn(&mut K)) -> (Store<K>, Triggers)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = store::store();
    let watched = watcher(context.api::<K>(), watch::children_of(labels::MODEL_UID));
    let events = watched.default_backoff().modify(slim).reflect(writer);
    let triggers = watch::touched(events).filter_map(|child| {
        future::ready(child.map(|child| model_of(&child)).transpose().map(|r| r.map(Into::into)))
    });
    (reader, triggers.boxed())
}

/// The model that a child says it belongs to. It need not be true: a reconciliation more does no harm.
fn model_of<K: Resource>(child: &K) -> Option<ObjectRef<ModelDeployment>> {
    let name = child.annotations().get(labels::OWNER_NAME)?;
    Some(ObjectRef::new(name).within(&child.namespace()?))
}

fn drop_managers<K: Resource>(child: &mut K) {
    child.meta_mut().managed_fields = None;
}
