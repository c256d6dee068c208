//! The one seam between a job and whatever completes its prompts: the engine in this process, or a server.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};
use textnlp_crds::cost::Price;
use textnlp_crds::sampling::ResolvedSampling;
use textnlp_telemetry::trace::TraceContext;

/// What a model is asked to continue.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text, continued as it is.
    Text(String),
    /// A conversation; the model's own chat template renders it.
    Chat(Vec<ChatMessage>),
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// Text of the turn.
    pub content: String,
}

impl Prompt {
    /// As a row keeps it: a text, or a list of messages.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Chat(messages) => {
                messages.iter().map(|m| json!({"role": m.role, "content": m.content})).collect()
            }
        }
    }

    /// Whether there is nothing to continue: no text but white space (in a chat: no turn of a user with text).
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Chat(messages) => {
                messages.iter().all(|m| m.role == "system" || m.content.trim().is_empty())
            }
        }
    }

    /// All text of the prompt.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, messages) = match self {
            Self::Text(text) => (Some(text.as_str()), &[][..]),
            Self::Chat(messages) => (None, messages.as_slice()),
        };
        text.into_iter().chain(messages.iter().map(|m| m.content.as_str()))
    }
}

/// One completion to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to continue.
    pub prompt: Prompt,
    /// How tokens are drawn.
    pub sampling: ResolvedSampling,
    /// Seed of this request's counter generator (api.md: the low 53 bits of a hash of the row's name).
    pub seed: u64,
    /// The record that the prompt comes from: completions of one record share a prefix.
    pub record: u64,
    /// What it is part of.
    pub trace: TraceContext,
}

/// A finished completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Text, without the stop text.
    pub text: String,
    /// `stop` or `length`.
    pub finish_reason: &'static str,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
}

/// Why there is no completion.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompletionError {
    /// This request fails however often it is tried; only its row is lost.
    #[error("{0}")]
    Request(String),
    /// Nothing can be completed any more; the run ends, and can go on later.
    #[error("{0}")]
    Model(String),
    /// The model is not the one that the job pins: going on would mix two.
    #[error("{0}")]
    ModelChanged(String),
    /// There is no such model, or no such server.
    #[error("{0}")]
    ModelUnknown(String),
    /// The server does not take the credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// The run was asked to stop while this request waited for its turn.
    #[error("interrupted")]
    Interrupted,
}

/// What a job must know of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Name of the ModelDeployment.
    pub name: String,
    /// Model digest.
    pub digest: String,
    /// Name of the arithmetic: `cpu-1/f32`.
    pub numerics: String,
    /// Whether the same request gives the same bytes.
    pub reproducible: bool,
    /// Whether it has a chat template.
    pub chat: bool,
    /// SHA-256 of the tokenizer, where it is known.
    pub tokenizer_digest: Option<String>,
    /// Longest prompt and completion together, where it is known.
    pub context_tokens: Option<usize>,
}

/// A future that can be sent between threads.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Completes prompts.
pub trait Completer: Send + Sync {
    /// Makes one completion. Dropping the future stops it.
    fn complete(&self, request: Request) -> Boxed<'_, Result<Completion, CompletionError>>;

    /// Number of tokens of a prompt, as the model would read it; an error if the prompt cannot be rendered.
    fn count(&self, prompt: &Prompt) -> Result<u64, CompletionError>;
}

/// The models of a job, by the name of their ModelDeployment. Facts are known before anything is loaded.
#[derive(Clone, Default)]
pub struct Models {
    facts: BTreeMap<String, ModelFacts>,
    completers: BTreeMap<String, Arc<dyn Completer>>,
    prices: BTreeMap<String, Price>,
}

impl Models {
    /// Makes a model known.
    pub fn describe(&mut self, facts: ModelFacts) {
        self.facts.insert(facts.name.clone(), facts);
    }

    /// Makes a model usable.
    pub fn connect(&mut self, name: impl Into<String>, completer: Arc<dyn Completer>) {
        self.completers.insert(name.into(), completer);
    }

    /// Says what a model's tokens cost.
    pub fn set_price(&mut self, name: impl Into<String>, price: Price) {
        self.prices.insert(name.into(), price);
    }

    /// What a model's tokens cost, where it has a price.
    pub fn price(&self, name: &str) -> Option<&Price> {
        self.prices.get(name)
    }

    /// What is known of a model.
    pub fn facts(&self, name: &str) -> Option<&ModelFacts> {
        self.facts.get(name)
    }

    /// The model, once it is connected.
    pub fn completer(&self, name: &str) -> Option<&Arc<dyn Completer>> {
        self.completers.get(name)
    }
}
