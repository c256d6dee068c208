//! A sample of a dataset's texts that does not depend on the order of the rows: those whose ids have the smallest SHA-256.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::definition::State;
use crate::metric::Sample;

/// At most so many rows are kept.
pub(crate) const SAMPLE: usize = 1_000;

/// Hash of the id → the row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SampledTexts(BTreeMap<String, SampledText>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SampledText {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl SampledTexts {
    /// Takes the row if it belongs to the sample; `text` says what is kept of it.
    pub(crate) fn add(&mut self, sample: &Sample<'_>, text: impl FnOnce(&str) -> String) {
        let key = key(sample.id);
        if self.0.len() < SAMPLE || self.0.last_key_value().is_some_and(|(last, _)| key <= *last) {
            self.insert(key, SampledText { id: sample.id.to_owned(), text: text(sample.text) });
        }
    }

    fn insert(&mut self, key: String, row: SampledText) {
        // Two rows of one id would be a mistake of the caller's; the result must not depend on their order even then.
        let kept = self.0.entry(key).or_insert_with(|| row.clone());
        if row < *kept {
            *kept = row;
        }
        if self.0.len() > SAMPLE {
            self.0.pop_last();
        }
    }

    /// The texts, in the order of their hashes.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|row| row.text.as_str())
    }

    /// The texts in the order of their rows' ids.
    pub(crate) fn in_row_order(&self) -> Vec<&str> {
        let mut rows: Vec<&SampledText> = self.0.values().collect();
        rows.sort_by(|a, b| row_order(&a.id, &b.id));
        rows.into_iter().map(|row| row.text.as_str()).collect()
    }
}

/// The SHA-256 of the id in hexadecimal digits.
fn key(id: &str) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16);
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

impl State for SampledTexts {
    fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, row)| self.insert(key, row));
    }

    fn is_sound(&self) -> bool {
        self.0.len() <= SAMPLE
    }
}

/// The order of rows by their ids: runs of digits compare as numbers, so that `9-0` stands before `10-0`.
pub(crate) fn row_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (parts(a), parts(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) => match compare(x, y) {
                Ordering::Equal => {}
                different => return different,
            },
        }
    }
}

/// Runs of ASCII digits and of other characters.
fn parts(id: &str) -> impl Iterator<Item = &str> {
    let mut rest = id;
    std::iter::from_fn(move || {
        let digits = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

fn compare(a: &str, b: &str) -> Ordering {
    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    if !(is_number(a) && is_number(b)) {
        return a.cmp(b);
    }
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_their_numbers() {
        let mut ids =
            ["10-0", "9-1", "9-0", "a", "009-0", "9", "", "b2", "b10", "123456789012345678901-0"];
        ids.sort_by(|a, b| row_order(a, b));
        assert_eq!(
            ids,
            ["", "9", "009-0", "9-0", "9-1", "10-0", "123456789012345678901-0", "a", "b2", "b10"]
        );
    }
}
