//! What the operator makes of a ModelDeployment's spec. Pure. The API server has refused what the schema alone can refuse;
//! here is what only a cluster can say.

use textnlp_crds::ModelDeployment;
use textnlp_crds::model::{External, ModelDeploymentSpec};
use textnlp_crds::source::LocalReference;
use textnlp_crds::task::labels;

use super::formats::format_flags;
use crate::meta::Owner;
use crate::names;

/// A ModelDeployment that can be planned for.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Who owns what is made for it: name, namespace and UID.
    pub owner: Owner,
    /// Its spec.
    pub spec: ModelDeploymentSpec,
    /// Where the model is.
    pub source: Source,
}

/// Where a model is, for a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A server that is not ours: nothing is made.
    External(External),
    /// A claim of the user's own, and the path in it.
    Claim {
        /// Name of the claim.
        name: String,
        /// Path in it; empty for its root.
        path: String,
    },
    /// Somewhere else: a fetch Job brings it into the cache.
    Remote {
        /// The Secret that opens it.
        secret: Option<String>,
    },
}

/// A ModelDeployment that can never work as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only a local run has the disk that the source names.
    #[error(
        "spec.source.file: {path:?} is a path on the disk of `textnlp run`; in a cluster, the model comes from a persistentVolumeClaim, huggingFace, url, objectStore or external source"
    )]
    LocalOnly {
        /// The path.
        path: String,
    },
    /// The API server lets no such object through; one from an older schema may have it.
    #[error(
        "spec.source: no kind of source is set; set one of huggingFace, url, objectStore, persistentVolumeClaim, external"
    )]
    NoSource,
    /// An object without name, namespace or UID: not from an API server.
    #[error("metadata: name, namespace or uid is missing")]
    Incomplete,
}

impl Error {
    /// The reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::LocalOnly { .. } => "LocalOnly",
            Self::NoSource | Self::Incomplete => "InvalidSpec",
        }
    }
}

/// Checks `model`.
pub fn validate(model: &ModelDeployment) -> Result<Validated, Error> {
    let owner = Owner::of(model, labels::MODEL_UID).ok_or(Error::Incomplete)?;
    Ok(Validated { owner, source: source(&model.spec)?, spec: model.spec.clone() })
}

impl Validated {
    /// The name of the Deployment, of the Service, and of what else there is one of.
    pub fn child_name(&self) -> String {
        names::model(self.owner.name(), self.owner.uid())
    }

    /// The name of the cache claim.
    pub fn cache_name(&self) -> String {
        names::child(names::MODEL_PREFIX, self.owner.name(), self.owner.uid(), "cache")
    }

    /// The name of the claim that pods mount.
    pub fn claim_name(&self) -> String {
        match &self.source {
            Source::Claim { name, .. } => name.clone(),
            Source::Remote { .. } | Source::External(_) => self.cache_name(),
        }
    }

    /// The name of the fetch Job of this source and these number formats.
    pub fn fetch_name(&self) -> String {
        let formats = format_flags(self.spec.engine.as_ref()).concat();
        let decides = [self.source_json(), formats].concat();
        let suffix = format!("fetch-{}", names::short_hash(decides.as_bytes()));
        names::child(names::MODEL_PREFIX, self.owner.name(), self.owner.uid(), &suffix)
    }

    /// The source as fetch pods read it.
    pub fn source_json(&self) -> String {
        serde_json::to_string(&self.spec.source).unwrap_or_default()
    }
}

fn source(spec: &ModelDeploymentSpec) -> Result<Source, Error> {
    let named =
        |reference: &Option<LocalReference>| reference.as_ref().map(|secret| secret.name.clone());
    let source = &spec.source;
    if let Some(external) = &source.external {
        return Ok(Source::External(external.clone()));
    }
    if let Some(claim) = &source.persistent_volume_claim {
        let path = claim.path.clone().unwrap_or_default();
        return Ok(Source::Claim { name: claim.claim_name.clone(), path });
    }
    if let Some(hub) = &source.hugging_face {
        return Ok(Source::Remote { secret: named(&hub.secret_ref) });
    }
    if let Some(store) = &source.object_store {
        return Ok(Source::Remote { secret: named(&store.secret_ref) });
    }
    if source.url.is_some() {
        return Ok(Source::Remote { secret: None });
    }
    match &source.file {
        Some(file) => Err(Error::LocalOnly { path: file.path.clone() }),
        None => Err(Error::NoSource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(source: Value, expect: Result<Source, &str>) {
        let model: ModelDeployment = serde_json::from_value(json!({
            "apiVersion": "textnlp.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "m", "namespace": "n", "uid": "u", "generation": 3},
            "spec": {"source": source},
        }))
        .expect("a model");
        let got = validate(&model).map(|validated| validated.source);
        assert_eq!(got.map_err(|error| error.reason()), expect, "{source}");
    }

    #[test]
    fn each_kind_of_source_says_what_must_be_made() {
        let claim = |path: &str| Source::Claim { name: "models".into(), path: path.into() };
        check(json!({"persistentVolumeClaim": {"claimName": "models"}}), Ok(claim("")));
        check(
            json!({"persistentVolumeClaim": {"claimName": "models", "path": "a.gguf"}}),
            Ok(claim("a.gguf")),
        );
        let remote = |secret: Option<&str>| Source::Remote { secret: secret.map(Into::into) };
        check(json!({"huggingFace": {"repo": "a/b"}}), Ok(remote(None)));
        check(
            json!({"huggingFace": {"repo": "a/b", "secretRef": {"name": "hub"}}}),
            Ok(remote(Some("hub"))),
        );
        check(json!({"url": {"url": "https://a/b", "sha256": "0"}}), Ok(remote(None)));
        check(
            json!({"objectStore": {"uri": "s3://a/b", "secretRef": {"name": "s3"}}}),
            Ok(remote(Some("s3"))),
        );
        let external =
            External { endpoint: "http://a".into(), model: "b".into(), ..Default::default() };
        check(
            json!({"external": {"endpoint": "http://a", "model": "b"}}),
            Ok(Source::External(external)),
        );
    }

    #[test]
    fn a_local_file_is_for_local_runs_only() {
        check(json!({"file": {"path": "model.gguf"}}), Err("LocalOnly"));
        check(json!({}), Err("InvalidSpec"));
    }
}
