//! Digests of what goes in and what comes out, over RFC 8785 (JSON Canonicalization Scheme) forms.
//!
//! * **Source digest**: SHA-256 over the canonical form of each record and a newline. A record that cannot be used is
//!   hashed as the canonical form of `[message, record]`.
//! * **Dataset digest**: SHA-256 over, for each accepted row in row order, the canonical form of
//!   `{"id": "0-0", "fields": {…}, "attributes": {…}, "columns": {…}, "finishReasons": {column: reason}}` and a newline.
//!   No scores, times, tokens or prompts: the same on a laptop and a cluster, for every output format.
//!
//! Both are written as 64 lower-case hexadecimal digits.

use std::fmt::Write;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::record::{Row, SourceRecord};

/// The RFC 8785 form of a value.
///
/// Values of this crate hold no number that JSON lacks (NaN, infinities): those are refused where
/// records are read. Should one come from elsewhere, it is written as `null`, as `serde_json` does.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value).unwrap_or_default();
    serde_json_canonicalizer::to_vec(&value).unwrap_or_default()
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_ref())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Running digest of a source; at any point it is the digest of the records so far.
#[derive(Debug, Clone, Default)]
pub struct SourceDigest {
    hasher: Sha256,
    records: u64,
}

impl SourceDigest {
    /// Of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next record.
    pub fn add(&mut self, record: &SourceRecord) {
        self.hasher.update(match &record.record {
            Ok(record) => canonical(record),
            Err(error) => canonical(&json!([error.message, error.record])),
        });
        self.hasher.update(b"\n");
        self.records += 1;
    }

    /// How many records were added.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The digest of the records so far; more can be added after it.
    pub fn current(&self) -> String {
        hex(self.hasher.clone().finalize().as_ref())
    }
}

/// Running digest of a dataset.
#[derive(Debug, Clone, Default)]
pub struct DatasetDigest {
    hasher: Sha256,
}

impl DatasetDigest {
    /// Of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next accepted row; rows must come in row order.
    pub fn add(&mut self, row: &Row) {
        self.hasher.update(canonical(&json!({
            "id": row.id,
            "fields": row.fields,
            "attributes": row.attributes,
            "columns": row.columns,
            "finishReasons": row.meta.finish_reasons,
        })));
        self.hasher.update(b"\n");
    }

    /// The digest of the rows so far.
    pub fn current(&self) -> String {
        hex(self.hasher.clone().finalize().as_ref())
    }
}
