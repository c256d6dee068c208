//! Chat templates: a model's Jinja template, rendered in a sandbox to text pieces and special tokens.

use crate::tokenizer::{Piece, Tokenizer};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant` or what else the template knows.
    pub role: String,
    /// Text, taken as data: special tokens and template syntax in it mean nothing.
    pub content: String,
}

/// Skeleton.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ChatError(pub String);

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {}

#[allow(unused_variables, missing_docs)]
impl ChatTemplate {
    pub fn new(source: &str) -> Result<ChatTemplate, ChatError> {
        unimplemented!()
    }
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<Piece<'static>>, ChatError> {
        unimplemented!()
    }
    /// The same as text, for display.
    pub fn render_text(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        tokenizer: &Tokenizer,
    ) -> Result<String, ChatError> {
        unimplemented!()
    }
}
