//! What is asked of an engine, and what it answers.

use crate::sampling::{ParamsError, SamplingError, SamplingParams, TokenLogprob};
use crate::scheduler::ScheduleError;

/// One completion to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Token ids to continue, at least one.
    pub prompt: Vec<u32>,
    /// How tokens are drawn.
    pub params: SamplingParams,
    /// Seed of the request's random numbers; see [`token_random`](crate::sampling::token_random).
    pub seed: u64,
    /// Which of several completions of one request this is, from 0.
    pub choice: u32,
}

/// What happens to a request. [`Event::Finished`] or [`Event::Failed`] comes last, and exactly once, unless the request
/// is cancelled.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first of its prompt is computed now. Comes once, before all else, where anything is computed.
    Begun {
        /// Tokens of the prompt whose keys and values are there already.
        cached_tokens: usize,
    },
    /// A token was drawn, or text that was held back is certain.
    Token {
        /// Text that now belongs to the completion: whole characters, none of them the beginning of a stop text. Often
        /// empty. The texts of all events together are the completion's.
        text: String,
        /// Log probability of the token, if asked for.
        logprob: Option<TokenLogprob>,
    },
    /// The completion is done.
    Finished(Completion),
    /// There is no completion.
    Failed(RowError),
}

/// Receives the events of one request, on the engine's thread: it must not block.
pub type Sink = Box<dyn FnMut(Event) + Send>;

/// A finished completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Text, without the stop text.
    pub text: String,
    /// Why it ends there.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens drawn, those of a stop text among them, without the token that ended the completion.
    pub completion_tokens: usize,
    /// Tokens of the prompt whose keys and values were there already.
    pub cached_tokens: usize,
    /// One for each of the completion's tokens, if asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// Why a completion ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model drew an end token, or a stop text appeared.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
}

impl FinishReason {
    /// As the OpenAI API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        }
    }
}

/// Why a request has no completion.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowError {
    /// A sampling parameter is out of range.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The prompt cannot be run.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Nothing can be drawn from the model's logits.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The model failed at a step that this request was part of.
    #[error("the model failed: {0}")]
    Step(String),
    /// The engine has stopped; the cause, if it was not asked to.
    #[error("the engine has stopped{}", cause(.0))]
    Stopped(Option<String>),
}

impl RowError {
    /// Whether the request itself is at fault, so that it would fail again wherever it runs. A KV cache that is too
    /// small is this machine's fault: with more memory there would be a completion.
    pub fn is_of_request(&self) -> bool {
        match self {
            RowError::Schedule(ScheduleError::KvCacheTooSmall { .. }) => false,
            RowError::Params(_) | RowError::Schedule(_) | RowError::Sampling(_) => true,
            RowError::Step(_) | RowError::Stopped(_) => false,
        }
    }
}

pub(super) fn cause(cause: &Option<String>) -> String {
    cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default()
}
