//! The engine in this process as a [`Completer`].

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use textnlp_crds::sampling::ResolvedSampling;
use textnlp_engine::chat::Message;
use textnlp_engine::engine::{
    self, Engine, EngineConfig, Event, LanguageModel, LanguageModelInfo, LoadOptions, ModelCache,
    OpenModel, PromptEncoder, RowError, Sink, Ticket,
};
use textnlp_engine::model::Model;
use textnlp_engine::models::{CpuModel, KvPrecision, Precision};
use textnlp_engine::sampling::SamplingParams;
use textnlp_telemetry::trace::{Ended, Stages};
use tokio::sync::oneshot;

use crate::completer::{
    Boxed, Completer, Completion, CompletionError, ModelFacts, Prompt, Request,
};
use crate::error::Error;

/// How the engine runs. None of it changes a row.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Threads; `None` takes every core.
    pub threads: Option<usize>,
    /// Completions in flight at once.
    pub sequences: usize,
    /// Whether tokens are computed ahead while few sequences are left.
    pub speculation: bool,
}

/// A model whose files were opened and checked, and whose weights are not loaded yet.
pub struct EngineModel {
    facts: ModelFacts,
    model: OpenModel,
    context_limit: Option<usize>,
}

impl EngineModel {
    /// Opens a model file or directory for a ModelDeployment of that name; what the cache has of it is not made again.
    pub fn open(name: &str, path: &Path, cache: Option<ModelCache>) -> Result<Self, Error> {
        let model = OpenModel::open_with(path, cache).map_err(|e| {
            Error::spec(format!("model {name:?} ({})", path.display()), e.to_string())
        })?;
        let facts = facts(name, model.info());
        Ok(Self { facts, model, context_limit: None })
    }

    /// Lets no prompt and completion together be longer than `tokens`, as a server with `--max-context-tokens`.
    pub fn with_context_limit(self, tokens: Option<usize>) -> Self {
        Self { context_limit: tokens, ..self }
    }

    /// Computes in another precision than that of the files.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.model = self.model.with_precision(precision);
        self.facts.numerics.clone_from(&self.model.info().numerics);
        self
    }

    /// Keeps keys and values in another precision than the usual one.
    pub fn with_kv_cache(mut self, kv_cache: KvPrecision) -> Self {
        self.model = self.model.with_kv_cache(kv_cache);
        self.facts.numerics.clone_from(&self.model.info().numerics);
        self
    }

    /// What is known before loading.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Loads the weights and starts the engine.
    pub fn load(&self, options: EngineOptions) -> Result<Arc<EngineCompleter>, Error> {
        let defaults = EngineConfig::default();
        let engine = EngineConfig {
            max_context_tokens: self.context_limit,
            max_sequences: options.sequences.max(1),
            queue: defaults.queue.max(options.sequences),
            speculation: options.speculation,
            ..defaults
        };
        let load = LoadOptions { threads: options.threads, engine };
        let model = self.model.load(load).map_err(|e| Error::Model(e.to_string()))?;
        let prompts = Arc::clone(model.prompts());
        Ok(Arc::new(EngineCompleter { prompts, engine: Some(model.engine().clone()) }))
    }

    /// Counts tokens and completes nothing: what a dry run needs of a model.
    pub fn counter(&self) -> Arc<EngineCompleter> {
        Arc::new(EngineCompleter { prompts: Arc::clone(self.model.prompts()), engine: None })
    }

    /// Measures the model on this machine with a prompt and a few decode steps of many sequences.
    pub fn measure(&self, options: EngineOptions) -> Result<Rates, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::Model(e.to_string());
        let mut model = self.model.executor(options.threads, None).map_err(|e| failed(&e))?;
        Rates::measure(&mut model, options.sequences).map_err(|e| failed(&e))
    }
}

/// Tokens per second of a model on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    prefill: f64,
    decode: f64,
}

impl Rates {
    /// Seconds that so many tokens take.
    pub fn seconds(&self, prompt_tokens: u64, completion_tokens: u64) -> f64 {
        prompt_tokens as f64 / self.prefill + completion_tokens as f64 / self.decode
    }

    fn measure(
        model: &mut CpuModel,
        sequences: usize,
    ) -> Result<Self, textnlp_engine::model::ModelError> {
        use textnlp_engine::model::{Batch, Logits, Outputs, Span};
        const STEPS: usize = 4;
        let info = model.info().clone();
        let sequences = sequences.clamp(1, info.max_rows.min(64));
        let rows = info.max_rows.min(128).min(info.context_tokens);
        let prompt_pages = rows.div_ceil(info.page_tokens).max(sequences);
        model.reserve(prompt_pages as u32)?;
        let pages: Vec<u32> = (0..prompt_pages as u32).collect();
        let mut logits = Logits::default();
        let tokens = vec![0; rows];
        let begun = Instant::now();
        let span = Span { rows, first_position: 0, pages: &pages, outputs: Outputs::Last };
        model.forward(&Batch { tokens: &tokens, spans: &[span] }, &mut logits)?;
        let prefill = rows as f64 / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let steps = STEPS.min(info.page_tokens);
        for position in 0..steps {
            let spans: Vec<Span<'_>> = pages[..sequences]
                .chunks(1)
                .map(|pages| Span {
                    rows: 1,
                    first_position: position,
                    pages,
                    outputs: Outputs::Last,
                })
                .collect();
            model.forward(
                &Batch { tokens: &tokens[..sequences.min(rows)], spans: &spans },
                &mut logits,
            )?;
        }
        Ok(Self { prefill, decode: (steps * sequences) as f64 / begun.elapsed().as_secs_f64() })
    }
}

/// Completes prompts with an engine in this process.
pub struct EngineCompleter {
    prompts: Arc<PromptEncoder>,
    engine: Option<Engine>,
}

impl EngineCompleter {
    /// With a model that is loaded already.
    pub fn of(model: &LanguageModel) -> Self {
        Self { prompts: Arc::clone(model.prompts()), engine: Some(model.engine().clone()) }
    }

    /// Token ids of a prompt.
    ///
    /// # Errors
    /// [`CompletionError::Request`]: it cannot be rendered or encoded.
    pub fn tokens(&self, prompt: &Prompt) -> Result<Vec<u32>, CompletionError> {
        let prompt = match prompt {
            Prompt::Text(text) => engine::Prompt::Text(text.clone()),
            Prompt::Chat(turns) => engine::Prompt::Chat(
                turns
                    .iter()
                    .map(|turn| Message {
                        role: turn.role.to_owned(),
                        content: turn.content.clone(),
                    })
                    .collect(),
            ),
        };
        self.prompts.encode(&prompt).map_err(|e| CompletionError::Request(e.to_string()))
    }

    /// Begins a completion; `sink` gets its events on the engine's thread. Dropping the ticket stops it.
    pub fn start(&self, request: &Request, sink: Sink) -> Result<Ticket, CompletionError> {
        let engine = self.engine.as_ref().ok_or_else(|| {
            CompletionError::Model("the model's weights are not loaded".to_owned())
        })?;
        let prompt = self.tokens(&request.prompt)?;
        let request = engine_request(request, prompt);
        engine.submit(request, sink).map_err(|e| CompletionError::Model(e.to_string()))
    }
}

/// What a job must know of a model of the engine, under the name of its ModelDeployment.
pub fn facts(name: &str, info: &LanguageModelInfo) -> ModelFacts {
    ModelFacts {
        name: name.to_owned(),
        digest: info.digest.clone(),
        numerics: info.numerics.clone(),
        reproducible: info.reproducible,
        chat: info.chat,
        tokenizer_digest: Some(info.tokenizer_digest.clone()),
        context_tokens: Some(info.context_tokens),
    }
}

/// A row's request in the engine's terms.
pub fn engine_request(request: &Request, prompt: Vec<u32>) -> engine::Request {
    engine::Request { prompt, params: params(&request.sampling), seed: request.seed, choice: 0 }
}

/// The engine's parameters for the manifest's.
fn params(sampling: &ResolvedSampling) -> SamplingParams {
    SamplingParams {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k.unsigned_abs(),
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        max_tokens: sampling.max_tokens.unsigned_abs(),
        stop: sampling.stop.clone(),
        ..SamplingParams::default()
    }
}

/// What an engine's event means for a row; nothing while its text grows.
pub fn ended(event: Event) -> Option<Result<Completion, CompletionError>> {
    match event {
        Event::Begun { .. } | Event::Token { .. } => None,
        Event::Finished(done) => Some(Ok(completion(done))),
        Event::Failed(error) => Some(Err(failure(&error))),
    }
}

/// Tells of an event which stage of its completion it begins or ends.
pub fn observe(stages: &mut Stages, event: &Event, now: Instant) {
    match event {
        Event::Begun { cached_tokens } => stages.begun(now, *cached_tokens),
        Event::Token { .. } => stages.token(now),
        Event::Finished(done) => {
            let (prompt_tokens, completion_tokens) = (done.prompt_tokens, done.completion_tokens);
            let reason = done.finish_reason.as_str();
            stages.end(now, Ended { prompt_tokens, completion_tokens, reason });
        }
        Event::Failed(error) => stages.failed(now, &error.to_string()),
    }
}

/// What a row gets of the engine's answer.
fn completion(done: engine::Completion) -> Completion {
    Completion {
        text: done.text,
        finish_reason: done.finish_reason.as_str(),
        prompt_tokens: done.prompt_tokens as u64,
        completion_tokens: done.completion_tokens as u64,
    }
}

/// Whether a row is lost, or the model.
fn failure(error: &RowError) -> CompletionError {
    if error.is_of_request() {
        CompletionError::Request(error.to_string())
    } else {
        CompletionError::Model(error.to_string())
    }
}

impl Completer for EngineCompleter {
    fn complete(&self, request: Request) -> Boxed<'_, Result<Completion, CompletionError>> {
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            let sender = Mutex::new(Some(sender));
            let mut stages = Stages::new(request.trace.clone(), Instant::now());
            let sink: Sink = Box::new(move |event| {
                observe(&mut stages, &event, Instant::now());
                let Some(answer) = ended(event) else { return };
                if let Some(sender) = sender.lock().ok().and_then(|mut sender| sender.take()) {
                    // Nobody waits any more: the row was given up.
                    let _ = sender.send(answer);
                }
            });
            let _ticket = self.start(&request, sink)?;
            receiver
                .await
                .unwrap_or_else(|_| Err(CompletionError::Model("the engine stopped".to_owned())))
        })
    }

    fn count(&self, prompt: &Prompt) -> Result<u64, CompletionError> {
        Ok(self.tokens(prompt)?.len() as u64)
    }
}
