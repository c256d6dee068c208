//! Which ids begin and end text, from GGUF metadata or the JSON files of a model directory.

use serde_json::Value;

use super::config::Json;
use super::gguf::Metadata;
use super::tokenizer_json::TokenizerFacts;
use super::{GgufTokenizer, SpecialTokens, WeightsError};

/// Texts of tokens that end a turn or a text whatever the metadata says (llama.cpp, `llama_vocab::impl::load`).
pub(super) const END_TEXTS: [&str; 13] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
];

/// Pre-tokenizers whose models begin with bos unless the metadata says otherwise (llama.cpp, same function).
const BOS_PRE_TOKENIZERS: [&str; 5] = ["llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"];

/// From `tokenizer.ggml.*`; ids must lie within `vocab_size`.
pub(super) fn from_gguf(
    metadata: &Metadata,
    tokenizer: &GgufTokenizer,
    vocab_size: usize,
) -> Result<SpecialTokens, WeightsError> {
    let id = |name: &str| -> Result<Option<u32>, WeightsError> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        metadata
            .unsigned(&key)?
            .map(|id| checked_id(metadata.file(), &key, id, vocab_size))
            .transpose()
    };
    let bos = id("bos")?;
    let mut end = Vec::new();
    for name in ["eos", "eot", "eom"] {
        end.extend(id(name)?);
    }
    let by_text =
        tokenizer.tokens.iter().zip(0..).filter(|(text, _)| END_TEXTS.contains(&text.as_str()));
    end.extend(by_text.map(|(_, id): (_, u32)| id));
    let pre = tokenizer.pre.as_deref();
    let default =
        tokenizer.model == "llama" || pre.is_some_and(|pre| BOS_PRE_TOKENIZERS.contains(&pre));
    let add_bos = metadata.boolean("tokenizer.ggml.add_bos_token")?.unwrap_or(default);
    Ok(SpecialTokens { bos, end: sorted(end), add_bos: add_bos && bos.is_some() })
}

/// `id`, if the embedding has such a row.
pub(super) fn checked_id(
    file: &str,
    key: &str,
    id: u64,
    vocab_size: usize,
) -> Result<u32, WeightsError> {
    match u32::try_from(id) {
        Ok(small) if id < vocab_size as u64 => Ok(small),
        _ => Err(WeightsError::config(
            file,
            key,
            format!("is {id}, but the vocabulary has {vocab_size} tokens"),
        )),
    }
}

fn sorted(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// From the JSON files of a directory: `configs` are searched in order for `bos_token_id` and `eos_token_id`, the
/// tokenizer's files for `bos_token`, `eos_token` and the added tokens that [`END_TEXTS`] knows.
pub(super) fn from_json(
    configs: &[Option<&Json>],
    tokenizer_config: Option<&Json>,
    tokenizer: Option<&TokenizerFacts>,
    vocab_size: usize,
) -> Result<SpecialTokens, WeightsError> {
    let first_ids = |key: &str| -> Result<Vec<u32>, WeightsError> {
        let found = configs.iter().flatten().find(|json| json.value(key).is_some());
        found.map_or(Ok(Vec::new()), |json| ids(json, key, vocab_size))
    };
    let by_text = |key: &str| tokenizer?.added_id(token_text(tokenizer_config?, key)?);
    let bos = match by_text("bos_token") {
        Some(id) => Some(id),
        None => first_ids("bos_token_id")?.first().copied(),
    };
    let mut end = first_ids("eos_token_id")?;
    end.extend(by_text("eos_token"));
    let added = tokenizer.map(|tokenizer| tokenizer.added_tokens.as_slice()).unwrap_or_default();
    let by_known_text =
        added.iter().filter(|token| token.special && END_TEXTS.contains(&token.content.as_str()));
    end.extend(by_known_text.map(|token| token.id));
    let stated = tokenizer_config.map(|json| json.boolean("add_bos_token")).transpose()?.flatten();
    let leading = tokenizer.and_then(|tokenizer| tokenizer.added_id(tokenizer.leading_token()?));
    let add_bos = bos.is_some() && stated.unwrap_or(leading == bos);
    Ok(SpecialTokens { bos, end: sorted(end), add_bos })
}

/// One id or a list of them.
fn ids(json: &Json, key: &str, vocab_size: usize) -> Result<Vec<u32>, WeightsError> {
    let one = |value: &Value| {
        let id = value.as_u64().ok_or_else(|| {
            WeightsError::config(json.file(), key, "is no token id or list of them")
        })?;
        checked_id(json.file(), key, id, vocab_size)
    };
    match json.value(key) {
        Some(Value::Array(values)) => values.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
        None => Ok(Vec::new()),
    }
}

/// A token given as text, or as an object with `content`.
fn token_text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    let value = json.value(key)?;
    value.as_str().or_else(|| value.get("content")?.as_str())
}
