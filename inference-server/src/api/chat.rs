//! `POST /v1/chat/completions`.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{LogitBias, ResponseFormat, Stop, StreamOptions, Usage};

/// A request. Parameters that are not here are ignored, as OpenAI does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ChatRequest {
    /// The model's name.
    #[schemars(required)]
    pub(crate) model: Option<String>,
    /// The conversation so far.
    #[schemars(required, length(min = 1))]
    pub(crate) messages: Option<Vec<ChatMessage>>,
    /// Most tokens of the answer; 256 if it is not given.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub(crate) max_completion_tokens: Option<i64>,
    /// The older name of `max_completion_tokens`.
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
    /// Whether the answer is sent as it grows.
    pub(crate) stream: Option<bool>,
    /// Only with `stream`.
    pub(crate) stream_options: Option<StreamOptions>,
    /// Whether each token's log probability is in the answer.
    pub(crate) logprobs: Option<bool>,
    /// With `logprobs`: so many of the likeliest tokens in each place.
    #[schemars(range(min = 0, max = 20))]
    pub(crate) top_logprobs: Option<i64>,
    /// What is added to the logits of tokens, by their ids.
    pub(crate) logit_bias: Option<LogitBias>,
    /// Not supported: 0 only.
    #[schemars(range(min = 0.0, max = 0.0))]
    pub(crate) presence_penalty: Option<f64>,
    /// Not supported: 0 only.
    #[schemars(range(min = 0.0, max = 0.0))]
    pub(crate) frequency_penalty: Option<f64>,
    /// Only `text`.
    pub(crate) response_format: Option<ResponseFormat>,
    #[schemars(skip)]
    pub(crate) tools: Option<IgnoredAny>,
    #[schemars(skip)]
    pub(crate) functions: Option<IgnoredAny>,
}

/// One turn of a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Message")]
pub(crate) struct ChatMessage {
    /// Who speaks; `developer` is `system`.
    #[schemars(extend("enum" = ["system", "developer", "user", "assistant"]))]
    pub(crate) role: String,
    /// What is said.
    #[serde(default)]
    pub(crate) content: Option<Content>,
}

/// What a turn says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of text parts")]
pub(crate) enum Content {
    /// A text.
    Text(String),
    /// Parts, of which only texts are supported.
    Parts(Vec<ContentPart>),
}

/// A part of what a turn says.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ContentPart {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) text: Option<String>,
}

/// A whole answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatCompletion {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<ChatChoice>,
    pub(crate) usage: Usage,
    pub(crate) system_fingerprint: String,
}

/// One of several answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatChoice {
    pub(crate) index: usize,
    pub(crate) message: AssistantMessage,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: &'static str,
}

/// The model's turn.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AssistantMessage {
    pub(crate) role: &'static str,
    pub(crate) content: String,
    pub(crate) refusal: Option<String>,
}

/// A part of a streamed answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatChunk {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<ChatChunkChoice>,
    /// Absent unless asked for; then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<Usage>>,
    pub(crate) system_fingerprint: String,
}

/// What is new of a choice.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatChunkChoice {
    pub(crate) index: usize,
    pub(crate) delta: Delta,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

/// What is new of the model's turn.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
}

/// Log probabilities of a choice's tokens.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatLogprobs {
    pub(crate) content: Vec<ChatLogprob>,
}

/// Log probability of a token, and the likeliest ones in its place.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChatLogprob {
    #[serde(flatten)]
    pub(crate) chosen: TopLogprob,
    pub(crate) top_logprobs: Vec<TopLogprob>,
}

/// Log probability of a token.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopLogprob {
    pub(crate) token: String,
    pub(crate) logprob: f64,
    pub(crate) bytes: Vec<u8>,
}
