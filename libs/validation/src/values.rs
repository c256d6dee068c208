//! The row values of a dataset: their exact mean and their quantiles, the same bits in whatever order they were added and merged.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::State;
use crate::histogram::Histogram;

/// How many different values are kept apart. Beyond, values that agree in their leading bits are counted as one.
const MAX_DISTINCT: usize = 65_536;

/// Bits of a double's fraction.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// Figures of a metric's row values. Quantiles interpolate linearly between the two nearest rows (the default of numpy and pandas).
/// They are exact up to 65,536 different values; beyond, and for the quantiles only, values are cut to as many leading bits as keeps
/// them within that number (1 M values spread over 0–1: relative error below 0.03 %).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Distribution {
    /// The mean, from the exact sum.
    pub mean: f64,
    /// The smallest value.
    pub min: f64,
    /// The 5th percentile.
    pub p05: f64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The largest value.
    pub max: f64,
    /// The values in bins.
    #[serde(default)]
    pub histogram: Histogram,
}

/// A multiset of finite values of any number: the state behind every mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RowValues {
    sum: ExactSum,
    /// Sort key of a value, cut to `bits` → how many rows have it.
    counts: BTreeMap<u64, u64>,
    /// How many bits of the fraction are kept in `counts`.
    bits: u32,
    /// Sort keys of the smallest and the largest value, not cut.
    ends: Option<(u64, u64)>,
}

impl Default for RowValues {
    fn default() -> Self {
        Self { sum: ExactSum::default(), counts: BTreeMap::new(), bits: FRACTION_BITS, ends: None }
    }
}

impl RowValues {
    /// Adds a finite value.
    pub(crate) fn push(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "row values are finite");
        let value = value + 0.0; // −0 and 0 are one value
        let key = sort_key(value);
        self.sum.add(value);
        self.count(cut(key, self.bits), 1);
        self.ends = Some(self.ends.map_or((key, key), |(low, high)| (low.min(key), high.max(key))));
        self.coarsen(MAX_DISTINCT);
    }

    fn count(&mut self, key: u64, rows: u64) {
        let count = self.counts.entry(key).or_default();
        *count = count.saturating_add(rows);
    }

    pub(crate) fn distribution(&self) -> Distribution {
        let rows = self.counts.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let (low, high) =
            self.ends.map_or((0.0, 0.0), |(low, high)| (value_of(low), value_of(high)));
        let quantile = |q: f64| {
            let position = q * rows.saturating_sub(1) as f64;
            let (below, fraction) = (position.floor(), position.fract());
            let (a, b) = (self.ranked(below as u64), self.ranked(position.ceil() as u64));
            (a + (b - a) * fraction).max(low).min(high)
        };
        Distribution {
            mean: self.sum.value() / rows.max(1) as f64,
            min: low,
            p05: quantile(0.05),
            p50: quantile(0.5),
            p95: quantile(0.95),
            max: high,
            histogram: Histogram::new(
                (low, high),
                self.counts.iter().map(|(key, count)| (value_of(*key).max(low), *count)),
            ),
        }
    }

    /// The value of the row at `rank` (from 0) in ascending order.
    fn ranked(&self, rank: u64) -> f64 {
        let mut seen = 0_u64;
        for (key, count) in &self.counts {
            seen = seen.saturating_add(*count);
            if rank < seen {
                return value_of(*key);
            }
        }
        0.0
    }

    /// Cuts bits until at most `max` values differ. The result depends on the multiset only: more rows never differ in
    /// fewer keys, so the largest number of bits that fits the whole is never more than what fits a part.
    fn coarsen(&mut self, max: usize) {
        while self.counts.len() > max && self.bits > 0 {
            self.cut_to(self.bits - 1);
        }
    }

    fn cut_to(&mut self, bits: u32) {
        self.bits = bits;
        for (key, count) in std::mem::take(&mut self.counts) {
            self.count(cut(key, bits), count);
        }
    }
}

impl State for RowValues {
    fn merge(&mut self, mut other: Self) {
        let bits = self.bits.min(other.bits);
        self.cut_to(bits);
        other.cut_to(bits);
        self.sum.merge(&other.sum);
        for (key, count) in other.counts {
            self.count(key, count);
        }
        self.ends = match (self.ends, other.ends) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, None) | (None, one) => one,
        };
        self.coarsen(MAX_DISTINCT);
    }

    fn is_sound(&self) -> bool {
        let finite = |key: &u64| value_of(*key).is_finite();
        self.bits <= FRACTION_BITS
            && self.counts.keys().all(finite)
            && self.ends.is_none_or(|(low, high)| low <= high && finite(&low) && finite(&high))
    }
}

/// The bits of a value, changed so that they sort as the values do.
fn sort_key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// Rounds a key down to `bits` bits of fraction.
fn cut(key: u64, bits: u32) -> u64 {
    let lost = FRACTION_BITS - bits;
    key >> lost << lost
}

/// A sum of doubles without rounding: for each exponent the integer sum of the significands, so that addition commutes and
/// associates.
#[derive(Debug, Clone, Default, PartialEq)]
struct ExactSum(BTreeMap<i16, i128>);

impl ExactSum {
    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> FRACTION_BITS & 0x7ff) as i16;
        let fraction = i128::from(bits & ((1 << FRACTION_BITS) - 1));
        // Subnormal numbers have the exponent 1 and no hidden bit.
        let significand = if exponent == 0 { fraction } else { fraction | 1 << FRACTION_BITS };
        let significand = if value.is_sign_negative() { -significand } else { significand };
        if significand != 0 {
            self.add_significand(exponent.max(1), significand);
        }
    }

    fn merge(&mut self, other: &ExactSum) {
        for (exponent, significand) in &other.0 {
            self.add_significand(*exponent, *significand);
        }
    }

    fn add_significand(&mut self, exponent: i16, significand: i128) {
        let sum = self.0.entry(exponent).or_default();
        *sum = sum.saturating_add(significand); // 2⁷⁴ rows fit
    }

    /// The sum, rounded; small terms first.
    fn value(&self) -> f64 {
        let power = |exponent: i16| i32::from(exponent) - 1023 - FRACTION_BITS as i32;
        let terms = self.0.iter().map(|(exponent, sum)| libm::ldexp(*sum as f64, power(*exponent)));
        terms.fold(0.0, |sum, term| sum + term) // the sum of no terms is 0, not −0
    }
}

/// JSON has no integers of 128 bits: as text.
impl Serialize for ExactSum {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(exponent, sum)| (exponent, sum.to_string())))
    }
}

impl<'de> Deserialize<'de> for ExactSum {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<i16, String>::deserialize(from)?;
        let parse = |(exponent, sum): (i16, String)| match sum.parse() {
            Ok(sum) if (1..0x7ff).contains(&exponent) => Ok((exponent, sum)),
            _ => Err(D::Error::custom("no sum of finite numbers")),
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> RowValues {
        let mut all = RowValues::default();
        values.iter().for_each(|value| all.push(*value));
        all
    }

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([1, 2, 3, 4, 10], [0.05, 0.5, 0.95]) = [1.2, 3.0, 8.8]
        let found = of(&[10.0, 3.0, 1.0, 4.0, 2.0]).distribution();
        assert_eq!((found.mean, found.min, found.p50, found.max), (4.0, 1.0, 3.0, 10.0));
        assert!((found.p05 - 1.2).abs() < 1e-12 && (found.p95 - 8.8).abs() < 1e-12, "{found:?}");
        let one = of(&[7.5]).distribution();
        assert_eq!([one.min, one.p05, one.p50, one.p95, one.max, one.mean], [7.5; 6]);
    }

    #[test]
    fn a_sum_that_rounding_would_lose_is_kept() {
        assert_eq!(of(&[1e100, 1.0, -1e100, 1.0]).distribution().mean, 0.5);
        assert_eq!(of(&[0.1; 10]).distribution().mean, 0.1);
        assert_eq!(of(&[f64::MIN_POSITIVE / 2.0; 4]).distribution().mean, f64::MIN_POSITIVE / 2.0);
    }

    #[test]
    fn negative_zero_is_zero() {
        assert_eq!(of(&[-0.0, 0.0]), of(&[0.0, 0.0]));
        assert!(of(&[0.0]).distribution().mean.is_sign_positive());
    }

    #[test]
    fn many_different_values_are_kept_in_bounded_memory_and_any_grouping_gives_the_same() {
        // A permutation of 0..200,000 over 200,000, added as one and in three parts.
        let rows = 200_000_u64;
        let values: Vec<f64> = (0..rows).map(|i| (i * 7919 % rows) as f64 / rows as f64).collect();
        let whole = of(&values);
        let mut parts: Vec<_> = values.chunks(70_001).map(of).collect();
        let mut merged = parts.remove(2);
        merged.merge(parts.remove(0));
        merged.merge(parts.remove(0));
        assert_eq!(merged, whole);
        assert!(whole.counts.len() <= MAX_DISTINCT);
        let found = whole.distribution();
        assert_eq!((found.min, found.max), (0.0, (rows - 1) as f64 / rows as f64));
        assert!((found.p50 - 0.5).abs() < 1e-3 && (found.p95 - 0.95).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn saved_values_come_back_and_damaged_ones_are_refused() {
        let all = of(&[0.1, 0.2, 1e-310, 3e200]);
        let saved = serde_json::to_value(&all).unwrap();
        assert_eq!(serde_json::from_value::<RowValues>(saved.clone()).unwrap(), all);
        for (field, value) in [("bits", 53.into()), ("sum", serde_json::json!({"2047": "1"}))] {
            let mut damaged = saved.clone();
            damaged[field] = value;
            let read = serde_json::from_value::<RowValues>(damaged);
            assert!(!read.is_ok_and(|values| values.is_sound()), "{field}");
        }
    }
}
