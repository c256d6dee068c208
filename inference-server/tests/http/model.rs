//! A fake model under the test's control: how many steps it may make, and at which tokens it fails.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use textnlp_engine::engine::{EngineConfig, LanguageModel, LanguageModelInfo, PromptEncoder};
use textnlp_engine::model::{Batch, Logits, Model, ModelError, ModelInfo, PageCopy};
use textnlp_engine::models::{FakeConfig, FakeLogits, FakeModel};
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::{GgufTokenizer, SpecialTokens, TokenizerSource};

/// Digest of the fake model.
pub(crate) const DIGEST: &str =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Longest prompt and completion.
pub(crate) const CONTEXT: usize = 512;
/// Ids 0 to 255 are the bytes, this one ends a completion.
const END: u32 = 256;
/// A step with this byte fails, the logits after that one are NaN, the engine ends at the third.
pub(crate) const ERROR_BYTE: u8 = 1;
pub(crate) const NAN_BYTE: u8 = 2;
pub(crate) const PANIC_BYTE: u8 = 3;

const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}<a>";

/// How many steps the model may make.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<Steps>, Condvar)>);

struct Steps {
    /// `None`: as many as it likes.
    allowed: Option<u64>,
    /// How long each takes.
    pause: Duration,
}

impl Default for Steps {
    fn default() -> Self {
        Self { allowed: None, pause: Duration::ZERO }
    }
}

impl Gate {
    /// No step from now on.
    pub(crate) fn close(&self) {
        self.set(|steps| steps.allowed = Some(0));
    }

    /// So many more steps.
    pub(crate) fn allow(&self, count: u64) {
        self.set(|steps| steps.allowed = steps.allowed.map(|allowed| allowed + count));
    }

    /// As many steps as it likes.
    pub(crate) fn open(&self) {
        self.set(|steps| steps.allowed = None);
    }

    /// Every step takes so long.
    pub(crate) fn slow(&self, pause: Duration) {
        self.set(|steps| steps.pause = pause);
    }

    fn set(&self, change: impl FnOnce(&mut Steps)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let mut steps = self.lock();
        while steps.allowed == Some(0) {
            steps = self.0.1.wait(steps).unwrap_or_else(PoisonError::into_inner);
        }
        steps.allowed = steps.allowed.map(|allowed| allowed - 1);
        let pause = steps.pause;
        drop(steps);
        std::thread::sleep(pause);
    }
}

struct Gated {
    model: FakeModel,
    gate: Gate,
}

impl Model for Gated {
    fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        self.model.reserve(pages)
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), ModelError> {
        self.model.copy_pages(copies)
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Logits) -> Result<(), ModelError> {
        self.gate.pass();
        self.model.forward(batch, logits)
    }
}

/// A tokenizer without merges: every byte is the token of its value.
fn tokenizer() -> Tokenizer {
    // GPT-2's alphabet: printable bytes stand for themselves, the others follow from U+0100.
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100u32..;
    let mut tokens: Vec<String> = (0..=255u8)
        .map(|byte| match printable(&byte) {
            true => char::from(byte).to_string(),
            false => others.next().and_then(char::from_u32).expect("a letter").to_string(),
        })
        .collect();
    tokens.push("<|end|>".to_owned());
    let source = TokenizerSource::Gguf(GgufTokenizer {
        model: "gpt2".to_owned(),
        pre: Some("gpt-2".to_owned()),
        token_types: (0..tokens.len()).map(|id| if id == END as usize { 3 } else { 1 }).collect(),
        tokens,
        merges: Vec::new(),
    });
    let special = SpecialTokens { bos: None, end: vec![END], add_bos: false };
    Tokenizer::new(&source, &special).expect("a valid tokenizer")
}

/// What kind of fake it is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Its likeliest token is the last one plus 1.
    Successor,
    /// The same, without a chat template.
    WithoutTemplate,
    /// Its text is noise.
    Noise,
    /// The first one, with this chat template.
    Template(&'static str),
}

/// A model of that kind.
pub(crate) fn fake(gate: &Gate, kind: Kind, engine: EngineConfig) -> LanguageModel {
    let config = FakeConfig {
        vocab_size: 257,
        context_tokens: CONTEXT,
        logits: match kind {
            Kind::Noise => FakeLogits::History,
            _ => FakeLogits::Successor,
        },
        error_token: Some(ERROR_BYTE.into()),
        nan_token: Some(NAN_BYTE.into()),
        panic_token: Some(PANIC_BYTE.into()),
        ..FakeConfig::default()
    };
    let model = Gated { model: FakeModel::new(config), gate: gate.clone() };
    let tokenizer = tokenizer();
    let template = match kind {
        Kind::WithoutTemplate => None,
        Kind::Template(template) => Some(template),
        _ => Some(TEMPLATE),
    };
    let info = LanguageModelInfo {
        name: "fake".to_owned(),
        architecture: "fake".to_owned(),
        digest: DIGEST.to_owned(),
        numerics: "fake-1/f32".to_owned(),
        reproducible: true,
        context_tokens: CONTEXT,
        chat: template.is_some(),
        tokenizer_digest: tokenizer.digest().to_owned(),
    };
    let prompts = PromptEncoder::new(tokenizer, template);
    LanguageModel::start(info, Arc::new(prompts), Box::new(model), engine).expect("it starts")
}
