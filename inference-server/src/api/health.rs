//! `GET /healthz` and `GET /readyz`.

use schemars::JsonSchema;
use serde::Serialize;

/// What a probe is told.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok` or `failed`; `ready` or `unavailable`.
    pub(crate) status: &'static str,
    /// What the server does at the moment.
    pub(crate) phase: &'static str,
    /// Why the engine has ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}
