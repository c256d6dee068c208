//! What a reconciliation works with: the client, the caches, the settings, and where it reports to. No I/O of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::{Client, Resource, ResourceExt};
use textnlp_crds::task::labels;
use textnlp_crds::{GenerationJob, ModelDeployment};

use crate::budget::Budget;
use crate::config::Config;
use crate::events::Events;
use crate::filling::Filling;
use crate::index::Index;
use crate::metrics::Metrics;
use crate::scrape::Scraper;
use crate::watch::Lists;

/// Which namespaces a set of controllers looks after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Cluster,
    /// One. Several namespaces have a set of controllers each.
    Namespace(String),
}

impl Scope {
    /// A kind in these namespaces.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
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
    /// How caches are filled.
    pub lists: Lists,
    /// Cache of GenerationJobs; filled by the job controller.
    pub jobs: Store<GenerationJob>,
    /// Cache of ModelDeployments; filled by the model controller.
    pub models: Store<ModelDeployment>,
    /// Cache of the child Jobs of GenerationJobs.
    pub job_children: Store<Job>,
    /// Cache of the pods of GenerationJobs.
    pub job_pods: Store<Pod>,
    /// Which of [`Self::job_children`] belong to which job.
    pub job_children_index: Index,
    /// Which of [`Self::job_pods`] belong to which job.
    pub job_pods_index: Index,
    /// Whether the four caches are filled.
    pub filling: Filling,
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
    pub fn new(shared: Shared, scope: Scope, lists: Lists) -> (Arc<Self>, Writers) {
        let writers = Writers {
            jobs: Writer::new(()),
            models: Writer::new(()),
            job_children: Writer::new(()),
            job_pods: Writer::new(()),
        };
        let context = Self {
            shared,
            scope,
            lists,
            jobs: writers.jobs.as_reader(),
            models: writers.models.as_reader(),
            job_children: writers.job_children.as_reader(),
            job_pods: writers.job_pods.as_reader(),
            job_children_index: Index::new(labels::JOB_UID),
            job_pods_index: Index::new(labels::JOB_UID),
            filling: Filling::of(4),
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
        self.scope.api(self.client())
    }
}

/// Objects as the API server returned them when their status was written, until the watch has caught up. Without it, the next
/// reconciliation would start from the status before, and its write would be refused as a conflict.
pub struct Written<K>(Mutex<HashMap<String, Chain<K>>>);

/// Writes to one object, one upon the other.
struct Chain<K> {
    /// The versions that were written to: the watch may still be at any of them.
    bases: Vec<Option<String>>,
    /// What came of the last write.
    newest: Arc<K>,
}

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource> Written<K> {
    /// Remembers the object that came of writing to `base`, unless the cache has it already: the watch may be faster than
    /// the answer, and then nothing would take the object out again.
    pub fn insert(&self, base: &K, newest: Arc<K>, cache: &Store<K>)
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        let Some(uid) = base.uid() else { return };
        let mut written = self.lock();
        let before = written.remove(&uid);
        let follows =
            before.filter(|chain| chain.newest.resource_version() == base.resource_version());
        let mut bases = follows.map(|chain| chain.bases).unwrap_or_default();
        bases.push(base.resource_version());
        // Looked at under the lock, and `seen` comes after the cache: one of the two finds out.
        let cached = cache.get(&ObjectRef::from_obj(base));
        if cached.is_some_and(|cached| bases.contains(&cached.resource_version())) {
            written.insert(uid, Chain { bases, newest });
        }
    }

    /// The newest version that is known of a cached object.
    pub fn newest(&self, cached: Arc<K>) -> Arc<K> {
        let Some(uid) = cached.uid() else { return cached };
        match self.lock().get(&uid) {
            Some(chain) if chain.bases.contains(&cached.resource_version()) => chain.newest.clone(),
            _ => cached,
        }
    }

    /// The watch has shown this version, and the cache has it. If it is not one that was written to, it has what was written last, or is newer: a write
    /// names the version that it is based on, so none can lie between.
    pub fn seen(&self, object: &K) {
        let Some(uid) = object.uid() else { return };
        let mut written = self.lock();
        if written.get(&uid).is_some_and(|chain| !chain.bases.contains(&object.resource_version()))
        {
            written.remove(&uid);
        }
    }

    /// The object is gone.
    pub fn forget(&self, object: &K) {
        if let Some(uid) = object.uid() {
            self.lock().remove(&uid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Chain<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    fn version(version: &str) -> Arc<ConfigMap> {
        let metadata =
            json!({"name": "a", "namespace": "shop", "uid": "uid-1", "resourceVersion": version});
        Arc::new(serde_json::from_value(json!({"metadata": metadata})).expect("an object"))
    }

    fn cached(at: &str) -> Store<ConfigMap> {
        let (cache, mut writer) = kube::runtime::reflector::store();
        writer.apply_watcher_event(&Event::Apply((*version(at)).clone()));
        cache
    }

    #[test]
    fn an_answer_that_comes_after_its_watch_is_not_kept() {
        let written = Written::<ConfigMap>::default();
        written.insert(&version("1"), version("2"), &cached("2"));
        assert!(written.lock().is_empty());
    }

    #[test]
    fn what_was_written_counts_until_the_watch_has_it() {
        let written = Written::<ConfigMap>::default();
        let newest =
            |cached: &str| written.newest(version(cached)).resource_version().unwrap_or_default();
        assert_eq!(newest("1"), "1");
        written.insert(&version("1"), version("2"), &cached("1"));
        written.insert(&version("2"), version("3"), &cached("1"));
        assert_eq!((newest("1"), newest("2"), newest("3")), ("3".into(), "3".into(), "3".into()));
        written.seen(&version("2"));
        assert_eq!(newest("2"), "3", "the watch is still behind");
        assert_eq!(newest("9"), "9", "somebody else wrote since");
        written.seen(&version("3"));
        assert_eq!(newest("2"), "2");
        written.insert(&version("3"), version("4"), &cached("3"));
        written.forget(&version("9"));
        assert_eq!(newest("3"), "3");
    }
}
