//! `POST /v1/completions`.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{LogitBias, ResponseFormat, Stop, StreamOptions, Usage};

/// A request. Parameters that are not here are ignored, as OpenAI does.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CompletionRequest {
    pub(crate) model: Option<String>,
    pub(crate) prompt: Option<Prompt>,
    pub(crate) max_tokens: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<i64>,
    pub(crate) min_p: Option<f64>,
    pub(crate) repetition_penalty: Option<f64>,
    pub(crate) stop: Option<Stop>,
    pub(crate) seed: Option<i64>,
    pub(crate) n: Option<i64>,
    pub(crate) best_of: Option<i64>,
    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<StreamOptions>,
    pub(crate) logprobs: Option<i64>,
    pub(crate) logit_bias: Option<LogitBias>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) echo: Option<bool>,
    pub(crate) suffix: Option<String>,
    pub(crate) response_format: Option<ResponseFormat>,
    pub(crate) tools: Option<IgnoredAny>,
    pub(crate) functions: Option<IgnoredAny>,
}

/// What is to be continued.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, a list of texts, token ids or a list of those")]
pub(crate) enum Prompt {
    /// A text.
    Text(String),
    /// Several texts, each with its own choices.
    Texts(Vec<String>),
    /// Token ids.
    Tokens(Vec<u32>),
    /// Several lists of token ids.
    TokenLists(Vec<Vec<u32>>),
}

/// A whole answer; a chunk of a streamed one has the same shape.
#[derive(Debug, Serialize)]
pub(crate) struct Completion {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<CompletionChoice>,
    /// In a stream: absent unless asked for; then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<Usage>>,
    pub(crate) system_fingerprint: String,
}

/// One of several continuations, or what is new of it.
#[derive(Debug, Serialize)]
pub(crate) struct CompletionChoice {
    pub(crate) index: usize,
    pub(crate) text: String,
    pub(crate) logprobs: Option<CompletionLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

/// Log probabilities of a choice's tokens, in parallel lists.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CompletionLogprobs {
    pub(crate) tokens: Vec<String>,
    pub(crate) token_logprobs: Vec<f64>,
    pub(crate) top_logprobs: Vec<BTreeMap<String, f64>>,
    /// Where each token begins, in characters of the completion.
    pub(crate) text_offset: Vec<usize>,
}
