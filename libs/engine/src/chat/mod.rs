//! Chat templates: a model's Jinja template, rendered in a sandbox to text pieces and special tokens.
//!
//! Templates come with a model and are not trusted; messages come from users and are data. A template runs without
//! files or clocks and with bounded work. The name of a special token counts as that token where the template wrote
//! it, and is plain text where a message contains it.

mod error;
mod sandbox;
mod source;
mod specials;

use std::iter::once;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::{Environment, ErrorKind, Value, context};

pub use self::error::ChatError;
pub use self::sandbox::TEMPLATE_DATE;

use self::sandbox::Raised;
use self::specials::{Hidden, Names};
use crate::tokenizer::{Piece, Tokenizer};

/// Longest chat that is rendered, in bytes; a tokenizer takes less.
const MAX_RENDERED_BYTES: usize = 4 << 20;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant` or what else the template knows.
    pub role: String,
    /// Text, taken as data: special tokens and template syntax in it mean nothing.
    pub content: String,
}

/// A chat template that compiles.
#[derive(Debug)]
pub struct ChatTemplate {
    program: Arc<Program>,
    /// A rendering never came back: its thread still runs, and another one would be lost as well.
    stuck: AtomicBool,
}

/// What the rendering thread needs.
#[derive(Debug)]
struct Program {
    source: String,
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// It does not compile, or is larger or more nested than any that is in use.
    pub fn new(source: &str) -> Result<ChatTemplate, ChatError> {
        let environment = sandbox::environment().map_err(|error| explain(&error, 0))?;
        let program = Arc::new(Program { source: source::prepare(source)?, environment });
        let template = ChatTemplate { program, stuck: AtomicBool::new(false) };
        template.run(0, |program| program.compile().map(drop))?;
        Ok(template)
    }

    /// Renders a chat as `apply_chat_template` of transformers does, and separates special tokens from text.
    ///
    /// The template sees `messages` (role and content of each), `add_generation_prompt`, and `bos_token` and
    /// `eos_token` ([`Tokenizer::eos`]) of the tokenizer; `tools` and `documents` are none.
    ///
    /// # Errors
    /// The template refuses the chat, fails on it, or does too much work.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<Piece<'static>>, ChatError> {
        let names = Names::new(tokenizer.special_tokens());
        let (rendered, hidden) =
            self.render_hidden(messages, add_generation_prompt, tokenizer, &names)?;
        Ok(names.split(&rendered, &hidden))
    }

    /// The same as one text, for display.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_text(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        tokenizer: &Tokenizer,
    ) -> Result<String, ChatError> {
        let names = Names::new(tokenizer.special_tokens());
        let (rendered, hidden) =
            self.render_hidden(messages, add_generation_prompt, tokenizer, &names)?;
        Ok(hidden.restore(&rendered))
    }

    /// Renders the chat with the names of special tokens in its contents hidden.
    fn render_hidden(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        tokenizer: &Tokenizer,
        names: &Names<'_>,
    ) -> Result<(String, Hidden), ChatError> {
        let texts =
            messages.iter().flat_map(|message| [message.role.as_str(), message.content.as_str()]);
        let mut hidden = Hidden::new(texts.chain(once(self.program.source.as_str())));
        let turns = messages
            .iter()
            .map(|message| {
                let content = names.hide(&message.content, &mut hidden)?;
                Ok(context! { role => &message.role, content => content })
            })
            .collect::<Result<Vec<Value>, ChatError>>()?;
        let name = |id: Option<u32>| match id.and_then(|id| tokenizer.token_bytes(id)) {
            Some(bytes) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
            None => Value::UNDEFINED,
        };
        let values = context! {
            messages => turns,
            add_generation_prompt => add_generation_prompt,
            bos_token => name(tokenizer.bos()),
            eos_token => name(tokenizer.eos()),
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let count = messages.len();
        let rendered = self.run(count, move |program| {
            program.compile()?.render(values).map_err(|error| explain(&error, count))
        })?;
        if rendered.len() > MAX_RENDERED_BYTES {
            let (found, limit) = (rendered.len(), MAX_RENDERED_BYTES);
            return Err(ChatError::Limit { what: "the rendered chat (bytes)", found, limit });
        }
        Ok((rendered, hidden))
    }

    /// Runs the engine on its own thread, and never again after it got lost.
    fn run<T: Send + 'static>(
        &self,
        messages: usize,
        work: impl FnOnce(&Program) -> Result<T, ChatError> + Send + 'static,
    ) -> Result<T, ChatError> {
        let too_much = ChatError::TooMuchWork { line: 1, messages };
        if self.stuck.load(Ordering::Relaxed) {
            return Err(too_much);
        }
        let program = Arc::clone(&self.program);
        sandbox::on_own_thread(move || work(&program))?.unwrap_or_else(|| {
            self.stuck.store(true, Ordering::Relaxed);
            Err(too_much)
        })
    }
}

impl Program {
    fn compile(&self) -> Result<minijinja::Template<'_, '_>, ChatError> {
        self.environment.template_from_str(&self.source).map_err(|error| ChatError::Syntax {
            line: error.line().unwrap_or(1),
            problem: problem(&error),
        })
    }
}

/// An error of rendering in this module's terms.
fn explain(error: &minijinja::Error, messages: usize) -> ChatError {
    let line = error.line().unwrap_or(1);
    let causes =
        std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source());
    for cause in causes {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return ChatError::Refused(message.clone());
        }
        let inner = cause.downcast_ref::<minijinja::Error>();
        if inner.is_some_and(|inner| inner.kind() == ErrorKind::OutOfFuel) {
            return ChatError::TooMuchWork { line, messages };
        }
    }
    ChatError::Render { line, problem: problem(error) }
}

/// What went wrong, without the place, which the variants name themselves.
fn problem(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
