//! Confidence intervals by the bootstrap (Efron, 1979), in one pass and mergeable: in each resample a row counts as often as a Poisson
//! variable of mean 1 says (Oza and Russell, 2001), which a hash of seed, row and resample draws. So no resample needs the number of rows,
//! and rows give the same interval in whatever order they come.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How an interval is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Chooses the resamples: another seed, another interval, by a little.
    pub seed: u64,
    /// How many resamples; the memory is 8 bytes for each and for each figure that the metric sums (2 to 24).
    pub resamples: usize,
    /// The part of the resamples' scores that lies within the interval.
    pub level: f64,
}

/// sacrebleu's defaults.
impl Default for Bootstrap {
    fn default() -> Self {
        Self { seed: 12_345, resamples: 1_000, level: 0.95 }
    }
}

/// Between which scores a metric of such rows lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The part of the resamples' scores between them.
    pub level: f64,
}

/// The sums of a metric's figures in each resample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resamples {
    bootstrap: Bootstrap,
    /// One resample after the other; empty before the first row.
    sums: Vec<u64>,
    /// The sum of each row's largest figure: whether any resample's sum may have left the range of 64 bits.
    #[serde(default)]
    largest: u64,
}

/// Quantities that are no counts are summed in units of 2⁻²⁰: whole numbers add up to the same in any order.
const UNIT: f64 = (1_u64 << 20) as f64;
const LARGEST: f64 = (1_u64 << 40) as f64;

/// A number in that form; larger ones than 2⁴⁰ are cut.
pub(crate) fn to_fixed(value: f64) -> u64 {
    (value.clamp(-LARGEST, LARGEST) * UNIT).round() as i64 as u64
}

/// The number, or a sum of such.
pub(crate) fn from_fixed(value: u64) -> f64 {
    value as i64 as f64 / UNIT
}

impl Resamples {
    pub(crate) fn new(bootstrap: Bootstrap) -> Self {
        Self { bootstrap, sums: Vec::new(), largest: 0 }
    }

    /// Adds a row's figures, of which every row of a metric has the same number.
    pub(crate) fn add(&mut self, id: &str, figures: &[u64]) {
        if self.sums.is_empty() {
            self.sums = vec![0; self.bootstrap.resamples * figures.len()];
        }
        let largest = figures.iter().map(|figure| (*figure as i64).unsigned_abs()).max();
        self.largest = self.largest.saturating_add(largest.unwrap_or(0));
        let mut hasher = Sha256::new();
        hasher.update(self.bootstrap.seed.to_le_bytes());
        hasher.update(id.as_bytes());
        let row =
            hasher.finalize().iter().take(8).fold(0_u64, |row, byte| row << 8 | u64::from(*byte));
        for (sums, resample) in self.sums.chunks_exact_mut(figures.len().max(1)).zip(0..) {
            let times = poisson(row, resample);
            if times > 0 {
                for (sum, figure) in sums.iter_mut().zip(figures) {
                    *sum = sum.wrapping_add(figure.wrapping_mul(times));
                }
            }
        }
    }

    /// False, and nothing changes, if the other has other resamples.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        if self.bootstrap != other.bootstrap {
            return false;
        }
        let empty = self.sums.is_empty() || other.sums.is_empty();
        if !empty && self.sums.len() != other.sums.len() {
            return false;
        }
        self.largest = self.largest.saturating_add(other.largest);
        if self.sums.is_empty() {
            self.sums.clone_from(&other.sums);
            return true;
        }
        let pairs = self.sums.iter_mut().zip(&other.sums);
        pairs.for_each(|(sum, more)| *sum = sum.wrapping_add(*more));
        true
    }

    /// Percentiles of the resamples' scores, as numpy interpolates them.
    pub(crate) fn interval(&self, score: impl Fn(&[u64]) -> Option<f64>) -> Option<Interval> {
        let Bootstrap { resamples, level, .. } = self.bootstrap;
        // A row counts at most twelve times.
        if self.largest > i64::MAX as u64 / 12 {
            return None;
        }
        let figures = self.sums.len().checked_div(resamples).filter(|figures| *figures > 0)?;
        let mut scores: Vec<f64> =
            self.sums.chunks_exact(figures).filter_map(score).filter(|s| s.is_finite()).collect();
        scores.sort_by(f64::total_cmp);
        let tail = ((1.0 - level) / 2.0).clamp(0.0, 0.5);
        let (low, high) = (percentile(&scores, tail)?, percentile(&scores, 1.0 - tail)?);
        Some(Interval { low, high, level })
    }
}

fn percentile(sorted: &[f64], at: f64) -> Option<f64> {
    let position = at * sorted.len().checked_sub(1)? as f64;
    let below = sorted.get(position.floor() as usize)?;
    let above = sorted.get(position.ceil() as usize)?;
    Some(below + (above - below) * position.fract())
}

/// How often a row counts in a resample.
fn poisson(row: u64, resample: u64) -> u64 {
    /// P(X ≤ k) of the Poisson distribution of mean 1, times 2⁶⁴; beyond the last, the chance is 10⁻⁹.
    const AT_MOST: [u64; 12] = [
        6_786_177_901_268_885_274,
        13_572_355_802_537_770_549,
        16_965_444_753_172_213_186,
        18_096_474_403_383_694_065,
        18_379_231_815_936_564_285,
        18_435_783_298_447_138_329,
        18_445_208_545_532_234_003,
        18_446_555_009_401_533_385,
        18_446_723_317_385_195_808,
        18_446_742_018_272_269_410,
        18_446_743_888_360_976_771,
        18_446_744_058_369_041_076,
    ];
    // SplitMix64.
    let mut x = row.wrapping_add((resample + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    // The bounds ascend; counting them all needs no branch.
    AT_MOST.iter().map(|bound| u64::from(x > *bound)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_poissons() {
        let draws: Vec<u64> = (0..200_000).map(|i| poisson(i * 77, i % 1_000)).collect();
        let mean = draws.iter().sum::<u64>() as f64 / draws.len() as f64;
        let square = draws.iter().map(|n| n * n).sum::<u64>() as f64 / draws.len() as f64;
        assert!(
            (mean - 1.0).abs() < 0.01 && (square - mean * mean - 1.0).abs() < 0.02,
            "{mean} {square}"
        );
        let none = draws.iter().filter(|n| **n == 0).count() as f64 / draws.len() as f64;
        assert!((none - 0.367_879).abs() < 0.005, "{none}");
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
        // 400 values of 0 and 1 in equal parts: the mean's standard error is 0.025.
        let mut all = Resamples::new(Bootstrap { resamples: 4_000, ..Bootstrap::default() });
        (0..400).for_each(|i| all.add(&i.to_string(), &[1, to_fixed((i % 2) as f64)]));
        let found = all.interval(|sums| Some(from_fixed(sums[1]) / sums[0] as f64)).unwrap();
        assert!((found.low - (0.5 - 1.96 * 0.025)).abs() < 0.005, "{found:?}");
        assert!((found.high - (0.5 + 1.96 * 0.025)).abs() < 0.005, "{found:?}");
    }

    #[test]
    fn numbers_survive_their_fixed_form() {
        for value in [0.0, 1.5, -3.25, 1e6] {
            assert_eq!(from_fixed(to_fixed(value)), value);
        }
        assert_eq!(from_fixed(to_fixed(-1.0).wrapping_add(to_fixed(2.5))), 1.5);
        assert_eq!(from_fixed(to_fixed(f64::MAX)), LARGEST);
    }
}
