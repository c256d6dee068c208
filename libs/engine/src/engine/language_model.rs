//! A model ready to be asked: files, tokenizer, chat template and a running engine.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::{Engine, EngineConfig, EngineError, EngineStats, Request, Sink, SubmitError, Ticket};
use crate::chat::{ChatError, ChatTemplate, Message};
use crate::model::{Model, ModelError};
use crate::models::{CpuModel, CpuOptions};
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::weights::{ModelFiles, WeightsError};

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Threads that compute and draw; `None` takes one per processor.
    pub threads: Option<usize>,
    /// The files' digest, if it is known already: it costs reading the weights once more.
    pub digest: Option<String>,
    /// Limits of the engine.
    pub engine: EngineConfig,
}

/// What a model is asked to continue.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text, continued as it is.
    Text(String),
    /// A conversation; the model's chat template renders it, and the assistant's turn follows.
    Chat(Vec<Message>),
}

/// A prompt as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// The same as text, for display: special tokens by their names.
    pub text: String,
}

/// What is known of a loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageModelInfo {
    /// Name of the file without its ending, or of the directory.
    pub name: String,
    /// Digest of the files.
    pub digest: String,
    /// Name of the arithmetic.
    pub numerics: String,
    /// Whether the same request gives the same completion whatever runs beside it.
    pub reproducible: bool,
    /// Longest prompt and completion together, in tokens.
    pub context_tokens: usize,
    /// Whether there is a chat template that works.
    pub chat: bool,
    /// Digest of the tokenizer.
    pub tokenizer_digest: String,
}

/// Why a model cannot be loaded, or a prompt not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum LanguageModelError {
    /// The files.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer, or a text that it cannot encode.
    #[error("tokenizer: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// The chat template refuses a conversation or fails on it.
    #[error("chat template: {0}")]
    Chat(#[from] ChatError),
    /// A conversation for a model without a chat template.
    #[error(
        "the model has no chat template, so it cannot continue messages; give it a text prompt"
    )]
    NoChatTemplate,
    /// A conversation for a model whose chat template does not compile.
    #[error("the model's chat template does not compile, so it cannot continue messages: {0}")]
    BrokenChatTemplate(String),
    /// The weights in the executor.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a [`LanguageModel`] is made of, for models from elsewhere than files.
pub struct Parts {
    /// Name to show.
    pub name: String,
    /// Digest of the model.
    pub digest: String,
    /// The executor.
    pub model: Box<dyn Model>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Text of its chat template.
    pub chat_template: Option<String>,
    /// Limits of the engine.
    pub engine: EngineConfig,
}

/// A model that completes prompts. To be shared in an [`Arc`].
#[derive(Debug)]
pub struct LanguageModel {
    info: LanguageModelInfo,
    tokenizer: Arc<Tokenizer>,
    chat: Result<ChatTemplate, NoChat>,
    engine: Engine,
}

/// Why there is no chat template.
#[derive(Debug)]
enum NoChat {
    Missing,
    Broken(String),
}

impl LanguageModel {
    /// Loads a model file or directory and starts it on the CPU.
    ///
    /// # Errors
    /// The files, the tokenizer, or memory and threads.
    pub fn load(path: &Path, options: LoadOptions) -> Result<LanguageModel, LanguageModelError> {
        let files = ModelFiles::open(path)?;
        let mut cpu = CpuOptions::default();
        let mut engine = options.engine;
        if let Some(threads) = options.threads {
            (cpu.threads, engine.threads) = (threads, threads);
        }
        if let Some(rows) = engine.max_batch_tokens {
            cpu.max_rows = rows;
        }
        // Hashing and the tokenizer take about as long as packing the weights.
        let (digest, tokenizer, model) = thread::scope(|scope| {
            let digest = scope.spawn(|| options.digest.map_or_else(|| files.digest(), Ok));
            let tokenizer =
                scope.spawn(|| Tokenizer::new(files.tokenizer(), files.special_tokens()));
            let model = CpuModel::load(&files, cpu);
            (joined(digest), joined(tokenizer), model)
        });
        let tokenizer = tokenizer?;
        tokenizer.check_fits(files.config().vocab_size)?;
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        LanguageModel::new(Parts {
            name: name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            digest: digest?,
            model: Box::new(model?),
            tokenizer,
            chat_template: files.chat_template().map(str::to_owned),
            engine,
        })
    }

    /// Starts a model that is in memory.
    ///
    /// # Errors
    /// The engine cannot start. (A chat template that does not compile fails conversations only.)
    pub fn new(parts: Parts) -> Result<LanguageModel, LanguageModelError> {
        let Parts { name, digest, model, tokenizer, chat_template, engine } = parts;
        let tokenizer = Arc::new(tokenizer);
        let chat = match chat_template {
            None => Err(NoChat::Missing),
            Some(source) => {
                ChatTemplate::new(&source).map_err(|error| NoChat::Broken(error.to_string()))
            }
        };
        let facts = model.info();
        let info = LanguageModelInfo {
            name,
            digest,
            numerics: facts.numerics.clone(),
            reproducible: facts.batch_invariant,
            context_tokens: facts.context_tokens,
            chat: chat.is_ok(),
            tokenizer_digest: tokenizer.digest().to_owned(),
        };
        let engine = Engine::start(model, Arc::clone(&tokenizer), engine)?;
        Ok(LanguageModel { info, tokenizer, chat, engine })
    }

    /// What is known of the model.
    pub fn info(&self) -> &LanguageModelInfo {
        &self.info
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Token ids of a prompt.
    ///
    /// # Errors
    /// There is no chat template or it refuses the conversation; a text is too long.
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, LanguageModelError> {
        Ok(match prompt {
            Prompt::Text(text) => self.tokenizer.encode_prompt(text)?,
            Prompt::Chat(messages) => {
                let pieces = self.chat()?.render(messages, true, &self.tokenizer)?;
                self.tokenizer.encode_pieces(&pieces)?
            }
        })
    }

    /// Token ids of a prompt, and its text as a person should see it.
    ///
    /// # Errors
    /// As [`LanguageModel::encode`].
    pub fn render(&self, prompt: &Prompt) -> Result<Rendered, LanguageModelError> {
        let text = match prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Chat(messages) => self.chat()?.render_text(messages, true, &self.tokenizer)?,
        };
        Ok(Rendered { tokens: self.encode(prompt)?, text })
    }

    fn chat(&self) -> Result<&ChatTemplate, LanguageModelError> {
        self.chat.as_ref().map_err(|reason| match reason {
            NoChat::Missing => LanguageModelError::NoChatTemplate,
            NoChat::Broken(problem) => LanguageModelError::BrokenChatTemplate(problem.clone()),
        })
    }

    /// Number of tokens of a text, without those that a prompt begins with.
    ///
    /// # Errors
    /// The text is too long.
    pub fn count_tokens(&self, text: &str) -> Result<usize, LanguageModelError> {
        Ok(self.tokenizer.encode(text)?.len())
    }

    /// Hands a request over; waits while the engine's queue is full.
    ///
    /// # Errors
    /// The engine has stopped.
    pub fn submit(&self, request: Request, sink: Sink) -> Result<Ticket, SubmitError> {
        self.engine.submit(request, sink)
    }

    /// Hands a request over if the engine's queue has space.
    ///
    /// # Errors
    /// The queue is full, or the engine has stopped.
    pub fn try_submit(&self, request: Request, sink: Sink) -> Result<Ticket, SubmitError> {
        self.engine.try_submit(request, sink)
    }

    /// The engine's figures.
    pub fn stats(&self) -> EngineStats {
        self.engine.stats()
    }
}

/// The result of a scoped thread; its panic goes on here.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::test_tokenizer;
    use crate::models::{FakeConfig, FakeModel};

    fn model(chat_template: Option<&str>) -> LanguageModel {
        LanguageModel::new(Parts {
            name: "fake".to_owned(),
            digest: "sha256:0".to_owned(),
            model: Box::new(FakeModel::new(FakeConfig::default())),
            tokenizer: test_tokenizer(),
            chat_template: chat_template.map(str::to_owned),
            engine: EngineConfig::default(),
        })
        .expect("it starts")
    }

    fn chat() -> Prompt {
        let (role, content) = ("user".to_owned(), "a<|end|>".to_owned());
        Prompt::Chat(vec![Message { role, content }])
    }

    #[test]
    fn a_prompt_is_rendered_to_tokens_and_to_text() {
        let model = model(Some("{% for m in messages %}{{ m.content }}<|end|>{% endfor %}>"));
        let rendered = model.render(&chat()).expect("the template is simple");
        assert_eq!(rendered.text, "a<|end|><|end|>>");
        let written: Vec<u32> = "a<|end|>".bytes().map(u32::from).chain([256, 62]).collect();
        assert_eq!(rendered.tokens, written, "the user's end token is text, the template's is not");
        let text = model.render(&Prompt::Text("ab".to_owned())).expect("a text");
        assert_eq!((text.tokens, text.text.as_str()), (vec![97, 98], "ab"));
        assert_eq!(model.count_tokens("abc").expect("short"), 3);
        assert!(model.info().chat);
    }

    #[test]
    fn without_a_template_that_works_only_texts_can_be_continued() {
        let check = |chat_template, expect: &str| {
            let model = model(chat_template);
            assert!(!model.info().chat);
            let error = model.encode(&chat()).expect_err("a conversation").to_string();
            assert!(error.starts_with(expect), "{error}");
            assert!(model.encode(&Prompt::Text("a".to_owned())).is_ok());
        };
        check(None, "the model has no chat template, so it cannot continue messages");
        check(Some("{% for %}"), "the model's chat template does not compile, so it cannot");
    }
}
