//! A model whose weights, configuration, tokenizer and chat template are all in one GGUF.

use std::sync::Arc;

use super::checkpoint::{Checkpoint, WeightsFile};
use super::gguf::{Gguf, Metadata};
use super::model_files::{Format, ModelFiles, Parts};
use super::names::Naming;
use super::source::ReadAt;
use super::{Architecture, GgufTokenizer, TokenizerSource, WeightsError, config, special_tokens};

/// Reads and checks everything but the tensors' data.
pub(super) fn open(source: Arc<dyn ReadAt>) -> Result<ModelFiles, WeightsError> {
    let gguf = Gguf::parse(source.clone())?;
    refuse_split(gguf.metadata())?;
    let config = config::from_gguf(&gguf)?;
    let metadata = gguf.metadata();
    let tokenizer = tokenizer(metadata, config.vocab_size)?;
    let special_tokens = special_tokens::from_gguf(metadata, &tokenizer, config.vocab_size)?;
    let chat_template = metadata.string("tokenizer.chat_template")?.map(str::to_owned);
    let checkpoint = Checkpoint {
        name: source.name().to_owned(),
        files: vec![WeightsFile { source: source.clone(), tensors: gguf.tensors().clone() }],
        naming: match config.architecture {
            Architecture::Llama => Naming::GgufLlama,
            Architecture::Gpt2 => Naming::GgufGpt2,
        },
        tied: gguf.tensors().get("output.weight").is_none(),
    };
    let summary = tokenizer_summary(&tokenizer);
    let no_tokenizer = tokenizer.model.is_empty();
    let tokenizer =
        if no_tokenizer { TokenizerSource::Missing } else { TokenizerSource::Gguf(tokenizer) };
    ModelFiles::checked(Parts {
        format: Format::Gguf,
        checkpoint,
        config,
        tokenizer,
        tokenizer_summary: if no_tokenizer { None } else { Some(summary) },
        special_tokens,
        chat_template,
        digest: Vec::new(), // the file holds all the rest
    })
}

/// `gguf-split` writes parts that each hold some of the tensors.
fn refuse_split(metadata: &Metadata) -> Result<(), WeightsError> {
    let key = "split.count";
    match metadata.unsigned(key)? {
        Some(count) if count > 1 => {
            let reason =
                format!("it is one of {count} parts; merge them with `llama-gguf-split --merge`");
            Err(WeightsError::config(metadata.file(), key, reason))
        }
        _ => Ok(()),
    }
}

fn tokenizer_summary(tokenizer: &GgufTokenizer) -> (String, u64) {
    let pre = tokenizer.pre.as_ref().map(|pre| format!(" ({pre})"));
    (format!("{}{}", tokenizer.model, pre.unwrap_or_default()), tokenizer.tokens.len() as u64)
}

/// `tokenizer.ggml.*`; without `tokenizer.ggml.model` there is none.
fn tokenizer(metadata: &Metadata, vocab_size: usize) -> Result<GgufTokenizer, WeightsError> {
    let Some(model) = metadata.string("tokenizer.ggml.model")?.filter(|model| *model != "no_vocab")
    else {
        return Ok(GgufTokenizer::default());
    };
    let key = "tokenizer.ggml.tokens";
    let tokens = metadata.strings(key)?.ok_or_else(|| metadata.missing(key))?.to_vec();
    if tokens.len() > vocab_size {
        let reason =
            format!("has {} tokens, but the token embedding only {vocab_size} rows", tokens.len());
        return Err(WeightsError::config(metadata.file(), key, reason));
    }
    let key = "tokenizer.ggml.token_type";
    let token_types = metadata.integers(key)?.unwrap_or_default();
    if !token_types.is_empty() && token_types.len() != tokens.len() {
        let reason = format!("has {} types for {} tokens", token_types.len(), tokens.len());
        return Err(WeightsError::config(metadata.file(), key, reason));
    }
    Ok(GgufTokenizer {
        model: model.to_owned(),
        pre: metadata.string("tokenizer.ggml.pre")?.map(str::to_owned),
        tokens,
        token_types,
        merges: metadata.strings("tokenizer.ggml.merges")?.unwrap_or_default().to_vec(),
    })
}
