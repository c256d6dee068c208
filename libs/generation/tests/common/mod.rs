//! A model that answers at once, in this process or behind HTTP, and jobs from JSON.

#![allow(dead_code)] // each test file uses what it needs

pub(crate) mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use textnlp_crds::job::GenerationJobSpec;
use textnlp_generation::completer::{
    Boxed, Completion, CompletionError, ModelFacts, Prompt, Request,
};
use textnlp_generation::{Completer, Job, Models};

/// Answers with words that depend on the prompt and the seed only. A prompt with `refuse` in it fails its row; after
/// `dies_after` answers the model is gone.
pub(crate) struct Parrot {
    pub(crate) answered: AtomicU64,
    pub(crate) dies_after: u64,
}

impl Parrot {
    pub(crate) fn new(dies_after: u64) -> Arc<Self> {
        Arc::new(Self { answered: AtomicU64::new(0), dies_after })
    }
}

impl Completer for Parrot {
    fn complete(&self, request: Request) -> Boxed<'_, Result<Completion, CompletionError>> {
        Box::pin(async move {
            // Others get a turn, so that rows end in another order than they began.
            for _ in 0..request.seed % 5 {
                tokio::task::yield_now().await;
            }
            if self.answered.fetch_add(1, Ordering::Relaxed) >= self.dies_after {
                return Err(CompletionError::Model("the model is gone".into()));
            }
            say(&request.prompt.to_json(), request.seed)
        })
    }

    fn count(&self, prompt: &Prompt) -> Result<u64, CompletionError> {
        Ok(prompt.texts().map(|t| t.split_whitespace().count() as u64).sum())
    }
}

/// What the parrot says to a prompt, in this process or behind HTTP.
pub(crate) fn say(prompt: &Value, seed: u64) -> Result<Completion, CompletionError> {
    let prompt = prompt.to_string();
    if prompt.contains("refuse") {
        return Err(CompletionError::Request("prompt is longer than the context".into()));
    }
    let words = 3 + seed % 6;
    let text: Vec<String> = (0..words)
        .map(|i| format!("w{}", (seed >> (i * 5)).wrapping_add(prompt.len() as u64) % 97))
        .collect();
    Ok(Completion {
        text: text.join(" "),
        finish_reason: if words > 7 { "length" } else { "stop" },
        prompt_tokens: prompt.len() as u64,
        completion_tokens: words,
    })
}

pub(crate) fn facts(chat: bool) -> ModelFacts {
    ModelFacts {
        name: "parrot".into(),
        digest: "sha256:00".into(),
        numerics: "test-1".into(),
        reproducible: true,
        chat,
        tokenizer_digest: None,
        context_tokens: Some(1000),
    }
}

pub(crate) fn models() -> Models {
    let mut models = Models::default();
    models.describe(facts(true));
    models
}

pub(crate) fn spec(value: Value) -> GenerationJobSpec {
    serde_json::from_value(value).expect("a spec")
}

pub(crate) fn job(spec: &GenerationJobSpec) -> Arc<Job> {
    Arc::new(Job::compile("test", spec, &models()).expect("a job that compiles"))
}
