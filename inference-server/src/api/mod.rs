//! The API's wire types, as OpenAI's clients write and read them. No logic: `ask` checks requests, `answer` makes
//! responses.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod error;
pub(crate) mod format;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod models;
pub(crate) mod validate;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `stop`: one text, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum Stop {
    /// One text.
    One(String),
    /// A list of texts.
    Many(Vec<String>),
}

/// `stream_options`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct StreamOptions {
    /// Whether a last chunk has the usage.
    #[serde(default)]
    pub(crate) include_usage: Option<bool>,
}

/// `response_format`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ResponseFormat {
    /// Only `text` is supported.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// `logit_bias`: token ids (as JSON keys) and what is added to their logits.
pub(crate) type LogitBias = BTreeMap<String, f64>;

/// Counts of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Usage {
    /// Tokens of the prompts.
    pub(crate) prompt_tokens: usize,
    /// Tokens of all choices.
    pub(crate) completion_tokens: usize,
    /// Both.
    pub(crate) total_tokens: usize,
    /// More about the prompts.
    pub(crate) prompt_tokens_details: PromptTokensDetails,
}

/// How a prompt's tokens were computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct PromptTokensDetails {
    /// Tokens whose keys and values were there already.
    pub(crate) cached_tokens: usize,
}
