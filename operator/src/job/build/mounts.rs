//! What a job's pods mount: the task, the output, and for prepare and workers what they read. `docs/pods.md` has the table. No I/O.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, KeyToPath, PersistentVolumeClaimVolumeSource, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use textnlp_crds::source::ObjectStore;
use textnlp_crds::task;

use crate::job::build::Blueprint;
use crate::job::children::Step;
use crate::pod_template::{READ_ONLY, TOKEN_SECONDS};

/// Volumes, and where they are mounted.
#[derive(Default)]
pub(super) struct Mounts {
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

impl Mounts {
    /// The mounts of a step.
    pub(super) fn of(step: Step, blueprint: &Blueprint<'_>) -> Self {
        let mut mounts = Self::default();
        mounts.task(&blueprint.task_name);
        if let Some(claim) = &blueprint.task.claim {
            mounts.claim("output", claim, task::OUTPUT_MOUNT, false);
        }
        let output = blueprint.task.spec.output.destination.as_ref();
        mounts.store(
            "output-secret",
            output.and_then(|place| place.object_store.as_ref()),
            task::OUTPUT_SECRET_MOUNT,
        );
        match step {
            Step::Prepare => mounts.source(blueprint),
            Step::Generate => {
                mounts.model_secrets(blueprint);
                mounts.server_token(blueprint);
            }
            Step::Finalize => {}
        }
        mounts
    }

    fn add(&mut self, volume: Volume, path: &str, read_only: bool) {
        self.mounts.push(VolumeMount {
            name: volume.name.clone(),
            mount_path: path.into(),
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
        self.volumes.push(volume);
    }

    fn task(&mut self, name: &str) {
        let map = ConfigMapVolumeSource { name: name.into(), ..ConfigMapVolumeSource::default() };
        let (folder, _) = in_folder(task::TASK_FILE);
        self.add(
            Volume { name: "task".into(), config_map: Some(map), ..Volume::default() },
            folder,
            true,
        );
    }

    fn claim(&mut self, volume: &str, claim: &str, path: &str, read_only: bool) {
        let source = PersistentVolumeClaimVolumeSource {
            claim_name: claim.into(),
            read_only: read_only.then_some(true),
        };
        let volume = Volume {
            name: volume.into(),
            persistent_volume_claim: Some(source),
            ..Volume::default()
        };
        self.add(volume, path, read_only);
    }

    fn secret(&mut self, volume: &str, secret: &str, key: Option<&str>, path: &str) {
        let items =
            key.map(|key| vec![KeyToPath { key: key.into(), path: key.into(), mode: None }]);
        let source = SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(READ_ONLY),
            items,
            ..SecretVolumeSource::default()
        };
        self.add(
            Volume { name: volume.into(), secret: Some(source), ..Volume::default() },
            path,
            true,
        );
    }

    fn store(&mut self, volume: &str, store: Option<&ObjectStore>, path: &str) {
        if let Some(secret) = store.and_then(|store| store.secret_ref.as_ref()) {
            self.secret(volume, &secret.name, None, path);
        }
    }

    fn source(&mut self, blueprint: &Blueprint<'_>) {
        let source = &blueprint.task.spec.source;
        if let Some(claim) = &source.persistent_volume_claim {
            self.claim("source", &claim.claim_name, task::SOURCE_MOUNT, true);
        }
        if let Some(map) = &source.config_map {
            let items = vec![KeyToPath { key: map.key.clone(), path: map.key.clone(), mode: None }];
            let map = ConfigMapVolumeSource {
                name: map.name.clone(),
                items: Some(items),
                ..ConfigMapVolumeSource::default()
            };
            let volume =
                Volume { name: "source".into(), config_map: Some(map), ..Volume::default() };
            self.add(volume, task::SOURCE_CONFIG_MOUNT, true);
        }
        self.store("source-secret", source.object_store.as_ref(), task::SOURCE_SECRET_MOUNT);
    }

    /// One folder for each external model that has a key.
    fn model_secrets(&mut self, blueprint: &Blueprint<'_>) {
        for (index, (model, secret)) in blueprint.model_secrets.iter().enumerate() {
            let path = format!("{}/{model}", task::EXTERNAL_SECRETS_MOUNT);
            self.secret(&format!("model-secret-{index}"), secret, Some("apiKey"), &path);
        }
    }

    /// What our own servers know the worker by, where they ask.
    fn server_token(&mut self, blueprint: &Blueprint<'_>) {
        let own = blueprint.task.models.values().any(|model| model.external.is_none());
        let Some(access) = blueprint.config.access.as_ref().filter(|_| own) else { return };
        let (folder, file) = in_folder(task::SERVER_TOKEN_FILE);
        let token = VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                audience: Some(access.audience.clone()),
                expiration_seconds: Some(TOKEN_SECONDS),
                path: file.into(),
            }),
            ..VolumeProjection::default()
        };
        let source =
            ProjectedVolumeSource { default_mode: Some(READ_ONLY), sources: Some(vec![token]) };
        self.add(
            Volume { name: "server-token".into(), projected: Some(source), ..Volume::default() },
            folder,
            true,
        );
    }
}

/// The folder and the name of a file.
fn in_folder(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("/", path))
}
