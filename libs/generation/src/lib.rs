//! The generation job: `prepare → rows → finalize`, as library functions that a local run and a cluster's pods both call.
//!
//! [`job`] turns a manifest's spec into compiled columns, [`prepare`] fixes the source and decides what may be continued,
//! [`rows`] makes the missing rows through a [`completer::Completer`] and keeps them as chunks, and [`finalize`] filters,
//! scores, gates and writes the dataset. Each step can be run again: what is finished stays as it is.
//!
//! [`local`] runs all of it in one process; [`steps`] has it as a cluster's pods do, with [`shards`] and a completer over
//! [`http`](mod@http). [`task`] reads what the operator tells its pods. [`call`] makes rows for a program that brings its records.

pub mod call;
pub mod completer;
pub mod engine;
pub mod error;
pub mod evaluation;
pub mod finalize;
pub mod graph;
pub mod http;
pub mod job;
pub mod local;
pub mod metrics;
pub mod prepare;
pub mod preview;
pub mod progress;
pub mod report;
pub mod row;
pub mod rows;
pub mod scoring;
pub mod shards;
pub mod status;
pub mod steps;
pub mod task;

pub use completer::{Completer, Models};
pub use error::Error;
pub use job::Job;
pub use prepare::{Prepared, Source, prepare};
pub use progress::{Cancel, Concurrency, Progress};
pub use report::Report;
