//! Tokenizers: text to token ids and back, from a `tokenizer.json` or from the tokenizer inside a GGUF.
//!
//! Byte-pair encoding, as LLaMA and GPT-2 models use it, through Hugging Face's `tokenizers`. A user's text is data:
//! special tokens are not in the vocabulary that text is encoded with, so no text can spell one; only a chat template
//! or [`Tokenizer::encode_prompt`] places them.

mod alphabet;
mod definition;
mod error;
mod gguf;
mod json;
mod json_parts;
mod stream;

use std::borrow::Cow;
use std::thread;

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder, TokenizerImpl,
};

pub use self::error::TokenizerError;
pub use self::stream::StreamDecoder;

use self::definition::{Definition, Kind, Matching, Token};
use crate::weights::{SpecialTokens, TokenizerSource};

/// Longest text that is tokenized at once. Tokenizing takes about 200 bytes of memory and 1 µs a byte; and beyond a
/// million characters the regular expressions give up on a run of spaces.
pub const MAX_TEXT_BYTES: usize = 1_000_000;

/// The part of `tokenizers` that is used: normalizer, pre-tokenizer, BPE model.
type Encoder = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A part of a prompt: text, or a special token that the template placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Plain text; a special token's string in it stays text.
    Text(Cow<'a, str>),
    /// Id of a special token.
    Special(u32),
}

/// A tokenizer: immutable, `Send + Sync`, made to be shared in an [`Arc`](std::sync::Arc).
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    /// For text that follows other pieces, where the pre-tokenizer marks the beginning of the whole text only.
    continuation: Option<Encoder>,
    /// Bytes of each id, one after the other; `byte_ends` has the end of each.
    bytes: Vec<u8>,
    byte_ends: Vec<usize>,
    kinds: Vec<Kind>,
    /// Sorted by name.
    special_names: Vec<(String, u32)>,
    strips_first_space: bool,
    special: SpecialTokens,
    digest: String,
}

impl Tokenizer {
    /// Builds the tokenizer of a model.
    ///
    /// # Errors
    /// The model has none; its kind is not supported; its vocabulary or merges contradict themselves.
    pub fn new(
        source: &TokenizerSource,
        special: &SpecialTokens,
    ) -> Result<Tokenizer, TokenizerError> {
        let definition = match source {
            TokenizerSource::Json(bytes) => json::read(bytes)?,
            TokenizerSource::Gguf(metadata) => gguf::read(metadata)?,
            TokenizerSource::Missing => return Err(TokenizerError::Missing),
        };
        Tokenizer::build(definition, special)
    }

    /// Builds a tokenizer from the bytes of a `tokenizer.json` alone, which are not trusted.
    ///
    /// # Errors
    /// As [`Tokenizer::new`]; never a panic.
    pub fn from_json_bytes(json: &[u8]) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::build(json::read(json)?, &SpecialTokens::default())
    }

    fn build(
        mut definition: Definition,
        special: &SpecialTokens,
    ) -> Result<Tokenizer, TokenizerError> {
        definition.check(special)?;
        let merges = std::mem::take(&mut definition.merges);
        // A start waits for this: the BPE model takes as long as all the rest, so that goes beside it.
        let (encoder, digest, bytes) = thread::scope(|scope| {
            let bytes = scope.spawn(|| token_bytes(&definition));
            let (digest, vocabulary) = thread::scope(|scope| {
                let digest = scope.spawn(|| definition.digest(&merges, special));
                let vocabulary = definition.vocabulary();
                (joined(digest), vocabulary)
            });
            (encoder(&definition, vocabulary, merges), digest, joined(bytes))
        });
        let (mut encoder, (bytes, byte_ends)) = (encoder?, bytes?);
        let continuation = definition.pre_tokenizer.as_ref().and_then(without_first_prefix);
        let continuation = continuation.map(|pre_tokenizer| {
            let mut encoder = encoder.clone();
            encoder.with_pre_tokenizer(Some(pre_tokenizer));
            encoder
        });
        encoder.with_pre_tokenizer(definition.pre_tokenizer.take());
        let mut special_names: Vec<(String, u32)> = (0..)
            .zip(&definition.tokens)
            .filter(|(_, token)| matches!(token.kind, Kind::Special(_)))
            .map(|(id, token)| (token.text.clone(), id))
            .collect();
        special_names.sort_unstable();
        Ok(Tokenizer {
            encoder,
            continuation,
            bytes,
            byte_ends,
            kinds: definition.tokens.iter().map(|token| token.kind).collect(),
            special_names,
            strips_first_space: definition.strips_first_space,
            special: special.clone(),
            digest,
        })
    }

    /// Ids of plain text, without `bos`. Characters that the vocabulary cannot write (a byte-level one may lack rare
    /// control characters) become the unknown token or, where there is none, are left out: `tokenizers` and llama.cpp
    /// do the same.
    ///
    /// # Errors
    /// The text is longer than [`MAX_TEXT_BYTES`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        encode_with(&self.encoder, text)
    }

    /// Ids of a plain prompt: those of the text, after `bos` if the model wants one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids: Vec<u32> =
            self.special.bos.filter(|_| self.special.add_bos).into_iter().collect();
        ids.extend(self.encode(text)?);
        Ok(ids)
    }

    /// Ids of a rendered chat. Neighbouring texts count as one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`]; also an id outside the vocabulary.
    pub fn encode_pieces(&self, pieces: &[Piece<'_>]) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        let mut text = Cow::Borrowed("");
        let mut before = None;
        for piece in pieces {
            match piece {
                Piece::Text(more) if text.is_empty() => text = Cow::Borrowed(more),
                Piece::Text(more) => text.to_mut().push_str(more),
                Piece::Special(id) => {
                    self.encode_between(before, &text, Some(*id), &mut ids)?;
                    ids.push(*id);
                    (before, text) = (Some(*id), Cow::Borrowed(""));
                }
            }
        }
        self.encode_between(before, &text, None, &mut ids)?;
        Ok(ids)
    }

    /// Appends the ids of text between two special tokens, which may swallow the whitespace beside them.
    fn encode_between(
        &self,
        before: Option<u32>,
        text: &str,
        after: Option<u32>,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let matching = |id: Option<u32>| match id {
            None => Ok(Matching::default()),
            Some(id) => match self.kinds.get(id as usize) {
                Some(Kind::Special(matching) | Kind::Added(matching)) => Ok(*matching),
                Some(_) => Ok(Matching::default()),
                None => Err(TokenizerError::UnknownToken {
                    id,
                    last_id: self.vocab_size().saturating_sub(1),
                }),
            },
        };
        let text = if matching(before)?.rstrip { text.trim_start() } else { text };
        let text = if matching(after)?.lstrip { text.trim_end() } else { text };
        if !text.is_empty() {
            let continuation = self.continuation.as_ref().filter(|_| before.is_some());
            ids.extend(encode_with(continuation.unwrap_or(&self.encoder), text)?);
        }
        Ok(())
    }

    /// Text of the ids: special tokens and unknown ids are skipped, invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.shown_bytes(*id)).copied().collect();
        let shown = match bytes.strip_prefix(b" ") {
            Some(rest) if self.strips_first_space => rest,
            _ => &bytes,
        };
        String::from_utf8_lossy(shown).into_owned()
    }

    /// The bytes that an id adds to a completion: none for special tokens.
    fn shown_bytes(&self, id: u32) -> &[u8] {
        if self.is_special(id) { &[] } else { self.token_bytes(id).unwrap_or_default() }
    }

    /// Bytes that a token stands for (a special token: its name); they need not be whole characters.
    /// `None` outside the vocabulary and in its gaps.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let index = id as usize;
        if *self.kinds.get(index)? == Kind::Unused {
            return None;
        }
        let start =
            index.checked_sub(1).map_or(Some(0), |before| self.byte_ends.get(before).copied())?;
        self.bytes.get(start..*self.byte_ends.get(index)?)
    }

    /// Id of a token as the vocabulary writes it: `Ġthe`, `<|im_end|>`.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        match self.special_names.binary_search_by(|(name, _)| name.as_str().cmp(text)) {
            Ok(index) => self.special_names.get(index).map(|(_, id)| *id),
            Err(_) => self.encoder.token_to_id(text),
        }
    }

    /// Whether an id is a special token: placed by templates, never shown.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.kinds.get(id as usize), Some(Kind::Special(_)))
    }

    /// Names and ids of the special tokens, sorted by name.
    pub fn special_tokens(&self) -> &[(String, u32)] {
        &self.special_names
    }

    /// Number of ids, gaps among them.
    pub fn vocab_size(&self) -> usize {
        self.kinds.len()
    }

    /// Checks that the model's embedding has a row for every id.
    ///
    /// # Errors
    /// The vocabulary is larger. (A smaller one is usual: embeddings are padded.)
    pub fn check_fits(&self, embedding_rows: usize) -> Result<(), TokenizerError> {
        if self.vocab_size() <= embedding_rows {
            return Ok(());
        }
        Err(TokenizerError::DoesNotFit {
            last_id: self.vocab_size().saturating_sub(1),
            rows: embedding_rows,
        })
    }

    /// Id that begins a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// What templates call `eos_token`: of several end tokens the last, as chat models add the one that ends a turn
    /// after the one that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.special.end.iter().max().copied()
    }

    /// Ids that end a completion.
    pub fn end_tokens(&self) -> &[u32] {
        &self.special.end
    }

    /// SHA-256 over all that decides ids and decoding: vocabulary, merges, pre-tokenizer, special tokens
    /// (`sha256:` and lower-case hex).
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Plain text through normalizer, added tokens, pre-tokenizer and BPE.
fn encode_with(encoder: &Encoder, text: &str) -> Result<Vec<u32>, TokenizerError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(TokenizerError::TextTooLong { found: text.len(), limit: MAX_TEXT_BYTES });
    }
    match encoder.encode_fast(text, false) {
        Ok(encoding) => Ok(encoding.get_ids().to_vec()),
        Err(problem) => Err(TokenizerError::Encode(problem.to_string())),
    }
}

/// Bytes of all ids, one after the other, and the end of each.
fn token_bytes(definition: &Definition) -> Result<(Vec<u8>, Vec<usize>), TokenizerError> {
    let mut bytes = Vec::new();
    let mut byte_ends = Vec::with_capacity(definition.tokens.len());
    for token in &definition.tokens {
        match token.kind {
            Kind::Normal => bytes.extend(definition.alphabet.decode(&token.text)),
            Kind::Special(_) => bytes.extend_from_slice(token.text.as_bytes()),
            Kind::Added(matching) => bytes.extend(added_bytes(definition, token, matching)?),
            Kind::Unused => {}
        }
        byte_ends.push(bytes.len());
    }
    Ok((bytes, byte_ends))
}

/// The result of a scoped thread; its panic goes on here.
pub(crate) fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Normalizer, BPE and added tokens.
fn encoder(
    definition: &Definition,
    vocabulary: Vocab,
    merges: Merges,
) -> Result<Encoder, TokenizerError> {
    let invalid = |problem: tokenizers::Error| TokenizerError::Vocabulary(problem.to_string());
    let mut encoder: Encoder = TokenizerBuilder::new()
        .with_model(definition.bpe(vocabulary, merges)?)
        .with_normalizer(definition.normalizer.clone())
        .build()
        .map_err(invalid)?;
    encoder.add_tokens(definition.tokens.iter().filter_map(added_token)).map_err(invalid)?;
    Ok(encoder)
}

/// What an added token is shown as: its text or, if it is matched in normalized text, that text normalized.
fn added_bytes(
    definition: &Definition,
    token: &Token,
    matching: Matching,
) -> Result<Vec<u8>, TokenizerError> {
    let mut text = NormalizedString::from(token.text.as_str());
    if let Some(normalizer) = definition.normalizer.as_ref().filter(|_| matching.normalized) {
        normalizer.normalize(&mut text).map_err(|problem| TokenizerError::Part {
            part: "normalizer".to_owned(),
            problem: problem.to_string(),
        })?;
    }
    Ok(if text.get() == token.text {
        token.text.as_bytes().to_vec()
    } else {
        definition.alphabet.decode(text.get())
    })
}

fn added_token(token: &Token) -> Option<AddedToken> {
    let Kind::Added(matching) = token.kind else { return None };
    Some(
        AddedToken::from(token.text.as_str(), false)
            .lstrip(matching.lstrip)
            .rstrip(matching.rstrip)
            .single_word(matching.single_word)
            .normalized(matching.normalized),
    )
}

/// The pre-tokenizer for text that does not begin the prompt, if that differs: a `Metaspace` that prepends `▁` to the
/// first word only.
fn without_first_prefix(pre_tokenizer: &PreTokenizerWrapper) -> Option<PreTokenizerWrapper> {
    match pre_tokenizer {
        PreTokenizerWrapper::Metaspace(metaspace)
            if metaspace.prepend_scheme == PrependScheme::First =>
        {
            let mut metaspace = metaspace.clone();
            metaspace.prepend_scheme = PrependScheme::Never;
            Some(metaspace.into())
        }
        PreTokenizerWrapper::Sequence(sequence) => {
            let mut sequence = sequence.clone();
            let mut changed = false;
            for part in sequence.as_mut() {
                if let Some(other) = without_first_prefix(part) {
                    (*part, changed) = (other, true);
                }
            }
            changed.then(|| sequence.into())
        }
        _ => None,
    }
}
