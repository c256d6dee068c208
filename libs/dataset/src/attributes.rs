//! Attributes: values drawn per row, by a counter generator, so that a row's draw depends on
//! nothing but its name.
//!
//! The random number of (job seed, attribute, record, sample) is the first 16 bytes, little-endian,
//! of SHA-256 over `textnlp-attribute/1`, a zero byte, the seed (u64, little-endian), the length of
//! the attribute's name in bytes (u32, little-endian), the name (UTF-8), the record (u64,
//! little-endian) and the sample (u32, little-endian).

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::record::RowId;

const DOMAIN: &[u8] = b"textnlp-attribute/1\0";

/// The largest integer that every JSON reader keeps exactly: 2^53 - 1.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// What an attribute's values are drawn from.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// One of the values, in proportion to its weight; without weights each is as likely.
    Choice {
        /// At least one value.
        values: Vec<Value>,
        /// As many as values: finite, not negative, not all zero.
        weights: Option<Vec<f64>>,
    },
    /// An integer from `min` to `max`, both included.
    Uniform {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
}

/// A distribution that nothing can be drawn from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum AttributeError {
    #[error("attribute `{name}`: `choice.values` is empty; give at least one value")]
    NoValues { name: String },
    #[error(
        "attribute `{name}`: {weights} weights for {values} values; give one weight per value, or none"
    )]
    WeightCount { name: String, weights: usize, values: usize },
    #[error(
        "attribute `{name}`: `choice.weights[{index}]` is {weight}; a weight is a finite number of 0 or more"
    )]
    Weight { name: String, index: usize, weight: f64 },
    #[error(
        "attribute `{name}`: the weights sum to {sum}; at least one must be above 0, and the sum finite"
    )]
    WeightSum { name: String, sum: f64 },
    #[error(
        "attribute `{name}`: `uniform.min` is {min} and `uniform.max` {max}; min must not be above max"
    )]
    EmptyRange { name: String, min: i64, max: i64 },
    #[error(
        "attribute `{name}`: {bound} is beyond 2^53 - 1 = 9007199254740991, the largest exact integer of JSON"
    )]
    Bound { name: String, bound: i64 },
}

/// A named distribution that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    name: String,
    distribution: Distribution,
}

impl Attribute {
    /// Checks the distribution.
    pub fn new(
        name: impl Into<String>,
        distribution: Distribution,
    ) -> Result<Self, AttributeError> {
        let name = name.into();
        match &distribution {
            Distribution::Choice { values, weights } => {
                if values.is_empty() {
                    return Err(AttributeError::NoValues { name });
                }
                if let Some(weights) = weights {
                    check_weights(&name, weights, values.len())?;
                }
            }
            &Distribution::Uniform { min, max } => {
                if min > max {
                    return Err(AttributeError::EmptyRange { name, min, max });
                }
                if let Some(bound) =
                    [min, max].into_iter().find(|bound| bound.unsigned_abs() > MAX_INTEGER as u64)
                {
                    return Err(AttributeError::Bound { name, bound });
                }
            }
        }
        Ok(Self { name, distribution })
    }

    /// The attribute's name, under which templates and the row know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value for one row; the same whenever, wherever and in whatever order it is drawn.
    pub fn draw(&self, seed: u64, id: RowId) -> Value {
        let random = random(seed, &self.name, id);
        match &self.distribution {
            Distribution::Choice { values, weights: None } => {
                values[below(random, values.len() as u64) as usize].clone()
            }
            Distribution::Choice { values, weights: Some(weights) } => {
                values[weighted(random, weights)].clone()
            }
            &Distribution::Uniform { min, max } => {
                // Both lie within 2^53: neither the width nor the sum can overflow.
                Value::from(min + below(random, (max - min) as u64 + 1) as i64)
            }
        }
    }
}

fn check_weights(name: &str, weights: &[f64], values: usize) -> Result<(), AttributeError> {
    let name = || name.to_owned();
    if weights.len() != values {
        return Err(AttributeError::WeightCount { name: name(), weights: weights.len(), values });
    }
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
        return Err(AttributeError::Weight { name: name(), index, weight: weights[index] });
    }
    let sum: f64 = weights.iter().sum();
    if !(sum > 0.0 && sum.is_finite()) {
        return Err(AttributeError::WeightSum { name: name(), sum });
    }
    Ok(())
}

/// The 128 random bits of one row's attribute; the module's text says which bytes are hashed.
pub fn random(seed: u64, attribute: &str, id: RowId) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(seed.to_le_bytes());
    hasher.update((attribute.len() as u32).to_le_bytes());
    hasher.update(attribute.as_bytes());
    hasher.update(id.record.to_le_bytes());
    hasher.update(id.sample.to_le_bytes());
    let hash = hasher.finalize();
    hash.iter().take(16).rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// A number from 0 to `bound - 1`: floor(random / 2^128 × bound). No value is likelier than another
/// by more than 2^-64.
fn below(random: u128, bound: u64) -> u64 {
    let (high, low) = (random >> 64, random & u128::from(u64::MAX));
    let bound = u128::from(bound);
    ((high * bound + ((low * bound) >> 64)) >> 64) as u64
}

/// The index whose cumulative weight is the first above u × sum, u being the top 53 bits as a
/// fraction below 1.
fn weighted(random: u128, weights: &[f64]) -> usize {
    let fraction = (random >> 75) as f64 / (1u64 << 53) as f64;
    let target = fraction * weights.iter().sum::<f64>();
    let mut cumulative = 0.0;
    for (index, weight) in weights.iter().enumerate() {
        cumulative += weight;
        if target < cumulative {
            return index;
        }
    }
    // Rounding can bring the target up to the sum: the last value that has a weight.
    weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attribute(distribution: Distribution) -> Attribute {
        Attribute::new("tone", distribution).unwrap()
    }

    fn id(record: u64, sample: u32) -> RowId {
        RowId { record, sample }
    }

    /// From Python: `int.from_bytes(sha256(b"textnlp-attribute/1\0" + struct.pack("<QI", seed,
    /// len(name)) + name + struct.pack("<QI", record, sample)).digest()[:16], "little")`.
    #[test]
    fn the_random_bits_are_the_documented_ones() {
        assert_eq!(random(42, "tone", id(0, 0)), 0x83a9b249183842e1b7d6b2cd2b9baacb);
        assert_eq!(
            random((1 << 53) - 1, "größe", id(u64::MAX, 3)),
            0x41aa57e83990673044ed7b2a4a683328
        );
    }

    #[test]
    fn draws_are_the_same_on_every_machine() {
        let choice = attribute(Distribution::Choice {
            values: vec![json!("angry"), json!("calm"), json!(3)],
            weights: Some(vec![3.0, 1.0, 0.5]),
        });
        let uniform = attribute(Distribution::Uniform { min: -5, max: 5 });
        let draws: Vec<Value> = (0..8).map(|record| choice.draw(7, id(record, 1))).collect();
        assert_eq!(
            json!(draws),
            json!(["angry", "angry", "angry", "angry", "angry", 3, "calm", "angry"])
        );
        let draws: Vec<Value> = (0..8).map(|record| uniform.draw(7, id(record, 1))).collect();
        assert_eq!(json!(draws), json!([-5, -2, 1, -1, -2, 5, 3, -2]));
    }

    #[test]
    fn both_ends_of_a_range_are_drawn_and_nothing_beyond() {
        assert_eq!((below(0, 7), below(u128::MAX, 7)), (0, 6));
        assert_eq!(below(u128::MAX, u64::MAX), u64::MAX - 1);
        let max = MAX_INTEGER;
        let wide = attribute(Distribution::Uniform { min: -max, max });
        for record in 0..1000 {
            let value = wide.draw(0, id(record, 0)).as_i64().unwrap();
            assert!((-max..=max).contains(&value));
        }
        assert_eq!(attribute(Distribution::Uniform { min: 4, max: 4 }).draw(1, id(2, 3)), json!(4));
    }

    #[test]
    fn values_come_in_proportion_to_their_weights() {
        let values = vec![json!(0), json!(1), json!(2)];
        let choice = attribute(Distribution::Choice { values, weights: Some(vec![3.0, 0.0, 1.0]) });
        let mut counts = [0u32; 3];
        for record in 0..10_000 {
            counts[choice.draw(42, id(record, 0)).as_u64().unwrap() as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        // 7,500 with a standard deviation of 43.
        assert!((7_300..7_700).contains(&counts[0]), "{counts:?}");
        assert_eq!(weighted(u128::MAX, &[1.0, 0.0]), 0);
    }

    #[test]
    fn what_nothing_can_be_drawn_from_is_refused() {
        let choice = |count: usize, weights: Option<Vec<f64>>| {
            let values = (0..count).map(Value::from).collect();
            Attribute::new("tone", Distribution::Choice { values, weights })
                .unwrap_err()
                .to_string()
        };
        assert!(choice(0, None).contains("`choice.values` is empty"));
        assert!(choice(2, Some(vec![1.0])).contains("1 weights for 2 values"));
        assert!(choice(2, Some(vec![1.0, -1.0])).contains("`choice.weights[1]` is -1"));
        assert!(choice(1, Some(vec![f64::NAN])).contains("`choice.weights[0]` is NaN"));
        assert!(choice(2, Some(vec![0.0, 0.0])).contains("at least one must be above 0"));
        assert!(choice(2, Some(vec![f64::MAX, f64::MAX])).contains("the weights sum to inf"));
        let uniform = |min, max| {
            Attribute::new("n", Distribution::Uniform { min, max }).unwrap_err().to_string()
        };
        assert!(uniform(2, 1).contains("`uniform.min` is 2 and `uniform.max` 1"));
        assert!(uniform(i64::MIN, i64::MAX).contains("is beyond 2^53 - 1"));
    }
}
