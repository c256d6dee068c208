//! Row values counted in bins of equal width, for plots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// At most so many bins, or one more.
const BINS: f64 = 20.0;

/// How many rows have a value in each bin. Bin i holds the values from `start + i · step` to below the next bin's start; the last one
/// holds its end too. If all values are equal there is one bin, and `step` is 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Where the first bin begins: a multiple of `step`.
    pub start: f64,
    /// The width of a bin: 1, 2 or 5 times a power of ten; 1 or more if all values are whole.
    pub step: f64,
    /// Rows in each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Counts `values` (each with its number of rows), which lie between `low` and `high`.
    pub(crate) fn new(
        (low, high): (f64, f64),
        values: impl Iterator<Item = (f64, u64)> + Clone,
    ) -> Self {
        let width = high - low;
        let rows = values.clone().fold(0_u64, |sum, (_, rows)| sum.saturating_add(rows));
        // The width of values near the ends of what a double holds may be none.
        if !(width > 0.0 && width.is_finite()) {
            return Self { start: low, step: 0.0, counts: vec![rows] };
        }
        let whole = values.clone().all(|(value, _)| value.fract() == 0.0);
        let mut step = nice(width / BINS);
        if whole {
            step = step.max(1.0);
        }
        let start = (low / step).floor() * step;
        let last = ((high - start) / step).floor();
        // A bin for the highest value alone only if it is a whole number among such.
        let last = if !whole && start + last * step >= high { last - 1.0 } else { last };
        let last = last.clamp(0.0, 4.0 * BINS) as usize;
        let mut counts = vec![0_u64; last + 1];
        for (value, rows) in values {
            let bin = (((value - start) / step).floor().max(0.0) as usize).min(last);
            if let Some(count) = counts.get_mut(bin) {
                *count = count.saturating_add(rows);
            }
        }
        Self { start, step, counts }
    }

    /// Where bin `index` begins.
    pub fn edge(&self, index: usize) -> f64 {
        self.start + self.step * index as f64
    }
}

/// The least of 1, 2 and 5 times a power of ten that is at least `width`.
fn nice(width: f64) -> f64 {
    let power = libm::floor(libm::log10(width)) as i32;
    let steps = (power - 1..=power + 2).flat_map(|power| [1, 2, 5].map(|digit| (digit, power)));
    // From its decimal text, so that 0.1 is the double that is written so.
    let value = |(digit, power)| format!("{digit}e{power}").parse().unwrap_or(width);
    steps.map(value).find(|step: &f64| *step >= width && *step > 0.0).unwrap_or(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Histogram {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Histogram::new((low, high), values.iter().map(|value| (*value, 1)))
    }

    #[test]
    fn whole_numbers_get_bins_of_whole_width() {
        let found = of(&[3.0, 4.0, 4.0, 7.0]);
        assert_eq!((found.start, found.step), (3.0, 1.0));
        assert_eq!(found.counts, [1, 2, 0, 0, 1]);
        let found = of(&[0.0, 99.0]);
        assert_eq!((found.step, found.counts.len()), (5.0, 20));
    }

    #[test]
    fn bins_begin_at_round_numbers_and_the_last_holds_its_end() {
        let found = of(&[0.0, 0.24, 0.25, 1.0]);
        assert_eq!((found.start, found.step, found.counts.len()), (0.0, 0.05, 20));
        assert_eq!((found.counts[4], found.counts[5], found.counts[19]), (1, 1, 1));
        assert_eq!(of(&[-0.13, 0.07]).start, -0.13);
    }

    #[test]
    fn every_row_is_in_a_bin_whatever_the_values() {
        for values in [
            vec![5.5; 3],
            vec![f64::MIN, f64::MAX],
            vec![0.0, f64::MIN_POSITIVE / 4.0],
            vec![1e300, -1e-300, 7.0],
            vec![1e15, 1e15 + 1.0],
            vec![0.1 + 0.2, 0.3],
        ] {
            let found = of(&values);
            assert_eq!(found.counts.iter().sum::<u64>(), values.len() as u64, "{values:?}");
            assert!(found.counts.len() <= 81 && found.step.is_finite(), "{values:?}: {found:?}");
        }
    }
}
