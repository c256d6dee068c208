//! The few facts of a `tokenizer.json` that are needed before the tokenizer itself is built: its kind, its size, the
//! added tokens, and whether it puts a token before every text.

use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::WeightsError;

/// Facts of a `tokenizer.json`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenizerFacts {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    #[serde(default)]
    post_processor: Option<Value>,
    model: Model,
}

/// A token beside the model's vocabulary.
#[derive(Debug, Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Model {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Vocabulary,
}

impl TokenizerFacts {
    /// Parses the file; everything else in it is skipped, but must be JSON.
    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<TokenizerFacts, WeightsError> {
        serde_json::from_slice(bytes).map_err(|error| {
            WeightsError::config(file, "document", format!("is no tokenizer definition: {error}"))
        })
    }

    /// `BPE`, `WordPiece`, `Unigram` … (very old files do not say).
    pub(super) fn kind(&self) -> &str {
        self.model.kind.as_deref().unwrap_or("unknown")
    }

    /// One more than the highest id.
    pub(super) fn vocab_size(&self) -> u64 {
        let added = self.added_tokens.iter().map(|token| u64::from(token.id) + 1).max();
        self.model.vocab.size.max(added.unwrap_or(0))
    }

    /// The id of an added token.
    pub(super) fn added_id(&self, text: &str) -> Option<u32> {
        self.added_tokens.iter().find(|token| token.content == text).map(|token| token.id)
    }

    /// The token that the post-processor puts before a single text.
    pub(super) fn leading_token(&self) -> Option<&str> {
        let processor = self.post_processor.as_ref()?;
        let inner = processor
            .get("processors")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        std::iter::once(processor).chain(inner).find_map(|processor| {
            let first = processor.get("single")?.get(0)?;
            first.get("SpecialToken")?.get("id")?.as_str()
        })
    }
}

/// Size of a vocabulary: a map from texts to ids, or (Unigram) a list.
#[derive(Debug, Default)]
struct Vocabulary {
    size: u64,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vocabulary, D::Error> {
        deserializer.deserialize_any(VocabularyVisitor)
    }
}

struct VocabularyVisitor;

impl<'de> Visitor<'de> for VocabularyVisitor {
    type Value = Vocabulary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tokens to ids or a list of tokens")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
        let mut size = 0;
        while let Some((IgnoredAny, id)) = map.next_entry::<IgnoredAny, u32>()? {
            size = size.max(u64::from(id) + 1);
        }
        Ok(Vocabulary { size })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocabulary, A::Error> {
        let mut size = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            size += 1;
        }
        Ok(Vocabulary { size })
    }
}
