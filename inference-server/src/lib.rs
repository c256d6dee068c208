//! An OpenAI-compatible HTTP API over the engine: completions, chat, models, health and metrics.
//!
//! [`run`] binds nothing and loads nothing by itself: it gets a listener, a function that loads the model, and a future
//! that says when to stop. The way of a request: `routes` (HTTP) → `api` (wire types) → `ask` (checked, in the engine's
//! terms) → `generation` (waits in the `line`, then the engine) → `answer` (wire types again).

mod access;
mod admission;
mod answer;
mod api;
mod ask;
mod body;
mod config;
mod connection;
mod deadline;
mod error;
mod fresh;
mod generation;
mod inflight;
mod line;
mod loading;
mod metrics;
mod openapi;
mod readiness;
mod recorder;
mod refused;
mod routes;
mod rows;
mod served;
mod server;
mod stall;
mod tls;
mod traced;
mod well_formed;
mod written;

pub use access::{TokenAlgorithm, is_key_name};
pub use config::{KubernetesConfig, OidcConfig, ServerConfig, TlsConfig};
pub use loading::{LoadError, LoadPhase, Loading, ModelSettings};
pub use openapi::openapi;
pub use server::{Drained, ServeError, Stop, run};
