//! Which cached children belong to which owner, so that a reconciliation need not look through all of them. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

/// Namespaces and names of children, by the owner's UID in a label.
#[derive(Debug)]
pub struct Index {
    label: &'static str,
    by_owner: Mutex<ByOwner>,
}

type ByOwner = HashMap<String, BTreeSet<(String, String)>>;

impl Index {
    /// An empty index of what carries the owner's UID in `label`.
    pub fn new(label: &'static str) -> Self {
        Self { label, by_owner: Mutex::default() }
    }

    /// Follows a watch.
    pub fn follow<K: Resource>(&self, event: &Event<K>) {
        match event {
            Event::Apply(child) | Event::InitApply(child) => self.insert(child),
            Event::Delete(child) => self.remove(child),
            Event::Init | Event::InitDone => {}
        }
    }

    /// The owner's children that are in the cache.
    pub fn children<K>(&self, owner: &str, cache: &Store<K>) -> Vec<Arc<K>>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        let names = self.lock().get(owner).cloned().unwrap_or_default();
        let found = names.iter().filter_map(|(namespace, name)| {
            let child = cache.get(&ObjectRef::<K>::new(name).within(namespace))?;
            (child.labels().get(self.label).map(String::as_str) == Some(owner)).then_some(child)
        });
        found.collect()
    }

    fn insert<K: Resource>(&self, child: &K) {
        if let Some(owner) = child.labels().get(self.label) {
            self.lock().entry(owner.clone()).or_default().insert(place(child));
        }
    }

    fn remove<K: Resource>(&self, child: &K) {
        let Some(owner) = child.labels().get(self.label) else { return };
        let mut by_owner = self.lock();
        if let Some(children) = by_owner.get_mut(owner) {
            children.remove(&place(child));
            if children.is_empty() {
                by_owner.remove(owner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByOwner> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place<K: Resource>(child: &K) -> (String, String) {
    (child.namespace().unwrap_or_default(), child.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use kube::runtime::reflector;
    use serde_json::json;

    fn pod(name: &str, owner: &str) -> Pod {
        let metadata = json!({"name": name, "namespace": "shop", "labels": {"owner": owner}});
        serde_json::from_value(json!({"metadata": metadata})).expect("a pod")
    }

    #[test]
    fn children_are_found_by_their_owner_until_they_are_gone() {
        let (cache, mut writer) = reflector::store::<Pod>();
        let index = Index::new("owner");
        let mut see = |event: Event<Pod>| {
            index.follow(&event);
            writer.apply_watcher_event(&event);
        };
        see(Event::Init);
        see(Event::InitApply(pod("a", "one")));
        see(Event::InitApply(pod("b", "two")));
        see(Event::InitDone);
        see(Event::Apply(pod("c", "one")));
        let names = |owner: &str| -> Vec<String> {
            index.children(owner, &cache).iter().map(|pod| pod.name_any()).collect()
        };
        assert_eq!(names("one"), ["a", "c"]);
        index.follow(&Event::Delete(pod("a", "one")));
        assert_eq!(names("one"), ["c"]);
        assert_eq!(names("two"), ["b"]);
        assert!(names("three").is_empty());
    }
}
