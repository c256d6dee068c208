//! Records in, rows out: sources, templates, attributes, chunks, output formats, manifest and
//! dataset card.
//!
//! Everything here is synchronous and knows neither models nor Kubernetes. A *record* is one entry
//! of the source, a
//! *row* one sample of a record. Records are read by [`source`], fixed by [`snapshot`], combined with [`attributes`]
//! and [`template`]s into rows, kept as [`chunk`]s in a [`store`] (what is missing: [`plan`]),
//! merged in row order, and written by [`format`](mod@format) beside a [`manifest`] with the
//! [`digest`] and a [`card`].

pub mod attributes;
pub mod card;
pub mod chunk;
pub mod digest;
pub mod display;
pub mod format;
pub mod json;
pub mod manifest;
pub mod net;
pub mod plan;
pub mod record;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod template;
mod timestamp;

pub use record::{Outcome, Record, RecordError, Row, RowId, RowMeta, SourceRecord, Tokens};
