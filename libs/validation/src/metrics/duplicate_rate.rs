//! `duplicateRate`: rows whose text, folded, occurred before.

use crate::definition::{Definition, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::text::folding::duplicate_key;
use crate::text::hashes::DistinctHashes;

pub(crate) const INFO: Info = Info {
    name: "duplicateRate",
    description: "Rows that have an earlier twin, of all rows. Twins are equal after NFKC, case folding and white-space folding.",
    scale: Scale::Unit,
    row: false,
    needs_reference: false,
    needs_text: true,
    params: &[],
};

struct DuplicateRate;

pub(crate) fn new() -> impl Definition {
    DuplicateRate
}

impl Definition for DuplicateRate {
    type State = DistinctHashes;

    fn row(&self, _: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(None)
    }

    fn add(&self, state: &mut DistinctHashes, sample: &Sample<'_>) -> Result<(), RowError> {
        state.insert(duplicate_key(sample.text));
        Ok(())
    }

    fn score(&self, state: &DistinctHashes) -> Option<Value> {
        // In any order, all rows but the first of each kind have an earlier twin.
        let twins = state.items().saturating_sub(state.distinct());
        Some(Value { value: twins as f64 / state.items().max(1) as f64, distribution: None })
    }

    fn signature(&self) -> String {
        "fold:nfkc+case+space|version:1".to_owned()
    }
}
