//! What is read of answers: the fields that both endpoints of any such server have.

use serde::Deserialize;

/// A chunk of a streamed answer, or a whole one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Option<Usage>,
    /// In place of what would have come.
    pub(crate) error: Option<serde_json::Value>,
}

/// One of several answers, or what is new of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) finish_reason: Option<String>,
    /// New text of a chat.
    delta: Option<Said>,
    /// All of a chat's text.
    message: Option<Said>,
    /// Text of a completion.
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    content: Option<String>,
}

/// Counts of tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

impl Choice {
    /// The text that it has, of whatever kind it is.
    pub(crate) fn text(&self) -> &str {
        let said = self.delta.as_ref().or(self.message.as_ref());
        let content = said.and_then(|said| said.content.as_deref());
        content.or(self.text.as_deref()).unwrap_or_default()
    }
}
