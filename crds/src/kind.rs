//! The two kinds of the group: their names, and their schemas as an API server holds them. No I/O.

use std::sync::LazyLock;

use serde_json::Value;

use crate::crdgen;

/// The group of both kinds.
pub const GROUP: &str = "textnlp.dev";
/// The version of both kinds.
pub const VERSION: &str = "v1alpha1";
/// `group/version`, as manifests write it.
pub const API_VERSION: &str = "textnlp.dev/v1alpha1";

/// A kind of the group `textnlp.dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A dataset to generate.
    GenerationJob,
    /// A model to serve.
    ModelDeployment,
}

impl Kind {
    /// Both kinds.
    pub const ALL: [Kind; 2] = [Kind::GenerationJob, Kind::ModelDeployment];

    /// The name that manifests write in `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::GenerationJob => "GenerationJob",
            Kind::ModelDeployment => "ModelDeployment",
        }
    }

    /// The kind of that exact name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind that kubectl would find under `word`: the kind, singular, plural or short name, in
    /// any case.
    pub fn from_resource(word: &str) -> Option<Kind> {
        let word = word.to_ascii_lowercase();
        Kind::ALL.into_iter().find(|kind| {
            let singular = kind.name().to_ascii_lowercase();
            word == singular || word == format!("{singular}s") || word == kind.short_name()
        })
    }

    /// The short name, as in `kubectl get gj`.
    pub fn short_name(self) -> &'static str {
        match self {
            Kind::GenerationJob => "gj",
            Kind::ModelDeployment => "mdl",
        }
    }

    /// The structural schema of the kind: exactly what the generated CRD carries.
    pub fn schema(self) -> &'static Value {
        static JOB: LazyLock<Value> =
            LazyLock::new(|| crdgen::open_api_schema(Kind::GenerationJob));
        static MODEL: LazyLock<Value> =
            LazyLock::new(|| crdgen::open_api_schema(Kind::ModelDeployment));
        match self {
            Kind::GenerationJob => &JOB,
            Kind::ModelDeployment => &MODEL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_under_every_name_that_kubectl_knows() {
        for word in ["GenerationJob", "generationjob", "generationjobs", "gj"] {
            assert_eq!(Kind::from_resource(word), Some(Kind::GenerationJob), "{word}");
        }
        for word in ["ModelDeployment", "modeldeployments", "mdl", "MDL"] {
            assert_eq!(Kind::from_resource(word), Some(Kind::ModelDeployment), "{word}");
        }
        assert_eq!(Kind::from_resource("job"), None);
    }
}
