//! What can be wrong with a tokenizer or with what it is asked to encode.

/// An error of this module; messages name the place, what was found and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The model's files hold weights only.
    #[error("the model has no tokenizer: put its tokenizer.json beside the weights")]
    Missing,
    /// `tokenizer.json` is not JSON, or not shaped like a tokenizer; the message has line and column.
    #[error("tokenizer.json: {0}")]
    Json(#[from] serde_json::Error),
    /// A kind of tokenizer, or a part of one, that this engine does not run.
    #[error("{what} is {found}; supported: {supported}")]
    Unsupported {
        /// Which part, as the file calls it.
        what: String,
        /// Its value in the file.
        found: String,
        /// What could stand there.
        supported: &'static str,
    },
    /// A size beyond what is accepted from an untrusted file.
    #[error("{what} has {found}, at most {limit} are accepted")]
    Limit {
        /// What is too large.
        what: String,
        /// Its size.
        found: usize,
        /// The largest size accepted.
        limit: usize,
    },
    /// The vocabulary contradicts itself.
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    /// A merge cannot be applied.
    #[error("merge {index}: {problem}")]
    Merge {
        /// Position in the list of merges, from 0.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A normalizer, pre-tokenizer or decoder could not be built.
    #[error("{part}: {problem}")]
    Part {
        /// Which one, as the file calls it.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model's embedding has no row for some tokens.
    #[error(
        "the tokenizer has ids up to {last_id}, the model's embedding has only {rows} rows: they are not of one model"
    )]
    DoesNotFit {
        /// Largest id of the vocabulary.
        last_id: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A text beyond [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    #[error("the text has {found} bytes, at most {limit} can be tokenized at once")]
    TextTooLong {
        /// Its length in bytes.
        found: usize,
        /// The longest length accepted.
        limit: usize,
    },
    /// An id outside the vocabulary.
    #[error("there is no token {id}: the vocabulary ends at {last_id}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Largest id of the vocabulary.
        last_id: usize,
    },
    /// The tokenizer's own rules fail on a text.
    #[error("cannot tokenize the text: {0}")]
    Encode(String),
}

/// A token's text for a message: quoted, escaped and cut to a readable length.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
