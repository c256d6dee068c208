//! `GET /v1/models`.

use schemars::JsonSchema;
use serde::Serialize;

/// All models of a server: one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelList {
    /// `list`.
    pub(crate) object: &'static str,
    /// The models.
    pub(crate) data: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Model {
    /// Its name.
    pub(crate) id: String,
    /// `model`.
    pub(crate) object: &'static str,
    /// When it was loaded, seconds since 1970.
    pub(crate) created: u64,
    /// `textnlp`.
    pub(crate) owned_by: &'static str,
    /// Most tokens of prompt and completion together, as vLLM calls it.
    pub(crate) max_model_len: usize,
}
