//! What a job writes and where. No I/O.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;
use crate::source::{ClaimPath, ObjectStore};
use crate::validation::PiiEntity;

/// What the dataset looks like and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The formats in which the dataset is written, each once.
    #[serde(default = "default_formats")]
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub formats: Vec<OutputFormat>,
    /// The fields of a row, in the order in which they are written. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub fields: Option<Vec<String>>,
    /// Whether text that a spreadsheet would take for a formula gets a `'` before it, in CSV. Default false: text is written as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape_formulas: Option<bool>,
    /// Replaces personal data by the name of its kind, as in `Call <phone>.`, before anything is filtered, measured or written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_pii: Option<MaskPii>,
    /// Where the dataset goes. Default: in a cluster, a claim that the operator makes; in a local
    /// run, a directory of the job's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            formats: default_formats(),
            fields: None,
            escape_formulas: None,
            mask_pii: None,
            destination: None,
        }
    }
}

fn default_formats() -> Vec<OutputFormat> {
    vec![OutputFormat::JSONL]
}

/// Which personal data is replaced, and where. The prompts that are kept with a row are masked too; the chunks, from which a dataset is
/// finalized again, are not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaskPii {
    /// The fields of a row. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub fields: Option<Vec<String>>,
    /// The kinds of personal data. Default: all that the metric `pii` knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub entities: Option<Vec<PiiEntity>>,
}

/// A format of the finished dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum OutputFormat {
    /// One JSON object a line.
    JSONL,
    /// Comma-separated values with a header line.
    CSV,
    /// A table for people.
    Markdown,
    /// Apache Parquet.
    Parquet,
}

/// Where a dataset goes: at most one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::at_most_one(
    &["claim", "persistentVolumeClaim", "objectStore", "directory"], "destination"))]
pub struct Destination {
    /// A claim that the operator makes for this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<OwnedClaim>,
    /// A claim that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimPath>,
    /// A prefix in an object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
    /// A directory beside the manifest, for `textnlp run`. A job in a cluster that has one stalls
    /// with the reason `LocalOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
}

/// A claim that the operator makes for one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedClaim {
    /// How much space to ask for.
    #[serde(default = "default_claim_size")]
    pub size: Quantity,
    /// The storage class. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// How pods may mount the volume. More than one worker on more than one node needs
    /// `ReadWriteMany`.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// What happens to the claim, and so to the dataset, when the job is deleted.
    #[serde(default)]
    pub when_deleted: WhenDeleted,
}

fn default_claim_size() -> Quantity {
    Quantity("10Gi".into())
}

/// How pods may mount a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum AccessMode {
    /// By the pods of one node.
    #[default]
    ReadWriteOnce,
    /// By pods of any number of nodes.
    ReadWriteMany,
}

/// What happens to a claim when its owner is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum WhenDeleted {
    /// It stays.
    #[default]
    Retain,
    /// It goes too.
    Delete,
}

/// A directory of the local disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Directory {
    /// A path below the manifest's own directory: relative, without `..`, so that a manifest from
    /// somebody else writes nowhere else. `textnlp run --output DIR` takes any directory.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::path_inside("the manifest's directory (`--output` takes any other)"))]
    pub path: String,
}
