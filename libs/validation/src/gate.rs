//! Ranges of allowed values, and gates: a range that a dataset's score must keep.

use crate::accumulator::DatasetScore;
use crate::metric::Info;
use crate::params::{ParamError, quote};
use crate::values::Distribution;

/// A closed range of allowed values; at least one end is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    min: Option<f64>,
    max: Option<f64>,
}

impl Range {
    /// # Errors
    /// [`ParamError`] if both ends are absent, one is not finite, or `min` is above `max`.
    pub fn new(min: Option<f64>, max: Option<f64>) -> Result<Self, ParamError> {
        for (field, end) in [("min", min), ("max", max)] {
            if let Some(end) = end.filter(|end| !end.is_finite()) {
                return Err(ParamError::new(field, end, "a finite number"));
            }
        }
        match (min, max) {
            (None, None) => Err(ParamError::new("min", "neither min nor max", "min, max, or both")),
            (Some(low), Some(high)) if low > high => {
                Err(ParamError::new("min", low, format!("at most max, which is {high}")))
            }
            _ => Ok(Self { min, max }),
        }
    }

    /// The lowest allowed value, if there is one.
    pub fn min(&self) -> Option<f64> {
        self.min
    }

    /// The highest allowed value, if there is one.
    pub fn max(&self) -> Option<f64> {
        self.max
    }

    /// Whether `value` is allowed; the ends are.
    pub fn contains(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// Which figure of a metric's row values a gate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// The mean.
    Mean,
    /// The smallest value.
    Min,
    /// The 5th percentile.
    P05,
    /// The median.
    P50,
    /// The 95th percentile.
    P95,
    /// The largest value.
    Max,
}

impl Stat {
    /// All of them, with their names in a manifest.
    pub const ALL: [(&'static str, Stat); 6] = [
        ("mean", Stat::Mean),
        ("min", Stat::Min),
        ("p05", Stat::P05),
        ("p50", Stat::P50),
        ("p95", Stat::P95),
        ("max", Stat::Max),
    ];

    /// The figure with this name.
    ///
    /// # Errors
    /// [`ParamError`] that lists the names.
    pub fn parse(name: &str) -> Result<Self, ParamError> {
        let allowed = || Self::ALL.map(|(name, _)| name).join(", ");
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, stat)| *stat)
            .ok_or_else(|| ParamError::new("stat", quote(name), allowed()))
    }

    fn of(self, distribution: &Distribution) -> f64 {
        match self {
            Stat::Mean => distribution.mean,
            Stat::Min => distribution.min,
            Stat::P05 => distribution.p05,
            Stat::P50 => distribution.p50,
            Stat::P95 => distribution.p95,
            Stat::Max => distribution.max,
        }
    }
}

/// A range that a dataset's score must keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    range: Range,
    stat: Option<Stat>,
}

impl Gate {
    /// A gate on `metric`: on its dataset value, or on `stat` of its row values.
    ///
    /// # Errors
    /// [`ParamError`] if `stat` is asked of a metric without row values.
    pub fn new(metric: &Info, range: Range, stat: Option<Stat>) -> Result<Self, ParamError> {
        if stat.is_some() && !metric.row {
            let allowed = format!("no stat: {} has one value for the whole dataset", metric.name);
            return Err(ParamError::new("stat", "a figure of row values", allowed));
        }
        Ok(Self { range, stat })
    }

    /// A gate on the mean of values that no metric of ours computes.
    pub fn on_given(range: Range) -> Self {
        Self { range, stat: None }
    }

    /// The range that must be kept.
    pub fn range(&self) -> Range {
        self.range
    }

    /// The figure that the gate reads; `None` if `score` lacks it, which does not happen for a score of the gate's metric.
    pub fn value(&self, score: &DatasetScore) -> Option<f64> {
        match self.stat {
            None => Some(score.value),
            Some(stat) => score.distribution.as_ref().map(|distribution| stat.of(distribution)),
        }
    }

    /// Whether the dataset passes. A figure that is lacking does not.
    pub fn passes(&self, score: &DatasetScore) -> bool {
        self.value(score).is_some_and(|value| self.range.contains(value))
    }
}
