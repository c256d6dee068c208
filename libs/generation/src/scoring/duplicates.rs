//! The removal of duplicates from the rows of a job.

use textnlp_validation::Deduplicator;

use super::Duplicates;
use super::scored::{Scored, with_sample};

/// The rows that stayed so far, by their texts.
pub struct RowDeduplicator<'a> {
    duplicates: &'a Duplicates,
    kept: Deduplicator,
}

impl<'a> RowDeduplicator<'a> {
    pub(super) fn new(duplicates: &'a Duplicates) -> Self {
        Self { duplicates, kept: Deduplicator::new(duplicates.likeness) }
    }

    /// Whether the row stays. Rows come in the order of the dataset. One without the text is like no other.
    pub fn stays(&mut self, row: &impl Scored) -> bool {
        let kept = &mut self.kept;
        with_sample(row, &self.duplicates.target, |sample| {
            sample.is_none_or(|sample| kept.stays(sample.text))
        })
    }
}
