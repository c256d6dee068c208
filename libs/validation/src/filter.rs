//! Filters: which rows the dataset keeps.

use serde_json::{Map, Value};

use crate::expression::Expression;
use crate::gate::Range;
use crate::metric::{Metric, RowError, Sample, TextMetric};
use crate::params::ParamError;

/// A condition that a row must fulfil to be accepted.
#[derive(Debug, Clone)]
pub enum Filter {
    /// The row value of a metric lies in a range.
    Range {
        /// The metric, which has row values.
        metric: TextMetric,
        /// The allowed values.
        range: Range,
    },
    /// A CEL expression over the row is true.
    Expression(Expression),
}

impl Filter {
    /// A filter on the row value of `metric`.
    ///
    /// # Errors
    /// [`ParamError`] if the metric has no row value.
    pub fn range(metric: Metric, range: Range) -> Result<Self, ParamError> {
        match metric {
            Metric::Text(metric) if metric.info().row => Ok(Self::Range { metric, range }),
            other => {
                let found =
                    format!("{}, which has a value for the whole dataset only", other.info().name);
                Err(ParamError::new(
                    "metric",
                    found,
                    "a metric with row values; use this one as a gate",
                ))
            }
        }
    }

    /// Whether the row is kept. `sample` is the text of the filter's column (an expression does not read it); `row` has
    /// the row's fields (a range does not read them).
    ///
    /// # Errors
    /// [`RowError`] if the filter cannot be decided on this row.
    pub fn keeps(
        &self,
        sample: Option<&Sample<'_>>,
        row: &Map<String, Value>,
    ) -> Result<bool, RowError> {
        match self {
            Filter::Expression(expression) => Ok(expression.evaluate(row)?),
            Filter::Range { metric, range } => {
                let sample = sample.ok_or(RowError::NoText { metric: metric.info().name })?;
                // `range` admits metrics with row values only.
                Ok(metric.row(sample)?.is_some_and(|value| range.contains(value)))
            }
        }
    }
}
