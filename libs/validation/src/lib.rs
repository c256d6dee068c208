//! Text metrics that equal their reference implementations, filters and gates. Pure functions: no I/O, no clock, no threads.
//!
//! A metric has a *row value*, a *dataset value*, or both. [`registry::build`] makes a [`Metric`] from its name and parameters;
//! [`TextMetric::row`] scores one text; [`TextMetric::accumulator`] starts an [`Accumulator`] that scores a dataset. Accumulators of
//! shards are saved, restored and merged in any grouping and give the same bits. A [`Filter`] reads row values (or a CEL expression
//! over the row), a [`Gate`] reads a dataset value.
//!
//! Adding a metric is one file in `metrics/` and one line in [`registry`].

mod accumulator;
mod bootstrap;
mod deduplicate;
mod definition;
mod expression;
mod filter;
mod gate;
mod given;
#[cfg(test)]
mod goldens;
mod histogram;
mod metric;
mod metrics;
mod params;
pub mod pii;
pub mod registry;
mod text;
mod values;

pub use accumulator::{Accumulator, DatasetScore, MergeError, SavedAccumulator};
pub use bootstrap::{Bootstrap, Interval};
pub use deduplicate::{Deduplicator, Likeness};
pub use expression::{EvaluationError, Expression, ExpressionError};
pub use filter::Filter;
pub use gate::{Gate, Range, Stat};
pub use given::GivenValues;
pub use histogram::Histogram;
pub use metric::{CountMetric, Counts, Info, Metric, RowError, Sample, Scale, TextMetric};
pub use params::{ParamError, ParamInfo, ParamKind};
pub use text::folding::duplicate_key;
pub use values::Distribution;
