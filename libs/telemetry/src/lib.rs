//! What all programs tell of themselves: lines of a log, and traces (OpenTelemetry), which know of each other.
//!
//! Traces are off until [`trace::start`] has found an endpoint in the environment; until then a span costs nothing.

pub mod log;
pub mod trace;
