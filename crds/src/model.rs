//! `ModelDeployment`: one model that answers requests. No I/O.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cost::Price;
use crate::engine::Engine;
use crate::model_status::ModelDeploymentStatus;
use crate::output::AccessMode;
use crate::pod::Pod;
use crate::rules;
use crate::scaling::{Rollout, Scaling};
use crate::source::{ClaimPath, LocalReference, ObjectStore};

/// Which model, and how it is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "textnlp.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    plural = "modeldeployments",
    shortname = "mdl",
    category = "textnlp",
    namespaced,
    status = "ModelDeploymentStatus",
    derive = "PartialEq",
    doc = "A language model, and the servers that answer for it.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Architecture",
        type_ = "string",
        json_path = ".status.model.architecture",
        description = "The model's architecture"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.readySummary",
        description = "Ready replicas of all replicas"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why the model is ready, or is not"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since the model was created"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        priority = 1,
        description = "Where the model answers inside the cluster"
    ),
    printcolumn(
        name = "Tok/s",
        type_ = "number",
        json_path = ".status.load.tokensPerSecond",
        priority = 1,
        description = "Completion tokens per second"
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.model.digest",
        priority = 1,
        description = "Digest of the model's files"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.source.external) || (!has(self.engine) && !has(self.resources) && !has(self.scaling) && !has(self.cache) && !has(self.rollout) && !has(self.pod))")
        .message("an external model runs elsewhere: it takes no engine, resources, cache, scaling, rollout or pod")
        .field_path(".source.external"),
    validation = Rule::new("!has(self.pod) || !has(self.pod.resources)")
        .message("the resources of a model stand in spec.resources").field_path(".pod"),
)]
pub struct ModelDeploymentSpec {
    /// Where the model's files come from, or which server has the model.
    pub source: ModelSource,
    /// How the model is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// CPU, memory and devices of each server, as in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// The claim that holds the model's files for all servers. It is filled once per digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The number of servers. Without `scaling` it belongs to the user, an HPA or KEDA; with
    /// `scaling` it is ignored, and the condition `Scaled` says so.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: i32,
    /// Replicas that follow the demand. Default: none, `replicas` is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// How servers are replaced. Default: one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What the servers' pods look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// What the model's tokens cost, on servers of ours or elsewhere. Jobs then say what they cost:
    /// at the prices of the moment while they run, and at those of their end for ever after. It can
    /// be changed at any time; no server is replaced. Default: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

fn one() -> i32 {
    1
}

/// Where a model comes from: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::exactly_one(
    &["huggingFace", "url", "objectStore", "persistentVolumeClaim", "file", "external"], "source"))]
pub struct ModelSource {
    /// A repository of the Hugging Face hub, or of a mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
    /// One file at an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<UrlSource>,
    /// A prefix in an object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
    /// A directory or file in a PersistentVolumeClaim of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimPath>,
    /// A directory or file on the local disk, for `textnlp run`. In a cluster, such a model stalls
    /// with the reason `LocalOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ModelFile>,
    /// Any server with an OpenAI-compatible API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// A repository of the Hugging Face hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HuggingFace {
    /// The repository, as `owner/name`.
    #[schemars(
        length(max = 193),
        regex(pattern = "^[A-Za-z0-9][-._A-Za-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*$")
    )]
    pub repo: String,
    /// A commit (recommended: it never changes), tag or branch. Default: the branch `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), regex(pattern = "^[A-Za-z0-9][-._/A-Za-z0-9]*$"))]
    pub revision: Option<String>,
    /// The address of the hub. Default: the public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://[!-~]+$"))]
    pub endpoint: Option<String>,
    /// The Secret whose key `token` opens the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

/// One file at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UrlSource {
    /// The address of a GGUF file.
    #[schemars(length(max = 2048), regex(pattern = "^https?://[!-~]+$"))]
    pub url: String,
    /// The SHA-256 of the file, in 64 lower-case hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// A model on the local disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ModelFile {
    /// A GGUF file, or a directory with safetensors; absolute or relative to the manifest.
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = rules::path_on_disk())]
    pub path: String,
}

/// A server with an OpenAI-compatible API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// The base address, before `/v1/chat/completions`.
    #[schemars(length(max = 2048), regex(pattern = "^https?://[!-~]+$"))]
    pub endpoint: String,
    /// The model's name at that server.
    #[schemars(length(min = 1, max = 255))]
    pub model: String,
    /// The Secret whose key `apiKey` is sent as the bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// What the server allows. Default: no limit but the workers' concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ExternalLimits>,
}

/// What an external server allows, over all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalLimits {
    /// Requests in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: Option<i32>,
    /// Requests in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub requests_per_minute: Option<i32>,
    /// Tokens of prompts and completions in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub tokens_per_minute: Option<i64>,
}

/// The claim that holds the model's files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// How much space to ask for. Default: 20Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// The storage class. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// How servers may mount the volume. Servers on more than one node need `ReadWriteMany`.
    #[serde(default)]
    #[schemars(extend("default" = json!("ReadWriteOnce")))]
    pub access_mode: AccessMode,
}
