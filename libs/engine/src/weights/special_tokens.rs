//! Which ids begin and end text, from GGUF metadata or the JSON files of a model directory.

use super::gguf::Metadata;
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
    let by_text = tokenizer
        .tokens
        .iter()
        .zip(0..)
        .filter(|(text, _)| END_TEXTS.contains(&text.as_str()));
    end.extend(by_text.map(|(_, id): (_, u32)| id));
    let pre = tokenizer.pre.as_deref();
    let default =
        tokenizer.model == "llama" || pre.is_some_and(|pre| BOS_PRE_TOKENIZERS.contains(&pre));
    let add_bos = metadata
        .boolean("tokenizer.ggml.add_bos_token")?
        .unwrap_or(default);
    Ok(SpecialTokens {
        bos,
        end: sorted(end),
        add_bos: add_bos && bos.is_some(),
    })
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
