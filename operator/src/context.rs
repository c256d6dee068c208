//! What a reconciliation works with: the client, the caches, the settings, and where it reports to. No I/O of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::reflector::{Store, store::Writer};
use kube::{Client, Resource, ResourceExt};
use textnlp_crds::{GenerationJob, ModelDeployment};

use crate::budget::Budget;
use crate::config::Config;
use crate::error::Error;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::scrape::Scraper;

/// Which namespaces a set of controllers looks after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Cluster,
    /// One. Several namespaces have a set of controllers each.
    Namespace(String),
}

/// What is shared by all scopes of the process and survives a change of leadership.
#[derive(Clone)]
pub struct Shared {
    /// The client; its writes are refused once the lease could be another's.
    pub client: Client,
    /// The settings.
    pub config: Arc<Config>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Where Kubernetes Events go.
    pub events: Events,
    /// The budget of writes that only show progress.
    pub budget: Arc<Budget>,
    /// Reads `/metrics` of pods.
    pub scraper: Scraper,
}

/// What a reconciliation works with. The caches of children hold only those of their owner's kind.
pub struct Context {
    /// What all scopes share.
    pub shared: Shared,
    /// Where to look.
    pub scope: Scope,
    /// Cache of GenerationJobs; filled by the job controller.
    pub jobs: Store<GenerationJob>,
    /// Cache of ModelDeployments; filled by the model controller.
    pub models: Store<ModelDeployment>,
    /// Cache of the child Jobs of GenerationJobs.
    pub job_children: Store<Job>,
    /// Cache of the pods of GenerationJobs.
    pub job_pods: Store<Pod>,
    /// What the workers of jobs said last.
    pub job_progress: crate::job::progress::Memory,
    /// Statuses that were written and are not in the cache yet.
    pub written_jobs: Written<GenerationJob>,
    /// The same for ModelDeployments.
    pub written_models: Written<ModelDeployment>,
}

/// The writing ends of the caches of a [`Context`], for the controllers' watches.
pub struct Writers {
    /// For the job controller.
    pub jobs: Writer<GenerationJob>,
    /// For the model controller.
    pub models: Writer<ModelDeployment>,
    /// For the job controller.
    pub job_children: Writer<Job>,
    /// For the job controller.
    pub job_pods: Writer<Pod>,
}

impl Context {
    /// A context with empty caches, for one scope and one term of leadership.
    pub fn new(shared: Shared, scope: Scope) -> (Arc<Self>, Writers) {
        let writers = Writers {
            jobs: Writer::new(()),
            models: Writer::new(()),
            job_children: Writer::new(()),
            job_pods: Writer::new(()),
        };
        let context = Self {
            shared,
            scope,
            jobs: writers.jobs.as_reader(),
            models: writers.models.as_reader(),
            job_children: writers.job_children.as_reader(),
            job_pods: writers.job_pods.as_reader(),
            job_progress: Default::default(),
            written_jobs: Written::default(),
            written_models: Written::default(),
        };
        (Arc::new(context), writers)
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// A kind in the namespaces of this scope, for watches.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.scope {
            Scope::Cluster => Api::all(self.shared.client.clone()),
            Scope::Namespace(namespace) => Api::namespaced(self.shared.client.clone(), namespace),
        }
    }

    /// Waits until all caches that reconciliations read from are filled: an object that is not there yet must not be taken
    /// for one that does not exist.
    pub async fn caches_are_filled(&self) -> Result<(), Error> {
        let filled = futures::future::try_join4(
            self.jobs.wait_until_ready(),
            self.models.wait_until_ready(),
            self.job_children.wait_until_ready(),
            self.job_pods.wait_until_ready(),
        );
        filled.await.map(|_| ()).map_err(|_| Error::Incomplete("cache: its watch has ended"))
    }
}

/// Objects as the API server returned them when their status was written, until the watch has caught up. Without it, the next
/// reconciliation would start from the status before, and its write would be refused as a conflict.
pub struct Written<K>(Mutex<ByUid<K>>);

/// By the object's UID: the version that was written to, and what came of it.
type ByUid<K> = HashMap<String, (Option<String>, Arc<K>)>;

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource> Written<K> {
    /// Remembers the object that came of writing to `base`.
    pub fn insert(&self, base: &K, object: Arc<K>) {
        if let Some(uid) = base.uid() {
            self.lock().insert(uid, (base.resource_version(), object));
        }
    }

    /// The newest version that is known of a cached object.
    pub fn newest(&self, cached: Arc<K>) -> Arc<K> {
        let Some(uid) = cached.uid() else { return cached };
        match self.lock().get(&uid) {
            Some((base, object)) if *base == cached.resource_version() => object.clone(),
            _ => cached,
        }
    }

    /// The watch has shown this version: what was written before it is in it. (A write names the version that it is based on, so
    /// none can lie between a base and what came of it.)
    pub fn seen(&self, object: &K) {
        let Some(uid) = object.uid() else { return };
        let mut written = self.lock();
        if written.get(&uid).is_some_and(|(base, _)| *base != object.resource_version()) {
            written.remove(&uid);
        }
    }

    /// The object is gone.
    pub fn forget(&self, object: &K) {
        if let Some(uid) = object.uid() {
            self.lock().remove(&uid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByUid<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
