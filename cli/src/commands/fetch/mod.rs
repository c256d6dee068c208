//! `textnlp fetch`: brings a model into the cache of a cluster, looks at it, and answers what it is.

mod cache;
mod download;
mod error;
mod files;
mod hub;
mod look;
mod objects;

use std::path::{Path, PathBuf};

use textnlp_crds::model::{ModelSource, UrlSource};
use textnlp_crds::task::{Fetched, MODEL_SECRET_MOUNT, MODELS_MOUNT, Termination};
use textnlp_dataset::digest;
use textnlp_dataset::net::Access;

use self::cache::Cache;
use self::download::{Downloader, Expected};
use self::error::FetchError;
use crate::args::pods::FetchArgs;
use crate::commands::pods;
use crate::failure::Failure;
use crate::formats::Formats;

/// What the cache holds beside a model's files: where they came from.
const ORIGIN: &str = "textnlp-source.json";

pub(crate) fn run(args: &FetchArgs) -> Result<(), Failure> {
    let fetched = fetch(args).map(Termination::Fetched).map_err(|error| {
        (error.reason(), Failure { code: error.exit_code(), message: Some(error.to_string()) })
    });
    pods::end(&args.pod, fetched)
}

fn fetch(args: &FetchArgs) -> Result<Fetched, FetchError> {
    let mounted = |path: &str| args.pod.mounts.join(path.trim_start_matches('/'));
    let mount = mounted(MODELS_MOUNT);
    // A format that servers cannot compute in is for them to refuse: it does not keep a model from being fetched.
    let formats = Formats::of(&args.formats.engine()).unwrap_or_default();
    if let Some(path) = &args.offline {
        return look::in_claim(&mount, path, formats);
    }
    let text = args.source.as_deref().ok_or_else(|| {
        FetchError::Source("no source is given: --source JSON, or --offline PATH".to_owned())
    })?;
    let source: ModelSource = serde_json::from_str(text)
        .map_err(|error| FetchError::Source(format!("spec.source is not understood: {error}")))?;
    let (secret, access) = (mounted(MODEL_SECRET_MOUNT), Access::from_environment());
    let fetcher = Fetcher { secret, access, formats };
    fetcher.fetch(&source, &mount)
}

/// What fetching needs beside the source.
struct Fetcher {
    /// The Secret of the source.
    secret: PathBuf,
    access: Access,
    formats: Formats,
}

impl Fetcher {
    fn fetch(&self, source: &ModelSource, mount: &Path) -> Result<Fetched, FetchError> {
        let name = name_of(source)?;
        let cache = Cache::open(mount, &name)?;
        if cache.is_there() {
            match look::at(&cache.place(), &name, self.formats) {
                Ok(fetched) => {
                    tracing::info!(path = name, "the model is in the cache already");
                    return Ok(fetched);
                }
                // Only what could be opened was ever put there.
                Err(error) => {
                    tracing::warn!("the cached model is damaged and is fetched again: {error}");
                    cache.remove()?;
                }
            }
        }
        let files = cache.begin()?;
        self.bring(source, files.path())?;
        let fetched = look::at(files.path(), &name, self.formats)?;
        files.finish()?;
        Ok(fetched)
    }

    /// Brings a source's files into a folder.
    fn bring(&self, source: &ModelSource, folder: &Path) -> Result<(), FetchError> {
        let origin = if let Some(objects) = &source.object_store {
            objects::bring(objects, &self.secret, self.access, folder)?
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| FetchError::Failed(format!("no runtime: {error}")))?;
            runtime.block_on(async {
                let downloader = Downloader::new(self.access)?;
                match (&source.hugging_face, &source.url) {
                    (Some(repository), _) => {
                        hub::bring(&downloader, repository, &self.secret, folder).await
                    }
                    (None, Some(url)) => bring_url(&downloader, url, folder).await,
                    (None, None) => Err(unknown(source)),
                }
            })?
        };
        let path = folder.join(ORIGIN);
        let text = serde_json::to_vec_pretty(&origin).unwrap_or_default();
        std::fs::write(&path, text).map_err(|error| FetchError::io("write", &path, error))
    }
}

async fn bring_url(
    downloader: &Downloader,
    source: &UrlSource,
    folder: &Path,
) -> Result<serde_json::Value, FetchError> {
    let name = source.url.split(['?', '#']).next().unwrap_or_default();
    let name = name.rsplit('/').next().filter(|name| files::is_plain(name));
    let name = name.filter(|name| name.ends_with(".gguf")).unwrap_or("model.gguf");
    let expected = Expected { bytes: None, sha256: Some(source.sha256.clone()) };
    downloader.download(&source.url, None, &folder.join(name), &expected).await?;
    Ok(serde_json::json!({"url": source}))
}

/// The folder of a source in the cache: a hash of all that decides which files it has.
fn name_of(source: &ModelSource) -> Result<String, FetchError> {
    let mut decides = serde_json::to_value(source)
        .map_err(|error| FetchError::Source(format!("spec.source: {error}")))?;
    let kinds = ["huggingFace", "url", "objectStore"];
    if !kinds.iter().any(|kind| decides.get(kind).is_some()) {
        return Err(unknown(source));
    }
    for kind in kinds {
        if let Some(kind) = decides.get_mut(kind).and_then(|kind| kind.as_object_mut()) {
            // Whoever may read it reads the same.
            kind.remove("secretRef");
        }
    }
    let hash = digest::sha256(&digest::canonical(&decides));
    Ok(hash[..32].to_owned())
}

fn unknown(source: &ModelSource) -> FetchError {
    let found = if source.file.is_some() {
        "a cluster has no files of your machine"
    } else if source.persistent_volume_claim.is_some() {
        "a claim is looked at with --offline PATH"
    } else if source.external.is_some() {
        "an external server has its model already"
    } else {
        "there is none"
    };
    FetchError::Source(format!(
        "spec.source: {found}; huggingFace, url and objectStore can be fetched"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sources_folder_depends_on_what_it_holds_and_not_on_who_may_read_it() {
        let name = |source| name_of(&serde_json::from_value(source).unwrap());
        let public = name(json!({"huggingFace": {"repo": "a/b", "revision": "main"}})).unwrap();
        let private =
            json!({"huggingFace": {"repo": "a/b", "revision": "main", "secretRef": {"name": "x"}}});
        assert_eq!(name(private).unwrap(), public);
        assert_ne!(name(json!({"huggingFace": {"repo": "a/b"}})).unwrap(), public);
        assert_eq!(public.len(), 32);
        let error = name(json!({"file": {"path": "x"}})).unwrap_err();
        assert_eq!((error.reason(), error.exit_code()), ("InvalidSource", 2));
    }
}
