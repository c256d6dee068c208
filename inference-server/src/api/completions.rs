//! `POST /v1/completions`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{LogitBias, ResponseFormat, Stop, StreamOptions, Usage};

/// A request. Parameters that are not here are ignored, as OpenAI does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct CompletionRequest {
    /// The model's name.
    #[schemars(required)]
    pub(crate) model: Option<String>,
    /// What is to be continued.
    #[schemars(required)]
    pub(crate) prompt: Option<Prompt>,
    /// Most tokens of the completion; 256 if it is not given.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub(crate) max_tokens: Option<i64>,
    /// How even the draw is: 0 takes the likeliest token.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub(crate) temperature: Option<f64>,
    /// Draws among the likeliest tokens that together have this probability.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub(crate) top_p: Option<f64>,
    /// Draws among so many of the likeliest tokens; 0 and -1: among all.
    #[schemars(range(min = -1, max = 4_294_967_295_i64))]
    pub(crate) top_k: Option<i64>,
    /// Draws among tokens at least so likely as a part of the likeliest one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) min_p: Option<f64>,
    /// Above 1: tokens that were there already get less likely.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub(crate) repetition_penalty: Option<f64>,
    /// Texts at which the answer ends, up to 16.
    pub(crate) stop: Option<Stop>,
    /// Equal seeds give equal answers; without one, every request has another.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub(crate) seed: Option<i64>,
    /// How many answers.
    #[schemars(range(min = 1, max = 8))]
    pub(crate) n: Option<i64>,
    /// Not supported, but for the value of `n`.
    pub(crate) best_of: Option<i64>,
    /// Whether the answer is sent as it grows.
    pub(crate) stream: Option<bool>,
    /// Only with `stream`.
    pub(crate) stream_options: Option<StreamOptions>,
    /// So many of the likeliest tokens in each place, with their log probabilities.
    #[schemars(range(min = 0, max = 20))]
    pub(crate) logprobs: Option<i64>,
    /// What is added to the logits of tokens, by their ids.
    pub(crate) logit_bias: Option<LogitBias>,
    /// Not supported: 0 only.
    #[schemars(range(min = 0.0, max = 0.0))]
    pub(crate) presence_penalty: Option<f64>,
    /// Not supported: 0 only.
    #[schemars(range(min = 0.0, max = 0.0))]
    pub(crate) frequency_penalty: Option<f64>,
    /// Not supported: false only.
    pub(crate) echo: Option<bool>,
    /// Not supported: empty only.
    pub(crate) suffix: Option<String>,
    /// Only `text`.
    pub(crate) response_format: Option<ResponseFormat>,
    #[schemars(skip)]
    pub(crate) tools: Option<IgnoredAny>,
    #[schemars(skip)]
    pub(crate) functions: Option<IgnoredAny>,
}

/// What is to be continued.
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Debug, Serialize, JsonSchema)]
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
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CompletionChoice {
    pub(crate) index: usize,
    pub(crate) text: String,
    pub(crate) logprobs: Option<CompletionLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

/// Log probabilities of a choice's tokens, in parallel lists.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct CompletionLogprobs {
    pub(crate) tokens: Vec<String>,
    pub(crate) token_logprobs: Vec<f64>,
    pub(crate) top_logprobs: Vec<BTreeMap<String, f64>>,
    /// Where each token begins, in characters of the completion.
    pub(crate) text_offset: Vec<usize>,
}
