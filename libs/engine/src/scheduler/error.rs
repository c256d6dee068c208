//! Why a sequence cannot run.

/// Why a sequence cannot be scheduled, for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There is nothing to continue.
    #[error("the prompt has no tokens; give it at least one")]
    EmptyPrompt,
    /// The prompt leaves no room for a completion.
    #[error("the prompt has {found} tokens; the model's context of {context} leaves room for {} at most", context - 1)]
    PromptTooLong {
        /// Its tokens.
        found: usize,
        /// The model's context.
        context: usize,
    },
    /// The KV cache cannot hold even this one sequence.
    #[error(
        "prompt and completion may reach {needed} tokens, the KV cache holds {available}: lower maxTokens or give the \
         KV cache more memory"
    )]
    KvCacheTooSmall {
        /// Tokens of the prompt and the longest completion.
        needed: usize,
        /// Tokens that fit.
        available: usize,
    },
    /// A token outside the model's vocabulary.
    #[error("the prompt has token {token}; the model's vocabulary ends before {vocab_size}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Number of tokens of the vocabulary.
        vocab_size: usize,
    },
}
