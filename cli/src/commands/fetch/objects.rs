//! A model in an object store: a prefix with its files, or one GGUF object.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use textnlp_crds::source::ObjectStore as Spec;
use textnlp_dataset::net::Access;
use textnlp_dataset::store::{Credentials, Listed, ObjectStore, StoreError};
use textnlp_generation::task::location;

use super::error::FetchError;
use super::files;

/// Brings the files of a model into a folder.
pub(super) fn bring(
    spec: &Spec,
    secret: &Path,
    access: Access,
    folder: &Path,
) -> Result<Value, FetchError> {
    let credentials = match spec.secret_ref {
        Some(_) => Credentials::Secret(secret.to_owned()),
        None => Credentials::Identity,
    };
    let store = ObjectStore::open(&location(spec, "source.objectStore"), &credentials, access)?;
    let prefix = store.prefix().to_owned();
    let place = store.uri(&prefix);
    let listed: Vec<Listed> = match prefix.ends_with(".gguf") {
        true => store.find_key(&prefix)?.into_iter().collect(),
        false => store.list_keys(&prefix)?,
    };
    if listed.is_empty() {
        return Err(FetchError::NotFound(format!("there is nothing at {place}")));
    }
    let named: Vec<(&str, &Listed)> =
        listed.iter().map(|object| (name_below(&object.key, &prefix), object)).collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let mut fetched = Vec::new();
    for name in files::select(&place, &names)? {
        let Some((_, object)) = named.iter().find(|(found, _)| *found == name) else { continue };
        copy(&store, object, &folder.join(name))?;
        fetched.push(json!({"key": object.key, "eTag": object.e_tag}));
    }
    Ok(json!({"uri": spec.uri, "objects": fetched}))
}

/// Name of an object below a prefix; of the object that the prefix itself is, its last part.
fn name_below<'a>(key: &'a str, prefix: &str) -> &'a str {
    match key.strip_prefix(prefix).map(|rest| rest.trim_start_matches('/')) {
        Some("") | None => key.rsplit('/').next().unwrap_or(key),
        Some(rest) => rest,
    }
}

fn copy(store: &ObjectStore, object: &Listed, to: &Path) -> Result<(), FetchError> {
    tracing::info!(key = object.key, bytes = object.bytes, "fetching");
    let mut file = File::create_new(to).map_err(|error| FetchError::io("write", to, error))?;
    let copied = io::copy(&mut store.open_key(object)?, &mut file);
    let bytes = copied.map_err(|error| match error.downcast::<StoreError>() {
        Ok(error) => FetchError::from(error),
        Err(error) => FetchError::io("write", to, error),
    })?;
    match bytes == object.bytes {
        true => Ok(()),
        false => Err(FetchError::Failed(format!(
            "{} broke off after {bytes} of {} bytes",
            store.uri(&object.key),
            object.bytes
        ))),
    }
}
