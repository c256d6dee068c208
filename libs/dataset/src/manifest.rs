//! `manifest.json`: what made a dataset, and the digests that prove it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::{Store, StoreError};

/// Path of the manifest in the output.
pub const PATH: &str = "manifest.json";

/// What made a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The job as it ran: name and spec with every default filled in.
    pub job: Value,
    /// Decides the generated rows; a directory is only continued under the same.
    pub generation_hash: String,
    /// Decides what finalizing makes of the rows.
    pub validation_hash: String,
    /// The source.
    pub source: SourceSummary,
    /// The models, by column; several columns mostly share one.
    pub models: BTreeMap<String, ModelSummary>,
    /// Dataset digest over the accepted rows.
    pub digest: String,
    /// How many rows ended how.
    pub rows: RowCounts,
    /// The job's seed.
    pub seed: u64,
    /// Versions by name: `textnlp`, `manifest`, ...
    pub versions: BTreeMap<String, String>,
    /// Paths of the chunks, in row order.
    pub chunks: Vec<String>,
    /// The dataset's files.
    pub files: Vec<FileSummary>,
}

/// The source that a dataset was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSummary {
    /// Source digest.
    pub digest: String,
    /// Records used.
    pub records: u64,
    /// Index of the first.
    pub offset: u64,
}

/// A model that completed prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelSummary {
    /// Name of the ModelDeployment, or of the file.
    pub name: String,
    /// Model digest.
    pub digest: String,
    /// Which arithmetic was used: `cpu-1/int8`.
    pub numerics: String,
    /// SHA-256 of the tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer_digest: Option<String>,
    /// `Chat` or `Completion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// How many rows ended how; requested = accepted + rejected + failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowCounts {
    /// records × samplesPerRecord
    pub requested: u64,
    /// In the dataset.
    pub accepted: u64,
    /// In `rejected.jsonl`.
    pub rejected: u64,
    /// In `failed.jsonl`.
    pub failed: u64,
}

impl RowCounts {
    /// Whether every requested row is accounted for.
    pub fn balance(&self) -> bool {
        [self.accepted, self.rejected, self.failed].into_iter().try_fold(0, u64::checked_add)
            == Some(self.requested)
    }
}

/// A file of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSummary {
    /// Path in the output.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 of its contents.
    pub sha256: String,
}

/// A manifest that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ManifestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`manifest.json` cannot be read: {0}; use --fresh to start over")]
    Invalid(#[source] serde_json::Error),
}

impl Manifest {
    /// The manifest of an output, or `None` where no run has finished yet.
    pub fn load(store: &dyn Store) -> Result<Option<Self>, ManifestError> {
        match store.get(PATH) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(ManifestError::Invalid),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes it, readable by people, atomically.
    pub fn save(&self, store: &dyn Store) -> Result<(), ManifestError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(ManifestError::Invalid)?;
        text.push(b'\n');
        Ok(store.put(PATH, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LocalStore;

    #[test]
    fn rows_balance_only_if_each_is_accounted_for() {
        let rows = RowCounts { requested: 10, accepted: 7, rejected: 2, failed: 1 };
        assert!(rows.balance());
        assert!(!RowCounts { failed: 0, ..rows }.balance());
        let wrapping = RowCounts { requested: 1, accepted: u64::MAX, rejected: 2, failed: 0 };
        assert!(!wrapping.balance());
    }

    #[test]
    fn a_store_without_a_manifest_has_none_and_a_damaged_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path()).unwrap();
        assert_eq!(Manifest::load(&store).unwrap(), None);
        store.put(PATH, b"{\"job\":").unwrap();
        let message = Manifest::load(&store).unwrap_err().to_string();
        assert!(message.starts_with("`manifest.json` cannot be read: EOF"), "{message}");
    }
}
