//! What can be wrong with a chat template or with the chat it is given.

/// An error of this module.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A size beyond what is accepted of an untrusted template.
    #[error("chat template: {what} has {found}, at most {limit} are accepted")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The largest size accepted.
        limit: usize,
    },
    /// The template does not compile.
    #[error("chat template, line {line}: {problem}")]
    Syntax {
        /// Line in the template, from 1.
        line: usize,
        /// What the compiler says.
        problem: String,
    },
    /// The template itself refused the chat with `raise_exception`, e.g. for the order of roles.
    #[error("the model's chat template refuses this chat: {0}")]
    Refused(String),
    /// The template did more work than a chat needs: an endless or enormous loop.
    #[error("chat template, line {line}: stopped, it does too much work for {messages} messages")]
    TooMuchWork {
        /// Line in the template where it was stopped, from 1.
        line: usize,
        /// Number of messages of the chat.
        messages: usize,
    },
    /// The template fails on this chat.
    #[error("chat template, line {line}: {problem}")]
    Render {
        /// Line in the template, from 1.
        line: usize,
        /// What failed.
        problem: String,
    },
    /// No character is left to mark special tokens' names in the messages with.
    #[error("the messages use every private-use character of Unicode")]
    NoPlaceholder,
    /// The thread that renders could not be started or did not finish.
    #[error("chat template: {0}")]
    Thread(String),
}
