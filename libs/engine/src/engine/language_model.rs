//! A model ready to be asked: files, tokenizer, chat template and a running engine.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::{
    Engine, EngineConfig, EngineError, EngineStats, ModelCache, Request, Sink, SubmitError, Ticket,
};
use crate::chat::{ChatError, ChatTemplate, Message};
use crate::model::{Model, ModelError};
use crate::models::{CpuModel, CpuOptions, KvPrecision, Precision, cpu};
use crate::tokenizer::{Tokenizer, TokenizerError, joined};
use crate::weights::{ModelFiles, WeightsError};

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Threads that compute; `None` takes one per processor.
    pub threads: Option<usize>,
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
    /// Family, such as `llama`.
    pub architecture: String,
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

/// Turns prompts into token ids: the text side of a model, which needs no weights. To be shared in an [`Arc`].
#[derive(Debug)]
pub struct PromptEncoder {
    tokenizer: Arc<Tokenizer>,
    chat: Result<ChatTemplate, NoChat>,
}

/// Why there is no chat template.
#[derive(Debug)]
enum NoChat {
    Missing,
    Broken(String),
}

/// A model whose files were opened and checked, and whose weights are not loaded yet.
pub struct OpenModel {
    info: LanguageModelInfo,
    files: ModelFiles,
    precision: Precision,
    kv_cache: KvPrecision,
    prompts: Arc<PromptEncoder>,
    cache: Option<ModelCache>,
}

impl OpenModel {
    /// Opens a model file or directory: digest, tokenizer and chat template, no weights.
    ///
    /// # Errors
    /// The files or the tokenizer. (A chat template that does not compile fails conversations only.)
    pub fn open(path: &Path) -> Result<OpenModel, LanguageModelError> {
        OpenModel::open_with(path, None)
    }

    /// The same; with a cache, what is known of unchanged files is not found out again, now and when weights are loaded.
    ///
    /// # Errors
    /// As [`OpenModel::open`]. (A cache that cannot be read or written is none, with a warning.)
    pub fn open_with(
        path: &Path,
        cache: Option<ModelCache>,
    ) -> Result<OpenModel, LanguageModelError> {
        let files = ModelFiles::open(path)?;
        // Hashing takes about as long as building the tokenizer.
        let (digest, tokenizer) = thread::scope(|scope| {
            let digest = scope.spawn(|| match &cache {
                Some(cache) => cache.digest(&files),
                None => files.digest(),
            });
            let tokenizer = Tokenizer::new(files.tokenizer(), files.special_tokens());
            (joined(digest), tokenizer)
        });
        let tokenizer = tokenizer?;
        tokenizer.check_fits(files.config().vocab_size)?;
        let prompts = PromptEncoder::new(tokenizer, files.chat_template());
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let info = LanguageModelInfo {
            name: name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            architecture: files.config().architecture.as_str().to_owned(),
            digest: digest?,
            numerics: cpu::numerics(&files, Precision::default(), KvPrecision::default()),
            reproducible: true,
            context_tokens: files.config().context_tokens,
            chat: prompts.chat.is_ok(),
            tokenizer_digest: prompts.tokenizer.digest().to_owned(),
        };
        let (precision, kv_cache) = (Precision::default(), KvPrecision::default());
        Ok(OpenModel { info, files, precision, kv_cache, prompts: Arc::new(prompts), cache })
    }

    /// Computes in another precision than that of the files.
    pub fn with_precision(mut self, precision: Precision) -> OpenModel {
        self.precision = precision;
        self.info.numerics = cpu::numerics(&self.files, precision, self.kv_cache);
        self
    }

    /// Keeps keys and values in another precision than the usual one.
    pub fn with_kv_cache(mut self, kv_cache: KvPrecision) -> OpenModel {
        self.kv_cache = kv_cache;
        self.info.numerics = cpu::numerics(&self.files, self.precision, kv_cache);
        self
    }

    /// What is known of the model.
    pub fn info(&self) -> &LanguageModelInfo {
        &self.info
    }

    /// Its text side.
    pub fn prompts(&self) -> &Arc<PromptEncoder> {
        &self.prompts
    }

    /// Packs the weights for the CPU, or takes them from the cache.
    ///
    /// # Errors
    /// Memory and threads, or a tensor that is damaged.
    pub fn executor(
        &self,
        threads: Option<usize>,
        max_rows: Option<usize>,
    ) -> Result<CpuModel, LanguageModelError> {
        let OpenModel { precision, kv_cache, .. } = *self;
        let mut cpu = CpuOptions { precision, kv_cache, ..CpuOptions::default() };
        cpu.threads = threads.unwrap_or(cpu.threads);
        cpu.max_rows = max_rows.unwrap_or(cpu.max_rows);
        let Some(cache) = &self.cache else {
            return Ok(CpuModel::load(&self.files, cpu)?);
        };
        let numerics = cpu::numerics(&self.files, precision, KvPrecision::default());
        let packed = cache.packed(&self.info.digest, &numerics, precision);
        cpu.packed = Some(packed.clone());
        let model = CpuModel::load(&self.files, cpu)?;
        cache.tidy(&packed);
        Ok(model)
    }

    /// Loads the weights and starts the engine on the CPU.
    ///
    /// # Errors
    /// As [`OpenModel::executor`].
    pub fn load(&self, options: LoadOptions) -> Result<LanguageModel, LanguageModelError> {
        let engine = options.engine;
        let model = self.executor(options.threads, engine.max_batch_tokens)?;
        let prompts = Arc::clone(&self.prompts);
        LanguageModel::start(self.info.clone(), prompts, Box::new(model), engine)
    }
}

impl PromptEncoder {
    /// Of a tokenizer, and the text of a chat template. (One that does not compile fails conversations only.)
    pub fn new(tokenizer: Tokenizer, chat_template: Option<&str>) -> PromptEncoder {
        let chat = match chat_template {
            None => Err(NoChat::Missing),
            Some(source) => {
                ChatTemplate::new(source).map_err(|error| NoChat::Broken(error.to_string()))
            }
        };
        PromptEncoder { tokenizer: Arc::new(tokenizer), chat }
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
    /// As [`PromptEncoder::encode`].
    pub fn render(&self, prompt: &Prompt) -> Result<Rendered, LanguageModelError> {
        let text = match prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Chat(messages) => self.chat()?.render_text(messages, true, &self.tokenizer)?,
        };
        Ok(Rendered { tokens: self.encode(prompt)?, text })
    }

    /// Bytes that a token stands for, a special token's name; they need not be whole characters.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        self.tokenizer.token_bytes(token).unwrap_or_default()
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
}

/// A model that completes prompts. To be shared in an [`Arc`].
#[derive(Debug)]
pub struct LanguageModel {
    info: LanguageModelInfo,
    prompts: Arc<PromptEncoder>,
    engine: Engine,
}

impl LanguageModel {
    /// Opens and loads a model file or directory.
    ///
    /// # Errors
    /// The files, the tokenizer, or memory and threads.
    pub fn load(path: &Path, options: LoadOptions) -> Result<LanguageModel, LanguageModelError> {
        OpenModel::open(path)?.load(options)
    }

    /// Starts the engine on an executor, whichever it is.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start(
        info: LanguageModelInfo,
        prompts: Arc<PromptEncoder>,
        executor: Box<dyn Model>,
        engine: EngineConfig,
    ) -> Result<LanguageModel, LanguageModelError> {
        let context_tokens = engine.context_tokens(info.context_tokens);
        let engine = Engine::start(executor, Arc::clone(&prompts.tokenizer), engine)?;
        Ok(LanguageModel { info: LanguageModelInfo { context_tokens, ..info }, prompts, engine })
    }

    /// What is known of the model.
    pub fn info(&self) -> &LanguageModelInfo {
        &self.info
    }

    /// Its text side.
    pub fn prompts(&self) -> &Arc<PromptEncoder> {
        &self.prompts
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::test_tokenizer;

    fn chat() -> Prompt {
        let (role, content) = ("user".to_owned(), "a<|end|>".to_owned());
        Prompt::Chat(vec![Message { role, content }])
    }

    #[test]
    fn a_prompt_is_rendered_to_tokens_and_to_text() {
        let prompts = PromptEncoder::new(
            test_tokenizer(),
            Some("{% for m in messages %}{{ m.content }}<|end|>{% endfor %}>"),
        );
        let rendered = prompts.render(&chat()).expect("the template is simple");
        assert_eq!(rendered.text, "a<|end|><|end|>>");
        let written: Vec<u32> = "a<|end|>".bytes().map(u32::from).chain([256, 62]).collect();
        assert_eq!(rendered.tokens, written, "the user's end token is text, the template's is not");
        let text = prompts.render(&Prompt::Text("ab".to_owned())).expect("a text");
        assert_eq!((text.tokens, text.text.as_str()), (vec![97, 98], "ab"));
        assert_eq!(prompts.count_tokens("abc").expect("short"), 3);
    }

    #[test]
    fn without_a_template_that_works_only_texts_can_be_continued() {
        let check = |chat_template, expect: &str| {
            let prompts = PromptEncoder::new(test_tokenizer(), chat_template);
            let error = prompts.encode(&chat()).expect_err("a conversation").to_string();
            assert!(error.starts_with(expect), "{error}");
            assert!(prompts.encode(&Prompt::Text("a".to_owned())).is_ok());
        };
        check(None, "the model has no chat template, so it cannot continue messages");
        check(Some("{% for %}"), "the model's chat template does not compile, so it cannot");
    }
}
