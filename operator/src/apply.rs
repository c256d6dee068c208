//! Calls to the API server, for both controllers: reads, server-side apply, create, delete, status. I/O.
//!
//! Each call has a time limit; what writes goes through the client's gate, which refuses once the lease could be another's
//! (`client.rs`).

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Event;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::Error;
use crate::meta::{self, FIELD_MANAGER};

/// The most time that a call may take.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A namespaced kind that can be read and written.
pub trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// Runs a call within [`CALL_LIMIT`]; `what` is for the error.
pub async fn call<T>(
    what: impl FnOnce() -> String,
    future: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL_LIMIT, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Api { what: what(), source: Box::new(source) }),
        Err(_) => Err(Error::Timeout { what: what(), limit: CALL_LIMIT }),
    }
}

/// Reads an object; none if there is none.
pub async fn get<K: Object>(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<K>, Error> {
    let api = Api::<K>::namespaced(client.clone(), namespace);
    call(|| what::<K>("get", namespace, name), api.get_opt(name)).await
}

/// Server-side apply with force: afterwards the object has the fields of `wanted`, and only those are ours.
pub async fn apply<K: Object>(client: &Client, wanted: &K) -> Result<K, Error> {
    let (namespace, name) = place(wanted)?;
    let mut body = serde_json::to_value(wanted)?;
    typed::<K>(&mut body);
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    call(|| what::<K>("apply", &namespace, &name), api.patch(&name, &params, &Patch::Apply(&body)))
        .await
}

/// [`apply`], unless what was observed has the same hash and still has every field that is wanted: a converged object
/// causes no write. Refuses an object that another owner controls. Returns the object, and whether it was written.
pub async fn apply_if_changed<K: Object>(
    client: &Client,
    observed: Option<&K>,
    wanted: K,
) -> Result<(K, bool), Error> {
    let wanted = meta::with_hash(wanted);
    if let Some(observed) = observed {
        if let Some(ours) = wanted.meta().owner_references.iter().flatten().next()
            && observed
                .owner_references()
                .iter()
                .any(|theirs| theirs.controller == Some(true) && theirs.uid != ours.uid)
        {
            return Err(Error::NameTaken { kind: K::kind(&()).into(), name: observed.name_any() });
        }
        if is_current(observed, &wanted)? {
            return Ok((observed.clone(), false));
        }
    }
    apply(client, &wanted).await.map(|object| (object, true))
}

/// Whether what was observed is what is wanted: the hash says that the wish is the same, the fields that nobody changed it.
pub fn is_current<K: Object>(observed: &K, wanted: &K) -> Result<bool, Error> {
    let hash = |object: &K| object.annotations().get(meta::DESIRED_HASH).cloned();
    if hash(observed) != hash(wanted) {
        return Ok(false);
    }
    let mut wanted = serde_json::to_value(wanted)?;
    if let Some(wanted) = wanted.as_object_mut() {
        wanted.remove("status");
    }
    Ok(meta::contains(&serde_json::to_value(observed)?, &wanted))
}

/// Creates an object; none if one of its name exists.
pub async fn create<K: Object>(client: &Client, wanted: &K) -> Result<Option<K>, Error> {
    let (namespace, name) = place(wanted)?;
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match call(|| what::<K>("create", &namespace, &name), api.create(&params, wanted)).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Merges a patch into an object; none if it is gone.
pub async fn merge<K: Object>(
    client: &Client,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<Option<K>, Error> {
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    optional(call(|| what::<K>("patch", namespace, name), api.patch(name, &params, &patch)).await)
}

/// Deletes an object, if it still is the one that was observed (same UID), and in the background what it owns.
pub async fn delete<K: Object>(client: &Client, observed: &K) -> Result<(), Error> {
    let (namespace, name) = place(observed)?;
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: observed.uid(), resource_version: None }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match call(|| what::<K>("delete", &namespace, &name), api.delete(&name, &params)).await {
        Ok(_) => Ok(()),
        // Gone, or replaced by another object of its name: either way, the observed one is no more.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes the whole status of an object by server-side apply, on condition that it still is what was observed: a reader of a
/// stale cache gets a conflict instead of undoing what is newer. Returns the object as it is now.
pub async fn status<K: Object>(
    client: &Client,
    observed: &K,
    status: &impl Serialize,
) -> Result<K, Error> {
    let (namespace, name) = place(observed)?;
    let mut body = json!({
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": observed.resource_version()},
        "status": status,
    });
    typed::<K>(&mut body);
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    call(
        || what::<K>("status of", &namespace, &name),
        api.patch_status(&name, &params, &Patch::Apply(&body)),
    )
    .await
}

/// The events about an object: what kubelet and controllers say of it nowhere else.
pub async fn events_about(
    client: &Client,
    namespace: &str,
    uid: &str,
) -> Result<Vec<Event>, Error> {
    let api = Api::<Event>::namespaced(client.clone(), namespace);
    let params = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(100);
    let list = call(|| what::<Event>("list", namespace, uid), api.list(&params)).await?;
    Ok(list.items)
}

/// The events about objects of a kind.
pub async fn events_of_kind(
    client: &Client,
    namespace: &str,
    kind: &str,
) -> Result<Vec<Event>, Error> {
    let api = Api::<Event>::namespaced(client.clone(), namespace);
    let params = ListParams::default().fields(&format!("involvedObject.kind={kind}")).limit(500);
    let list = call(|| what::<Event>("list", namespace, kind), api.list(&params)).await?;
    Ok(list.items)
}

fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn place<K: Object>(object: &K) -> Result<(String, String), Error> {
    let namespace = object.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = object.meta().name.clone().ok_or(Error::Incomplete("name"))?;
    Ok((namespace, name))
}

fn what<K: Object>(verb: &str, namespace: &str, name: &str) -> String {
    format!("{verb} {} {namespace}/{name}", K::kind(&()))
}

/// An apply patch must say which type it is.
fn typed<K: Object>(body: &mut Value) {
    if let Some(body) = body.as_object_mut() {
        body.insert("apiVersion".into(), K::api_version(&()).into());
        body.insert("kind".into(), K::kind(&()).into());
    }
}
