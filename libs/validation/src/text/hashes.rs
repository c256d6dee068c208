//! A set of 128-bit hashes with the number of items that went in: the state of every "how many different" metric.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::definition::State;

/// The first 64 bits of the SHA-256 of a text: its name in a signature.
pub(crate) fn text_hash(text: &str) -> u64 {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Items by hash. The memory grows with the number of different items: about 20 bytes each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DistinctHashes {
    /// How many items there were.
    items: u64,
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    hashes: HashSet<u128, RandomState>,
}

impl DistinctHashes {
    pub(crate) fn insert(&mut self, hash: u128) {
        self.items = self.items.saturating_add(1);
        self.hashes.insert(hash);
    }

    /// How many items there were.
    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    /// How many of them differ.
    pub(crate) fn distinct(&self) -> u64 {
        self.hashes.len() as u64
    }
}

impl State for DistinctHashes {
    fn merge(&mut self, mut other: Self) {
        // The smaller set goes into the larger one.
        if other.hashes.len() > self.hashes.len() {
            std::mem::swap(&mut self.hashes, &mut other.hashes);
        }
        self.items = self.items.saturating_add(other.items);
        self.hashes.extend(other.hashes);
    }

    fn is_sound(&self) -> bool {
        self.distinct() <= self.items
    }
}

/// 32 hexadecimal digits a hash, ascending, so that equal sets are equal texts.
fn to_hex<S: Serializer>(hashes: &HashSet<u128, RandomState>, to: S) -> Result<S::Ok, S::Error> {
    let mut sorted: Vec<_> = hashes.iter().collect();
    sorted.sort_unstable();
    let mut hex = String::with_capacity(sorted.len() * 32);
    for hash in sorted {
        hex.push_str(&format!("{hash:032x}"));
    }
    to.serialize_str(&hex)
}

fn from_hex<'de, D: Deserializer<'de>>(from: D) -> Result<HashSet<u128, RandomState>, D::Error> {
    let hex = String::deserialize(from)?;
    let (hashes, rest) = hex.as_bytes().as_chunks::<32>();
    if !rest.is_empty() {
        return Err(D::Error::custom("hashes are cut off"));
    }
    hashes
        .iter()
        .map(|digits| {
            let digits = std::str::from_utf8(digits).map_err(D::Error::custom)?;
            u128::from_str_radix(digits, 16).map_err(D::Error::custom)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hashes: &[u128]) -> DistinctHashes {
        let mut set = DistinctHashes::default();
        hashes.iter().for_each(|hash| set.insert(*hash));
        set
    }

    #[test]
    fn a_merge_counts_all_items_and_each_hash_once() {
        let mut set = of(&[1, 1, 2]);
        set.merge(of(&[2, 3, 4, u128::MAX]));
        assert_eq!((set.items(), set.distinct()), (7, 5));
    }

    #[test]
    fn a_saved_set_is_sorted_and_comes_back() {
        let set = of(&[u128::MAX, 0, 7]);
        let saved = serde_json::to_value(&set).unwrap();
        assert_eq!(saved, serde_json::to_value(of(&[7, u128::MAX, 0])).unwrap());
        assert_eq!(serde_json::from_value::<DistinctHashes>(saved).unwrap(), set);
    }

    #[test]
    fn a_damaged_set_is_refused() {
        for hashes in ["00", &"g".repeat(32), &"é".repeat(16)] {
            let saved = serde_json::json!({"items": 1, "hashes": hashes});
            assert!(serde_json::from_value::<DistinctHashes>(saved).is_err(), "{hashes}");
        }
    }
}
