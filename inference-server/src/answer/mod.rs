//! From the engine's events to responses: whole, or streamed as server-sent events.

mod chat;
mod completions;
mod logprobs;
mod stream;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use textnlp_engine::engine::{Completion, Event};
use textnlp_engine::sampling::TokenLogprob;

pub(crate) use self::chat::Chat;
pub(crate) use self::completions::Text;
use crate::api::{PromptTokensDetails, Usage};
use crate::ask::Delivery;
use crate::error::ApiError;
use crate::generation::Generation;
use crate::served::Served;

/// What all parts of one answer say.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) served: Arc<Served>,
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// Choices of each prompt.
    pub(crate) choices: usize,
}

impl Envelope {
    /// A new one; `prefix` is that of OpenAI's ids.
    pub(crate) fn new(served: &Arc<Served>, prefix: &str, choices: u32) -> Self {
        let random = || RandomState::new().hash_one(prefix);
        Self {
            served: Arc::clone(served),
            id: format!("{prefix}-{:016x}{:016x}", random(), random()),
            created: unix_seconds(),
            choices: choices as usize,
        }
    }

    /// What the finished choices cost. A prompt counts once, however many choices it has.
    fn usage(&self, done: &[Completion]) -> Usage {
        let mut usage = Usage::default();
        for prompt in done.chunks(self.choices.max(1)) {
            usage.prompt_tokens += prompt.first().map_or(0, |first| first.prompt_tokens);
            // Later choices find what the first one computed: that is no cache hit of the client's.
            let cached = prompt.iter().map(|choice| choice.cached_tokens).min().unwrap_or(0);
            usage.prompt_tokens_details = PromptTokensDetails {
                cached_tokens: usage.prompt_tokens_details.cached_tokens + cached,
            };
            usage.completion_tokens +=
                prompt.iter().map(|choice| choice.completion_tokens).sum::<usize>();
        }
        usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
        usage
    }
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// How one endpoint writes its answers.
pub(crate) trait Shape: Send + Sync + 'static {
    /// A whole answer.
    type Whole: Serialize;
    /// A part of a streamed one.
    type Chunk: Serialize;

    /// The whole answer.
    fn whole(envelope: &Envelope, done: Vec<Completion>, usage: Usage) -> Self::Whole;
    /// What a choice begins with, if anything.
    fn opening(envelope: &Envelope, index: usize) -> Option<Self::Chunk>;
    /// New text of a choice; `offset` is where its token begins, in characters.
    fn piece(envelope: &Envelope, index: usize, piece: Piece) -> Self::Chunk;
    /// The end of a choice.
    fn ending(envelope: &Envelope, index: usize, finish_reason: &'static str) -> Self::Chunk;
    /// A chunk without choices, for the usage.
    fn empty(envelope: &Envelope) -> Self::Chunk;
    /// Sets a chunk's usage.
    fn set_usage(chunk: &mut Self::Chunk, usage: Option<Usage>);
}

/// What is new of a choice.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) logprob: Option<TokenLogprob>,
    /// Where the token begins, in characters of all tokens before it.
    pub(crate) offset: usize,
}

/// The answer, in the way that was asked for.
pub(crate) async fn answer<S: Shape>(
    envelope: Envelope,
    generation: Generation,
    delivery: Delivery,
) -> Result<Response, ApiError> {
    match delivery {
        Delivery::Whole => {
            let done = finished(generation).await?;
            let usage = envelope.usage(&done);
            Ok(Json(S::whole(&envelope, done, usage)).into_response())
        }
        Delivery::Stream { include_usage } => {
            Ok(stream::respond::<S>(envelope, generation, include_usage))
        }
    }
}

/// All completions, in the order of their choices.
async fn finished(mut generation: Generation) -> Result<Vec<Completion>, ApiError> {
    let mut done: Vec<Option<Completion>> = vec![None; generation.choices()];
    while let Some(event) = generation.next().await {
        if let (index, Event::Finished(completion)) = event?
            && let Some(slot) = done.get_mut(index)
        {
            *slot = Some(completion);
        }
    }
    done.into_iter().collect::<Option<_>>().ok_or(ApiError::Internal)
}
