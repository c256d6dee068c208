//! Tokenizers: text to token ids and back, from a `tokenizer.json` or from the tokenizer inside a GGUF.

use std::borrow::Cow;
use std::sync::Arc;

use crate::weights::{SpecialTokens, TokenizerSource};

/// A part of a prompt: text of a user, or a special token that the template placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Plain text; a special token's string in it stays text.
    Text(Cow<'a, str>),
    /// Id of a special token.
    Special(u32),
}

/// Skeleton.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TokenizerError(pub String);

/// A tokenizer: immutable, `Send + Sync`, made to be shared in an [`Arc`].
#[derive(Debug)]
pub struct Tokenizer {}

#[allow(unused_variables, missing_docs)]
impl Tokenizer {
    pub fn new(source: &TokenizerSource, special: &SpecialTokens) -> Result<Tokenizer, TokenizerError> {
        unimplemented!()
    }
    pub fn from_json_bytes(json: &[u8]) -> Result<Tokenizer, TokenizerError> {
        unimplemented!()
    }
    /// Ids of plain text, without `bos`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        unimplemented!()
    }
    /// Ids of a plain prompt: [`Tokenizer::encode`] after `bos`, if the model wants one.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        unimplemented!()
    }
    /// Ids of a rendered chat.
    pub fn encode_pieces(&self, pieces: &[Piece<'_>]) -> Result<Vec<u32>, TokenizerError> {
        unimplemented!()
    }
    pub fn decode(&self, ids: &[u32]) -> String {
        unimplemented!()
    }
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        unimplemented!()
    }
    pub fn token_id(&self, text: &str) -> Option<u32> {
        unimplemented!()
    }
    pub fn is_special(&self, id: u32) -> bool {
        unimplemented!()
    }
    pub fn vocab_size(&self) -> usize {
        unimplemented!()
    }
    pub fn check_fits(&self, embedding_rows: usize) -> Result<(), TokenizerError> {
        unimplemented!()
    }
    pub fn end_tokens(&self) -> &[u32] {
        unimplemented!()
    }
    /// `sha256:…`
    pub fn digest(&self) -> &str {
        unimplemented!()
    }
}

/// Decodes a completion token by token, never splitting a character.
#[derive(Debug)]
pub struct StreamDecoder {}

#[allow(unused_variables, missing_docs)]
impl StreamDecoder {
    pub fn new(tokenizer: Arc<Tokenizer>) -> StreamDecoder {
        unimplemented!()
    }
    /// Text that the token completes; may be empty.
    pub fn push(&mut self, id: u32) -> String {
        unimplemented!()
    }
    /// What is left: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        unimplemented!()
    }
}
