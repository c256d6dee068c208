//! Where a job's records come from. No I/O.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::rules;

/// One entry of a source: field names to values, in the order of the source.
pub type Record = Map<String, Value>;

/// The most records that a manifest may hold itself.
pub const MAX_INLINE_RECORDS: u32 = 1_000;

/// The records that the job starts from. At most one kind of source; without any, the job has one
/// empty record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::at_most_one(
    &["inline", "configMap", "objectStore", "persistentVolumeClaim", "file"], "source"))]
pub struct Source {
    /// Records written in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<InlineSource>,
    /// A key of a ConfigMap in the job's namespace, read as a file.
    #[serde(default, rename = "configMap", skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,
    /// Objects of an S3, Google Cloud or Azure store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStore>,
    /// Files in a PersistentVolumeClaim of the job's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimPath>,
    /// Files on the disk of the machine that runs `textnlp run`. A job in a cluster that has one
    /// stalls with the reason `LocalOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSource>,
    /// The format of the source. Default: from the file's or key's extension; `.gz` and `.zst` are
    /// opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SourceFormat>,
    /// The number of records to skip. The indices in row ids count from the source's start, so that
    /// runs over disjoint offsets add up to the whole.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub offset: i64,
    /// The most records to take. Default: all. Raising it after a run extends the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub limit: Option<i64>,
}

/// Records written in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InlineSource {
    /// The records: objects of any shape, at most 1,000.
    #[schemars(schema_with = "records_schema")]
    pub records: Records,
}

/// Records as JSON text. A manifest is kept far longer than its records are looked at (an operator's cache holds ten thousand),
/// and parsed they take ten times the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records(Box<str>);

impl Records {
    /// The records, parsed.
    pub fn to_vec(&self) -> Vec<Record> {
        // The text was written from records: it cannot fail.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Default for Records {
    fn default() -> Self {
        Self("[]".into())
    }
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_vec().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let records = Vec::<Record>::deserialize(deserializer)?;
        let text = serde_json::to_string(&records).map_err(D::Error::custom)?;
        Ok(Self(text.into()))
    }
}

/// A key of a ConfigMap, read as a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapSource {
    /// Name of the ConfigMap, in the job's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that holds the file; its extension tells the format.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A place in an object store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStore {
    /// The place, as `s3://bucket/path`, `gs://bucket/path` or `az://container/path`. A source may
    /// use `*` in the path; a destination is a prefix.
    #[schemars(length(max = 2048), regex(pattern = "^(s3|gs|az)://[!-~]+$"))]
    pub uri: String,
    /// The address of the store, for MinIO, Ceph and others. Default: the cloud's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://[!-~]+$"))]
    pub endpoint: Option<String>,
    /// The region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// The Secret with the store's credentials (keys as the cloud's environment variables). Default:
    /// the identity of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

/// The name of an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A path in a PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimPath {
    /// Name of the claim, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// A path inside the claim's volume: relative to its root, without `..`. A source may use `*`.
    /// Default: the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::path_inside("the claim's volume"))]
    pub path: Option<String>,
}

/// Files of the local disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FileSource {
    /// A path, absolute or relative to the manifest. It may use `*`, `?`, `[…]` and `**`.
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = rules::path_on_disk())]
    pub path: String,
}

/// The format of a source's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum SourceFormat {
    /// Comma-separated values with a header line; all values are strings.
    CSV,
    /// One JSON object a line.
    JSONL,
    /// Apache Parquet.
    Parquet,
}

fn records_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": MAX_INLINE_RECORDS,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}
