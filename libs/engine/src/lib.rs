//! Language-model inference: weights, tokenizers, models, the KV cache's bookkeeping, scheduling and sampling.
//! No HTTP, no Kubernetes, no async runtime.
//!
//! Data flows one way: [`weights`] reads a model file, [`models`] turns it into a [`model::Model`],
//! [`scheduler`] forms batches for it, [`sampling`] chooses tokens, and [`engine`] runs that loop on its own thread.

pub mod chat;
pub mod engine;
pub mod model;
pub mod models;
pub mod sampling;
pub mod scheduler;
pub mod tokenizer;
pub mod weights;
mod whole_file;
