//! What the operator tells a job's pods, made usable: the compiled job, its models, its source and its store. Reads the
//! files that the pod has mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use textnlp_crds::source::ObjectStore as ObjectStoreSpec;
use textnlp_crds::task::{
    EXTERNAL_SECRETS_MOUNT, JobTask, ModelEndpoint, OUTPUT_MOUNT, OUTPUT_SECRET_MOUNT,
    OWNED_CLAIM_FOLDER, SERVER_TOKEN_FILE, SOURCE_CONFIG_MOUNT, SOURCE_MOUNT, SOURCE_SECRET_MOUNT,
};
use textnlp_dataset::net::Access;
use textnlp_dataset::source::{Objects, SourceError};
use textnlp_dataset::store::{Credentials, LocalStore, Location, ObjectStore, Store};

use crate::completer::{ModelFacts, Models};
use crate::error::Error;
use crate::http::{Endpoint, HttpCompleter, Server};
use crate::job::Job;
use crate::metrics::RequestMetrics;
use crate::prepare::Source;
use crate::progress::Cancel;

/// Rows in flight for each ready pod of a model: what a server's batch can hold.
pub const ROWS_PER_POD: usize = 32;

/// A job as its pods see it.
pub struct Task {
    /// The job, compiled.
    pub job: Arc<Job>,
    /// What is known of its models; none is connected.
    pub models: Models,
    /// Who claims the target.
    pub owner: String,
    /// What the operator said.
    pub told: JobTask,
    mounts: PathBuf,
    access: Access,
}

impl Task {
    /// Reads the task of a pod. `mounts` is what the mounts lie in: `/`, except in tests.
    pub fn read(file: &Path, mounts: &Path, access: Access) -> Result<Self, Error> {
        let place = file.display().to_string();
        let text = std::fs::read(file)
            .map_err(|e| Error::spec(&place, format!("the job's task cannot be read: {e}")))?;
        let told: JobTask = serde_json::from_slice(&text)
            .map_err(|e| Error::spec(&place, format!("this is no task of a job: {e}")))?;
        let mut models = Models::default();
        for (name, endpoint) in &told.models {
            models.describe(facts(name, endpoint));
        }
        Ok(Self {
            job: Arc::new(Job::compile(&told.name, &told.spec, &models)?),
            models,
            owner: format!("GenerationJob {}/{} ({})", told.namespace, told.name, told.uid),
            told,
            mounts: mounts.to_owned(),
            access,
        })
    }

    fn mount(&self, path: &str) -> PathBuf {
        self.mounts.join(path.trim_start_matches('/'))
    }

    /// The records of the job.
    pub fn source(&self) -> Result<Source, Error> {
        let spec = &self.told.spec.source;
        if let Some(inline) = &spec.inline {
            return Ok(Source::Inline(inline.records.to_vec()));
        }
        if let Some(reference) = &spec.config_map {
            return self.config_map(&reference.key);
        }
        if let Some(claim) = &spec.persistent_volume_claim {
            let pattern = claim.path.clone().unwrap_or_default();
            return Ok(Source::Volume { mount: self.mount(SOURCE_MOUNT), pattern });
        }
        if let Some(objects) = &spec.object_store {
            let credentials = self.credentials(objects, SOURCE_SECRET_MOUNT);
            return objects_of(objects, &credentials, self.access);
        }
        match &spec.file {
            Some(_) => Err(Error::spec(
                "spec.source.file",
                "a cluster has no files of your machine: use configMap, persistentVolumeClaim or objectStore",
            )),
            None => Ok(Source::None),
        }
    }

    /// A key of a ConfigMap: as text, as a local run has it, unless it is none.
    fn config_map(&self, key: &str) -> Result<Source, Error> {
        let path = self.mount(SOURCE_CONFIG_MOUNT).join(key);
        let read = |source| SourceError::Read { path: path.display().to_string(), source };
        let bytes = std::fs::read(&path).map_err(read)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => Source::Text { name: key.to_owned(), text },
            Err(_) => Source::files(&self.mount(SOURCE_CONFIG_MOUNT), key),
        })
    }

    fn credentials(&self, spec: &ObjectStoreSpec, mount: &str) -> Credentials {
        match spec.secret_ref {
            Some(_) => Credentials::Secret(self.mount(mount)),
            None => Credentials::Identity,
        }
    }

    /// Where the dataset goes.
    pub fn store(&self) -> Result<Box<dyn Store>, Error> {
        let destination = self.told.spec.output.destination.as_ref();
        if let Some(objects) = destination.and_then(|d| d.object_store.as_ref()) {
            let credentials = self.credentials(objects, OUTPUT_SECRET_MOUNT);
            let place = location(objects, "output.destination.objectStore");
            return Ok(Box::new(ObjectStore::open(&place, &credentials, self.access)?));
        }
        if destination.is_some_and(|d| d.directory.is_some()) {
            return Err(Error::spec(
                "spec.output.destination.directory",
                "a cluster has no directory of your machine: use claim, persistentVolumeClaim or objectStore",
            ));
        }
        let volume = LocalStore::open(self.mount(OUTPUT_MOUNT))?;
        Ok(Box::new(match self.folder() {
            "" => volume,
            folder => volume.folder(folder)?,
        }))
    }

    /// The folder of the dataset in the volume.
    fn folder(&self) -> &str {
        let destination = self.told.spec.output.destination.as_ref();
        match destination.and_then(|d| d.persistent_volume_claim.as_ref()) {
            Some(claim) => match claim.path.as_deref().unwrap_or_default().trim_end_matches('/') {
                "." => "",
                path => path.trim_start_matches("./"),
            },
            None => OWNED_CLAIM_FOLDER,
        }
    }

    /// How people outside of the pod call the output: `pvc://claim/path`, or the URI of an object store.
    pub fn place(&self, store: &dyn Store) -> String {
        let destination = self.told.spec.output.destination.as_ref();
        let own = destination.and_then(|d| d.persistent_volume_claim.as_ref());
        match (&self.told.claim, own.map(|claim| &claim.claim_name)) {
            (Some(claim), _) | (None, Some(claim)) => {
                format!("pvc://{claim}/{}", self.folder()).trim_end_matches('/').to_owned()
            }
            (None, None) => store.place(),
        }
    }

    /// Connects the job's models over HTTP.
    pub async fn connect(
        &self,
        metrics: &RequestMetrics,
        cancel: &Cancel,
    ) -> Result<Connected, Error> {
        let mut connected = Connected { models: self.models.clone(), completers: Vec::new() };
        let workers = self.told.spec.execution.parallelism.unsigned_abs();
        for name in self.job.models() {
            let Some(endpoint) = self.told.models.get(name) else { continue };
            let endpoint = self.endpoint(name, endpoint, workers);
            let completer =
                HttpCompleter::connect(endpoint, self.access, metrics.clone(), cancel.clone());
            let completer = Arc::new(completer.await?);
            connected.models.connect(name, completer.clone());
            connected.completers.push(completer);
        }
        Ok(connected)
    }

    fn endpoint(&self, name: &str, endpoint: &ModelEndpoint, workers: u32) -> Endpoint {
        let server = match &endpoint.external {
            None => Server::Own {
                pods: endpoint.pods.clone(),
                digest: endpoint.digest.clone(),
                // Mounted or not as the servers ask for it when the pod is made, which may be after the task was written.
                token: Some(self.mount(SERVER_TOKEN_FILE)).filter(|token| token.exists()),
            },
            Some(external) => Server::External {
                key: external
                    .has_key
                    .then(|| self.mount(EXTERNAL_SECRETS_MOUNT).join(name).join("apiKey")),
                limits: external.limits.clone().unwrap_or_default(),
                workers,
            },
        };
        let model = endpoint.external.as_ref().map_or(name, |external| &external.model);
        Endpoint {
            name: name.to_owned(),
            model: model.to_owned(),
            url: endpoint.url.clone(),
            server,
        }
    }

    /// How many rows a worker has in flight.
    pub fn row_limit(&self) -> RowLimit {
        let execution = &self.told.spec.execution;
        let external = self.told.models.values().filter_map(|m| m.external.as_ref());
        let elsewhere = external.map(|external| {
            let allowed = external.limits.as_ref().and_then(|limits| limits.concurrency);
            allowed.map_or(ROWS_PER_POD, |rows| rows.unsigned_abs() as usize)
        });
        RowLimit {
            fixed: execution.concurrency.map(|rows| rows.unsigned_abs() as usize),
            elsewhere: elsewhere.sum(),
            workers: execution.parallelism.unsigned_abs().max(1) as usize,
        }
    }
}

/// How many rows a worker has in flight: what the spec says, or what the ready pods of its models can hold, divided among
/// the workers that run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLimit {
    fixed: Option<usize>,
    /// What external servers can hold.
    elsewhere: usize,
    workers: usize,
}

impl RowLimit {
    /// With so many ready pods.
    pub fn rows(&self, ready_pods: usize) -> usize {
        let shared = ready_pods.saturating_mul(ROWS_PER_POD).saturating_add(self.elsewhere);
        self.fixed.unwrap_or(shared / self.workers).max(1)
    }
}

/// Models that can be asked.
pub struct Connected {
    /// All models of the job.
    pub models: Models,
    /// The same, to follow their pods.
    pub completers: Vec<Arc<HttpCompleter>>,
}

/// What the operator knows of a model.
fn facts(name: &str, endpoint: &ModelEndpoint) -> ModelFacts {
    ModelFacts {
        name: name.to_owned(),
        digest: endpoint.digest.clone(),
        numerics: endpoint.numerics.clone(),
        reproducible: endpoint.reproducible,
        chat: endpoint.chat,
        tokenizer_digest: endpoint.tokenizer_digest.clone(),
        context_tokens: endpoint.context_tokens.and_then(|tokens| usize::try_from(tokens).ok()),
    }
}

/// A place in an object store, as the manifest has it.
pub fn location(spec: &ObjectStoreSpec, field: &'static str) -> Location {
    Location {
        uri: spec.uri.clone(),
        endpoint: spec.endpoint.clone(),
        region: spec.region.clone(),
        field,
    }
}

/// The objects of a job's source.
pub fn objects_of(
    spec: &ObjectStoreSpec,
    credentials: &Credentials,
    access: Access,
) -> Result<Source, Error> {
    let store = ObjectStore::open(&location(spec, "source.objectStore"), credentials, access)?;
    Ok(Source::Objects(Objects::list(store)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_servers_get_the_token_and_only_others_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job.json");
        let model = |url: &str, external| {
            serde_json::json!({
                "url": url, "digest": "sha256:00", "numerics": "cpu-1/int8", "reproducible": true, "chat": true,
                "external": external,
            })
        };
        let told = serde_json::json!({
            "name": "tickets", "namespace": "shop", "uid": "uid-1",
            "spec": {
                "modelRef": {"name": "own"},
                "source": {"inline": {"records": [{"product": "lamp"}]}},
                "columns": [{"name": "ticket", "prompt": "{{ product }}"}],
            },
            "models": {
                "own": model("http://own.shop.svc:8000", serde_json::Value::Null),
                "theirs": model("http://theirs.example", serde_json::json!({"model": "m", "hasKey": true})),
            },
        });
        std::fs::write(&file, told.to_string()).unwrap();
        let task = Task::read(&file, folder.path(), Access::default()).unwrap();
        let server = |name| task.endpoint(name, &task.told.models[name], 1).server;
        let own = |token| Server::Own { pods: None, digest: "sha256:00".into(), token };
        assert_eq!(server("own"), own(None));

        let token = folder.path().join(&SERVER_TOKEN_FILE[1..]);
        std::fs::create_dir_all(token.parent().unwrap()).unwrap();
        std::fs::write(&token, "secret").unwrap();
        assert_eq!(server("own"), own(Some(token)));
        let key = folder.path().join(&EXTERNAL_SECRETS_MOUNT[1..]).join("theirs/apiKey");
        let theirs = Server::External { key: Some(key), limits: Default::default(), workers: 1 };
        assert_eq!(server("theirs"), theirs);
    }

    #[test]
    fn the_rows_in_flight_follow_the_pods_unless_the_spec_says_how_many() {
        let limit = |fixed, elsewhere, workers| RowLimit { fixed, elsewhere, workers };
        assert_eq!(limit(None, 0, 1).rows(2), 64);
        assert_eq!(limit(None, 0, 3).rows(2), 21);
        assert_eq!(limit(None, 0, 3).rows(0), 1);
        assert_eq!(limit(None, 8, 2).rows(0), 4);
        assert_eq!(limit(Some(5), 8, 2).rows(9), 5);
    }
}
