//! The engine in this process as a [`Completer`].

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use textnlp_crds::sampling::ResolvedSampling;
use textnlp_engine::chat::{ChatTemplate, Message};
use textnlp_engine::engine::{Engine, EngineConfig, Event, RowError, Sink, Ticket};
use textnlp_engine::model::Model;
use textnlp_engine::models::{CpuModel, CpuOptions, cpu};
use textnlp_engine::sampling::SamplingParams;
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::ModelFiles;
use tokio::sync::oneshot;

use crate::completer::{Boxed, Completer, Completion, CompletionError, ModelFacts, Prompt, Request};
use crate::error::Error;

/// How the engine runs. None of it changes a row.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Threads; `None` takes every core.
    pub threads: Option<usize>,
    /// Completions in flight at once.
    pub sequences: usize,
}

/// A model whose files were opened and checked, and whose weights are not loaded yet.
pub struct EngineModel {
    facts: ModelFacts,
    files: ModelFiles,
    text: Arc<TextSide>,
}

/// What turns prompts into tokens.
struct TextSide {
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
}

impl EngineModel {
    /// Opens a model file or directory for a ModelDeployment of that name.
    pub fn open(name: &str, path: &Path) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::spec(format!("model {name:?}"), format!("{}: {error}", path.display()))
        };
        let files = ModelFiles::open(path).map_err(|e| Error::spec(format!("model {name:?}"), e.to_string()))?;
        let tokenizer = Tokenizer::new(files.tokenizer(), files.special_tokens()).map_err(|e| failed(&e))?;
        tokenizer.check_fits(files.config().vocab_size).map_err(|e| failed(&e))?;
        let template = files.chat_template().map(ChatTemplate::new).transpose().map_err(|e| failed(&e))?;
        let facts = ModelFacts {
            name: name.to_owned(),
            digest: files.digest().map_err(|e| failed(&e))?,
            numerics: cpu::NUMERICS.to_owned(),
            reproducible: true,
            chat: template.is_some(),
            tokenizer_digest: Some(tokenizer.digest().to_owned()),
            context_tokens: files.config().context_tokens,
        };
        let text = Arc::new(TextSide { tokenizer: Arc::new(tokenizer), template });
        Ok(Self { facts, files, text })
    }

    /// What is known before loading.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Loads the weights and starts the engine.
    pub fn load(&self, options: EngineOptions) -> Result<Arc<EngineCompleter>, Error> {
        let model = self.model(options)?;
        let config = EngineConfig { max_sequences: options.sequences.max(1), ..EngineConfig::default() };
        let engine = Engine::start(Box::new(model), self.text.tokenizer.clone(), config)
            .map_err(|e| Error::Model(e.to_string()))?;
        Ok(Arc::new(EngineCompleter { text: self.text.clone(), engine: Some(engine) }))
    }

    /// Counts tokens and completes nothing: what a dry run needs of a model.
    pub fn counter(&self) -> Arc<EngineCompleter> {
        Arc::new(EngineCompleter { text: self.text.clone(), engine: None })
    }

    fn model(&self, options: EngineOptions) -> Result<CpuModel, Error> {
        let defaults = CpuOptions::default();
        let cpu = CpuOptions { threads: options.threads.unwrap_or(defaults.threads), ..defaults };
        CpuModel::load(&self.files, cpu).map_err(|e| Error::Model(e.to_string()))
    }

    /// Measures the model on this machine with a prompt and a few decode steps of many sequences.
    pub fn measure(&self, options: EngineOptions) -> Result<Rates, Error> {
        let mut model = self.model(options)?;
        Rates::measure(&mut model, options.sequences).map_err(|e| Error::Model(e.to_string()))
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

    fn measure(model: &mut CpuModel, sequences: usize) -> Result<Self, textnlp_engine::model::ModelError> {
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
                .map(|pages| Span { rows: 1, first_position: position, pages, outputs: Outputs::Last })
                .collect();
            model.forward(&Batch { tokens: &tokens[..sequences.min(rows)], spans: &spans }, &mut logits)?;
        }
        Ok(Self { prefill, decode: (steps * sequences) as f64 / begun.elapsed().as_secs_f64() })
    }
}

/// Completes prompts with an engine in this process.
pub struct EngineCompleter {
    text: Arc<TextSide>,
    engine: Option<Engine>,
}

impl EngineCompleter {
    /// Token ids of a prompt.
    fn tokens(&self, prompt: &Prompt) -> Result<Vec<u32>, CompletionError> {
        let of_request = |e: &dyn std::fmt::Display| CompletionError::Request(e.to_string());
        let tokenizer = &self.text.tokenizer;
        match (prompt, &self.text.template) {
            (Prompt::Text(text), _) => tokenizer.encode_prompt(text).map_err(|e| of_request(&e)),
            (Prompt::Chat(turns), Some(template)) => {
                let messages: Vec<Message> = turns
                    .iter()
                    .map(|turn| Message { role: turn.role.to_owned(), content: turn.content.clone() })
                    .collect();
                let pieces = template.render(&messages, true, tokenizer).map_err(|e| of_request(&e))?;
                tokenizer.encode_pieces(&pieces).map_err(|e| of_request(&e))
            }
            (Prompt::Chat(_), None) => {
                Err(CompletionError::Request("the model has no chat template".to_owned()))
            }
        }
    }

    /// Begins a completion; `sink` gets its events on the engine's thread. Dropping the ticket stops it.
    pub fn start(&self, request: &Request, sink: Sink) -> Result<Ticket, CompletionError> {
        let engine = self
            .engine
            .as_ref()
            .ok_or_else(|| CompletionError::Model("the model's weights are not loaded".to_owned()))?;
        let request = textnlp_engine::engine::Request {
            prompt: self.tokens(&request.prompt)?,
            params: params(&request.sampling),
            seed: request.seed,
            choice: 0,
        };
        engine.submit(request, sink).map_err(|e| CompletionError::Model(e.to_string()))
    }
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

/// What a row gets of the engine's answer.
fn completion(done: textnlp_engine::engine::Completion) -> Completion {
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
            let sink: Sink = Box::new(move |event| {
                let answer = match event {
                    Event::Token { .. } => return,
                    Event::Finished(done) => Ok(completion(done)),
                    Event::Failed(error) => Err(failure(&error)),
                };
                if let Some(sender) = sender.lock().ok().and_then(|mut sender| sender.take()) {
                    // Nobody waits any more: the row was given up.
                    let _ = sender.send(answer);
                }
            });
            let _ticket = self.start(&request, sink)?;
            receiver.await.unwrap_or_else(|_| Err(CompletionError::Model("the engine stopped".to_owned())))
        })
    }

    fn count(&self, prompt: &Prompt) -> Result<u64, CompletionError> {
        Ok(self.tokens(prompt)?.len() as u64)
    }
}
