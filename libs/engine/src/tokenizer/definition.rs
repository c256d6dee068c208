//! A tokenizer's definition in one form, whatever file it was read from, and the checks that make it safe to build.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

use super::alphabet::Alphabet;
use super::error::{TokenizerError, quoted};
use crate::weights::SpecialTokens;

/// Most ids accepted; the largest vocabularies in use have a quarter of it.
const MAX_TOKENS: usize = 1 << 20;

/// The name under which the unknown token is hidden in the BPE vocabulary, so that no text can spell it.
const UNKNOWN: &str = "\u{10FFFF}unknown\u{10FFFF}";

/// How a token takes part in encoding and decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made from text by merges.
    Normal,
    /// Never made from text, never shown.
    Special(Matching),
    /// Matched whole in plain text before anything else, shown as it is.
    Added(Matching),
    /// A gap in the ids: neither made nor shown.
    Unused,
}

/// Conditions on what surrounds an added token (`AddedToken` of Hugging Face's tokenizers).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Matching {
    /// Swallows whitespace before it.
    pub(super) lstrip: bool,
    /// Swallows whitespace after it.
    pub(super) rstrip: bool,
    /// Only between non-word characters.
    pub(super) single_word: bool,
    /// Matched after normalization instead of before.
    pub(super) normalized: bool,
}

/// One id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// As the vocabulary writes it; special and added tokens as plain text.
    pub(super) text: String,
    /// Its part in encoding and decoding.
    pub(super) kind: Kind,
}

/// Everything that decides which ids a text gets.
pub(super) struct Definition {
    /// In id order.
    pub(super) tokens: Vec<Token>,
    /// Best first.
    pub(super) merges: Merges,
    /// How normal tokens write bytes.
    pub(super) alphabet: Alphabet,
    /// Whether decoding drops one space at the start.
    pub(super) strips_first_space: bool,
    /// What happens to text first.
    pub(super) normalizer: Option<NormalizerWrapper>,
    /// How text is cut into words.
    pub(super) pre_tokenizer: Option<PreTokenizerWrapper>,
    /// The two above in words, for the digest.
    pub(super) segmentation: String,
    /// Options of the BPE model.
    pub(super) options: BpeOptions,
}

/// Options of the BPE model, as `tokenizer.json` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BpeOptions {
    /// A word that is a token is that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Characters without a token become `<0xNN>` tokens.
    pub(super) byte_fallback: bool,
    /// Several unknown characters become one unknown token.
    pub(super) fuse_unknown: bool,
    /// Id of the token for unknown characters; without one they are left out.
    pub(super) unknown: Option<u32>,
}

impl Definition {
    /// Checks tokens, merges and special tokens against each other, and makes sure that text can spell no special token:
    /// merges that take or make one are dropped, and a beginning or end of text that no merge makes becomes special.
    ///
    /// # Errors
    /// Ids out of range; a token that stands twice; a merge that names a token which is not there, makes one, or stands
    /// twice. (`tokenizers` would panic on some of these.)
    pub(super) fn check(&mut self, special: &SpecialTokens) -> Result<(), TokenizerError> {
        if self.tokens.is_empty() {
            return Err(TokenizerError::Vocabulary("it is empty".to_owned()));
        }
        if self.tokens.len() > MAX_TOKENS {
            return Err(TokenizerError::Limit {
                what: "the vocabulary".to_owned(),
                found: self.tokens.len(),
                limit: MAX_TOKENS,
            });
        }
        if special.add_bos && special.bos.is_none() {
            return Err(TokenizerError::Vocabulary(
                "a prompt shall begin with the beginning-of-text token, but the model names none"
                    .to_owned(),
            ));
        }
        for &id in special.bos.iter().chain(&special.end) {
            self.mark_special(id)?;
        }
        let keep = self.check_merges(&self.ids()?)?;
        let mut keep = keep.into_iter();
        self.merges.retain(|_| keep.next().unwrap_or(false));
        Ok(())
    }

    /// Some files leave `<|endoftext|>` unmarked; a line feed that ends a completion is text all the same.
    fn mark_special(&mut self, id: u32) -> Result<(), TokenizerError> {
        let last_id = self.tokens.len().saturating_sub(1);
        let token = self.tokens.get_mut(id as usize);
        let token = token.ok_or(TokenizerError::UnknownToken { id, last_id })?;
        let made = |(left, right): &(String, String)| {
            left.len() + right.len() == token.text.len()
                && token.text.starts_with(left.as_str())
                && token.text.ends_with(right.as_str())
        };
        let is_character = token.text.chars().nth(1).is_none();
        if token.kind == Kind::Normal && !is_character && !self.merges.iter().any(made) {
            token.kind = Kind::Special(Matching::default());
        }
        Ok(())
    }

    /// Ids by text.
    fn ids(&self) -> Result<HashMap<&str, u32>, TokenizerError> {
        let mut ids = HashMap::with_capacity(self.tokens.len());
        for (id, token) in (0..).zip(&self.tokens).filter(|(_, token)| token.kind != Kind::Unused) {
            if let Some(first) = ids.insert(token.text.as_str(), id) {
                let text = quoted(&token.text);
                return Err(TokenizerError::Vocabulary(format!(
                    "tokens {first} and {id} are both {text}"
                )));
            }
        }
        Ok(ids)
    }

    /// Which merges neither take nor make a special token.
    fn check_merges(&self, ids: &HashMap<&str, u32>) -> Result<Vec<bool>, TokenizerError> {
        let mut pairs = HashSet::with_capacity(self.merges.len());
        let mut made = String::new();
        let mut keep = Vec::with_capacity(self.merges.len());
        for (index, (left, right)) in self.merges.iter().enumerate() {
            let find = |text: &str| {
                ids.get(text).copied().ok_or_else(|| TokenizerError::Merge {
                    index,
                    problem: format!("{} is not in the vocabulary", quoted(text)),
                })
            };
            made.clear();
            made.push_str(left);
            made.push_str(right);
            let (left_id, right_id, made_id) = (find(left)?, find(right)?, find(&made)?);
            if !pairs.insert((left_id, right_id)) {
                let problem = format!("{} and {} are merged twice", quoted(left), quoted(right));
                return Err(TokenizerError::Merge { index, problem });
            }
            keep.push([left_id, right_id, made_id].iter().all(|id| self.is_text(*id)));
        }
        Ok(keep)
    }

    /// Whether text may become this token.
    fn is_text(&self, id: u32) -> bool {
        let kind = self.tokens.get(id as usize).map(|token| token.kind);
        matches!(kind, Some(Kind::Normal | Kind::Added(_))) && Some(id) != self.options.unknown
    }

    /// All tokens that text can become.
    pub(super) fn vocabulary(&self) -> Vocab {
        let hidden = self.options.unknown.map(|id| (UNKNOWN.to_owned(), id));
        (0..)
            .zip(&self.tokens)
            .filter(|(id, _)| self.is_text(*id))
            .map(|(id, token)| (token.text.clone(), id))
            .chain(hidden)
            .collect()
    }

    /// The BPE model over that vocabulary.
    pub(super) fn bpe(&self, vocabulary: Vocab, merges: Merges) -> Result<BPE, TokenizerError> {
        let mut builder = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .ignore_merges(self.options.ignore_merges)
            .byte_fallback(self.options.byte_fallback)
            .fuse_unk(self.options.fuse_unknown);
        if self.options.unknown.is_some() {
            builder = builder.unk_token(UNKNOWN.to_owned());
        }
        builder.build().map_err(|problem| TokenizerError::Vocabulary(problem.to_string()))
    }

    /// SHA-256 over all that decides ids and decoding, as `sha256:` and lower-case hex.
    /// Each part is preceded by its length, so that no two definitions read alike.
    pub(super) fn digest(&self, merges: &Merges, special: &SpecialTokens) -> String {
        let mut whole = Vec::with_capacity(1 << 20);
        let mut part = |bytes: &[u8]| {
            whole.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            whole.extend_from_slice(bytes);
        };
        part(b"textnlp tokenizer 1");
        part(self.segmentation.as_bytes());
        part(
            format!("{:?} {:?} {}", self.alphabet, self.options, self.strips_first_space)
                .as_bytes(),
        );
        part(format!("{:?} {:?} {}", special.bos, special.end, special.add_bos).as_bytes());
        part(&(self.tokens.len() as u64).to_le_bytes());
        for token in &self.tokens {
            part(token.text.as_bytes());
            part(&token.kind.code());
        }
        for (left, right) in merges {
            part(left.as_bytes());
            part(right.as_bytes());
        }
        Sha256::digest(whole)
            .iter()
            .fold("sha256:".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

impl Kind {
    /// One byte for the kind and one bit for each condition.
    fn code(self) -> [u8; 2] {
        let bits = |matching: Matching| {
            u8::from(matching.lstrip)
                | u8::from(matching.rstrip) << 1
                | u8::from(matching.single_word) << 2
                | u8::from(matching.normalized) << 3
        };
        match self {
            Kind::Normal => [0, 0],
            Kind::Special(matching) => [1, bits(matching)],
            Kind::Added(matching) => [2, bits(matching)],
            Kind::Unused => [3, 0],
        }
    }
}
