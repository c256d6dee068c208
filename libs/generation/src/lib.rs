//! The generation job: `prepare → rows → finalize`, as library functions that a local run and a cluster's pods both call.
//!
//! [`job`] turns a manifest's spec into compiled columns, [`prepare`] fixes the source and decides what may be continued,
//! [`rows`] makes the missing rows through a [`completer::Completer`] and keeps them as chunks, and [`finalize`] filters,
//! scores, gates and writes the dataset. Each step can be run again: what is finished stays as it is.

pub mod completer;
pub mod engine;
pub mod error;
pub mod finalize;
pub mod graph;
pub mod job;
pub mod local;
pub mod prepare;
pub mod preview;
pub mod progress;
pub mod report;
pub mod row;
pub mod rows;
pub mod scoring;

pub use completer::{Completer, Models};
pub use error::Error;
pub use job::Job;
pub use prepare::{Prepared, Source, prepare};
pub use progress::{Cancel, Progress};
pub use report::Report;
