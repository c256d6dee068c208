//! The words of the data: records, rows and their ids.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// One entry of a source, its fields in the order in which the source has them.
pub type Record = Map<String, Value>;

/// A record with its place in the source, and what may be wrong with it alone.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRecord {
    /// Position in the whole source, counted from 0 and independent of offset and limit.
    pub index: u64,
    /// The record; or why no row can be made of it while the other records are fine.
    pub record: Result<Record, RecordError>,
}

impl SourceRecord {
    /// The fields, also of a record that no row can be made of.
    pub fn fields(&self) -> &Record {
        match &self.record {
            Ok(record) => record,
            Err(error) => &error.record,
        }
    }
}

/// What makes one record unusable (a NUL character, half of a surrogate pair) without spoiling the
/// source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct RecordError {
    /// Where and what, for the user.
    pub message: String,
    /// The record with every lone surrogate replaced by U+FFFD, so that it can still be shown.
    pub record: Record,
}

/// Names one row: the record's position in the source, and which sample of it. Written
/// `<record>-<sample>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// Absolute position of the record in the source.
    pub record: u64,
    /// Sample of that record, from 0.
    pub sample: u32,
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.record, self.sample)
    }
}

/// A text that is no row id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no row id; expected `<record>-<sample>`, two whole numbers without leading zeros, as in `17-0`"
)]
pub struct RowIdError(String);

impl FromStr for RowId {
    type Err = RowIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('-').and_then(|(record, sample)| {
            Some(RowId { record: record.parse().ok()?, sample: sample.parse().ok()? })
        });
        // One spelling only: "+1", "01" would name the same row twice.
        match parsed {
            Some(id) if id.to_string() == text => Ok(id),
            _ => Err(RowIdError(text.chars().take(64).collect())),
        }
    }
}

impl Serialize for RowId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One sample of a record, as generation leaves it. Whether it is accepted or rejected is decided
/// later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name and place in the dataset.
    pub id: RowId,
    /// The source's fields (constants are not part of a row).
    pub fields: Record,
    /// The attributes drawn for it.
    pub attributes: Record,
    /// Generated and value columns, in column order; of a failed row, those that were finished.
    pub columns: Record,
    /// Whether all columns could be made.
    pub outcome: Outcome,
    /// How they were made.
    pub meta: RowMeta,
}

/// Whether a row's columns could all be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Outcome {
    /// All columns are there.
    Generated,
    /// The row ended early, for good.
    Failed {
        /// Which step failed: `source`, `prompt`, `completion`, `shard`, ...
        stage: String,
        /// Why, for the user.
        message: String,
    },
}

/// How a row's columns were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RowMeta {
    /// By generated column: the rendered prompt (text) or messages (list).
    pub prompts: Record,
    /// By generated column: `stop` or `length`.
    pub finish_reasons: BTreeMap<String, String>,
    /// By generated column: tokens read and written.
    pub tokens: BTreeMap<String, Tokens>,
}

/// Tokens of one completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens generated.
    pub completion: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_id_has_exactly_one_spelling() {
        assert_eq!("17-3".parse(), Ok(RowId { record: 17, sample: 3 }));
        for text in [
            "",
            "17",
            "17-",
            "-3",
            "017-3",
            "17-03",
            "+17-3",
            "17-3-1",
            "17 -3",
            "18446744073709551616-0",
        ] {
            assert!(text.parse::<RowId>().is_err(), "{text}");
        }
    }

    #[test]
    fn rows_are_ordered_by_record_then_sample() {
        let id = |text: &str| text.parse::<RowId>().unwrap();
        assert!(id("2-9") < id("10-0"));
        assert!(id("10-0") < id("10-1"));
    }
}
