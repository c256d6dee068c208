//! The custom resources of TextNLP: `GenerationJob` and `ModelDeployment`, group `textnlp.dev`,
//! version `v1alpha1`. No network; nothing here opens a file but the `crdgen` program.
//!
//! The Rust types are the one source. From them come the CRDs that an API server installs
//! ([`crdgen`]), the checks of a local run ([`admission`]), which evaluate that same schema, and what
//! `textnlp explain` prints ([`mod@explain`]). [`manifest`] reads files and says where in them
//! something is wrong.

// `KubeSchema` copies each struct into a function body, where `pub` reaches nobody.
#![allow(unreachable_pub)]
// Printer columns of one type or priority are no duplicates.
#![allow(clippy::duplicated_attributes)]

pub mod admission;
pub mod conditions;
pub mod cost;
pub mod crdgen;
pub mod engine;
pub mod execution;
pub mod explain;
mod frozen;
pub mod job;
pub mod job_status;
pub mod kind;
pub mod manifest;
pub mod model;
pub mod model_status;
pub mod output;
pub mod pod;
mod rules;
pub mod sampling;
pub mod scaling;
pub mod source;
pub mod task;
pub mod validation;

pub use explain::explain;
pub use job::{
    Attribute, ChatMessage, Choice, Column, GenerationJob, GenerationJobSpec, Mode, ModelRef, Role,
    Uniform,
};
pub use job_status::GenerationJobStatus;
pub use kind::{API_VERSION, GROUP, Kind, VERSION};
pub use manifest::Manifest;
pub use model::{ModelDeployment, ModelDeploymentSpec};
pub use model_status::ModelDeploymentStatus;
pub use sampling::{ResolvedSampling, Sampling};
pub use source::Record;
