//! `tokenizer.json` of Hugging Face's tokenizers: an untrusted file, read against a list of what is supported.
//!
//! `tokenizers` can load such a file itself, but panics on some crafted ones (merges longer than any token, truncation
//! below the template's length, character maps), and would silently truncate or randomise. Only a file's normalizer and
//! pre-tokenizer are therefore handed to it, after the checks of [`super::json_parts`].

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::definition::{BpeOptions, Definition, Kind, Matching, Token};
use super::error::{TokenizerError, quoted};
use super::json_parts;

/// Longest `tokenizer.json` accepted; the largest in use have a third of it.
pub(super) const MAX_JSON_BYTES: usize = 64 << 20;

/// Largest id accepted, so that a crafted one does not reserve memory.
const MAX_ID: u32 = (1 << 20) - 1;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: Vocabulary,
    merges: Vec<Merge>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// Only the kind of model, so that a file of another kind gets a better message than a missing field.
#[derive(Deserialize)]
struct Outline {
    model: ModelOutline,
}

#[derive(Deserialize)]
struct ModelOutline {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Reads the bytes of a `tokenizer.json`.
pub(super) fn read(json: &[u8]) -> Result<Definition, TokenizerError> {
    if json.len() > MAX_JSON_BYTES {
        return Err(TokenizerError::Limit {
            what: "tokenizer.json (bytes)".to_owned(),
            found: json.len(),
            limit: MAX_JSON_BYTES,
        });
    }
    let outline: Outline = serde_json::from_slice(json)?;
    // Files from before 2020 have no type; their only model with `merges` is BPE.
    if let Some(kind) = outline.model.kind.filter(|kind| kind != "BPE") {
        return Err(unsupported("model.type", quoted(&kind), "BPE"));
    }
    let file: File = serde_json::from_slice(json)?;
    check_model(&file.model)?;
    let decoding = json_parts::decoder(&file.decoder)?;
    let normalizer = json_parts::normalizer(&file.normalizer)?;
    let pre_tokenizer = json_parts::pre_tokenizer(&file.pre_tokenizer, decoding.alphabet)?;
    let tokens = tokens(file.model.vocab.0, file.added_tokens)?;
    let unknown = file.model.unk_token.map(|text| unknown(&tokens, &text)).transpose()?;
    Ok(Definition {
        tokens,
        merges: file
            .model
            .merges
            .into_iter()
            .enumerate()
            .map(|(index, merge)| merge.pair(index))
            .collect::<Result<_, _>>()?,
        alphabet: decoding.alphabet,
        strips_first_space: decoding.strips_first_space,
        normalizer,
        pre_tokenizer,
        segmentation: format!("json {} {}", file.normalizer, file.pre_tokenizer),
        options: BpeOptions {
            ignore_merges: file.model.ignore_merges,
            byte_fallback: file.model.byte_fallback,
            fuse_unknown: file.model.fuse_unk,
            unknown,
        },
    })
}

/// Refuses what changes ids in ways that no model this engine runs needs.
fn check_model(model: &Model) -> Result<(), TokenizerError> {
    if let Some(dropout) = model.dropout.filter(|dropout| *dropout != 0.0) {
        return Err(unsupported(
            "model.dropout",
            dropout.to_string(),
            "null (random ids are for training)",
        ));
    }
    let affixes = [
        ("model.continuing_subword_prefix", &model.continuing_subword_prefix),
        ("model.end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (what, affix) in affixes {
        if let Some(affix) = affix.as_ref().filter(|affix| !affix.is_empty()) {
            return Err(unsupported(what, quoted(affix), "null or an empty string"));
        }
    }
    Ok(())
}

fn unsupported(what: &str, found: String, supported: &'static str) -> TokenizerError {
    TokenizerError::Unsupported { what: what.to_owned(), found, supported }
}

/// The vocabulary in id order, added tokens among it.
fn tokens(
    vocabulary: Vec<(String, u32)>,
    added: Vec<AddedToken>,
) -> Result<Vec<Token>, TokenizerError> {
    let mut tokens = Vec::new();
    let mut ids = HashMap::with_capacity(vocabulary.len());
    for (text, id) in vocabulary {
        if ids.insert(text.clone(), id).is_some() {
            return Err(TokenizerError::Vocabulary(format!(
                "{} stands twice in model.vocab",
                quoted(&text)
            )));
        }
        let slot = slot(&mut tokens, id)?;
        if slot.kind != Kind::Unused {
            let (first, second) = (quoted(&slot.text), quoted(&text));
            return Err(TokenizerError::Vocabulary(format!(
                "id {id} is both {first} and {second}"
            )));
        }
        *slot = Token { kind: if text.is_empty() { Kind::Unused } else { Kind::Normal }, text };
    }
    for token in added.into_iter().filter(|token| !token.content.is_empty()) {
        let expected = *ids.entry(token.content.clone()).or_insert(token.id);
        let slot = slot(&mut tokens, token.id)?;
        if expected != token.id || (slot.kind != Kind::Unused && slot.text != token.content) {
            let (text, id) = (quoted(&token.content), token.id);
            return Err(TokenizerError::Vocabulary(format!(
                "added token {text} has id {id}, but model.vocab or another added token says otherwise"
            )));
        }
        *slot = Token { kind: token.kind(), text: token.content };
    }
    Ok(tokens)
}

/// The place of an id; ids between are gaps until they get a token.
fn slot(tokens: &mut Vec<Token>, id: u32) -> Result<&mut Token, TokenizerError> {
    if id > MAX_ID {
        return Err(TokenizerError::Limit {
            what: "the vocabulary (largest id)".to_owned(),
            found: id as usize,
            limit: MAX_ID as usize,
        });
    }
    let index = id as usize;
    if tokens.len() <= index {
        tokens.resize(index + 1, Token { text: String::new(), kind: Kind::Unused });
    }
    Ok(&mut tokens[index])
}

impl AddedToken {
    fn kind(&self) -> Kind {
        let matching = Matching {
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            single_word: self.single_word,
            normalized: self.normalized,
        };
        if self.special { Kind::Special(matching) } else { Kind::Added(matching) }
    }
}

fn unknown(tokens: &[Token], text: &str) -> Result<u32, TokenizerError> {
    (0..)
        .zip(tokens)
        .find(|(_, token)| token.kind != Kind::Unused && token.text == text)
        .map(|(id, _)| id)
        .ok_or_else(|| {
            TokenizerError::Vocabulary(format!("model.unk_token {} is not in it", quoted(text)))
        })
}

/// `model.vocab`, in file order and with repetitions, which a map would hide.
struct Vocabulary(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vocabulary, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vocabulary;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object from token to id")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Vocabulary(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// `"left right"`, or `["left", "right"]` since tokenizers 0.20.
enum Merge {
    Line(String),
    Pair(String, String),
}

impl Merge {
    fn pair(self, index: usize) -> Result<(String, String), TokenizerError> {
        match self {
            Merge::Line(line) => super::gguf::merge(index, &line),
            Merge::Pair(left, right) if left.is_empty() || right.is_empty() => {
                Err(TokenizerError::Merge {
                    index,
                    problem: "one of its tokens is empty".to_owned(),
                })
            }
            Merge::Pair(left, right) => Ok((left, right)),
        }
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Merge, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a merge: \"left right\" or [\"left\", \"right\"]")
            }
            fn visit_str<E: serde::de::Error>(self, line: &str) -> Result<Merge, E> {
                Ok(Merge::Line(line.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge has two tokens");
                let left = parts.next_element()?.ok_or_else(missing)?;
                let right = parts.next_element()?.ok_or_else(missing)?;
                match parts.next_element::<IgnoredAny>()? {
                    None => Ok(Merge::Pair(left, right)),
                    Some(_) => Err(missing()),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
