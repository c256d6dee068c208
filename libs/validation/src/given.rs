//! Row values that come from elsewhere, such as a user's own program: kept and summed up like a metric's.

use crate::accumulator::DatasetScore;
use crate::definition::State;
use crate::values::RowValues;

/// The values of rows that another program computed. Parts of a dataset merge in any grouping to the same bits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GivenValues {
    rows: u64,
    values: RowValues,
}

impl GivenValues {
    /// Adds a row's value. False, and nothing changes, if it is no number from −10³⁰⁰ to 10³⁰⁰, whose sum is finite.
    pub fn add(&mut self, value: f64) -> bool {
        if value.is_nan() || value.abs() > 1e300 {
            return false;
        }
        self.rows = self.rows.saturating_add(1);
        self.values.push(value);
        true
    }

    /// Adds the rows of `other`.
    pub fn merge(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.values.merge(other.values);
    }

    /// The mean and the distribution under this signature; `None` before the first row.
    pub fn score(&self, signature: &str) -> Option<DatasetScore> {
        (self.rows > 0).then(|| {
            let distribution = self.values.distribution();
            DatasetScore {
                value: distribution.mean,
                rows: self.rows,
                distribution: Some(distribution),
                signature: signature.to_owned(),
            }
        })
    }
}
