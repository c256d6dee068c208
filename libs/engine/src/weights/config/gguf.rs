//! [`ModelConfig`] from GGUF metadata (`general.architecture` llama or gpt2).

use super::super::gguf::{Gguf, Metadata};
use super::super::table::read_elements;
use super::super::{Architecture, ModelConfig, WeightsError};
use super::{Draft, head_dim, limit, positive, rope, size_in_range, unsupported};

/// Reads and checks the configuration.
pub(in super::super) fn from_gguf(gguf: &Gguf) -> Result<ModelConfig, WeightsError> {
    let metadata = gguf.metadata();
    let key = "general.architecture";
    match metadata.string(key)?.ok_or_else(|| metadata.missing(key))? {
        "llama" => llama(gguf),
        "gpt2" => gpt2(gguf),
        other => Err(unsupported(metadata.file(), key, format!("{other:?}"), "llama, gpt2")),
    }
}

/// Metadata keys under the architecture's prefix.
struct Fields<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl Fields<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn size(&self, name: &str, max: u64) -> Result<usize, WeightsError> {
        let missing = || self.metadata.missing(&self.key(name));
        self.optional_size(name, max)?.ok_or_else(missing)
    }

    fn optional_size(&self, name: &str, max: u64) -> Result<Option<usize>, WeightsError> {
        let key = self.key(name);
        let value = self.metadata.unsigned(&key)?;
        value.map(|value| size_in_range(self.metadata.file(), &key, value, max)).transpose()
    }

    fn positive(&self, name: &str) -> Result<Option<f32>, WeightsError> {
        let key = self.key(name);
        let value = self.metadata.float(&key)?;
        value.map(|value| positive(self.metadata.file(), &key, value)).transpose()
    }

    fn required_positive(&self, name: &str) -> Result<f32, WeightsError> {
        self.positive(name)?.ok_or_else(|| self.metadata.missing(&self.key(name)))
    }

    /// The key must be absent or have this value: anything else changes what the model computes.
    fn only(&self, name: &str, expected: u64) -> Result<(), WeightsError> {
        let key = self.key(name);
        match self.metadata.unsigned(&key)? {
            Some(found) if found != expected => {
                Err(unsupported(self.metadata.file(), &key, found, &expected.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn llama(gguf: &Gguf) -> Result<ModelConfig, WeightsError> {
    let fields = Fields { metadata: gguf.metadata(), prefix: "llama" };
    let file = gguf.metadata().file();
    let hidden_size = fields.size("embedding_length", limit::WIDTH)?;
    let heads = fields.size("attention.head_count", limit::HEADS)?;
    let head_dim = match fields.optional_size("attention.key_length", limit::HEAD_DIM)? {
        Some(head_dim) => head_dim,
        None => head_dim(file, &fields.key("attention.head_count"), hidden_size, heads)?,
    };
    let context_tokens = fields.size("context_length", limit::CONTEXT)?;
    fields.only("attention.value_length", head_dim as u64)?;
    fields.only("rope.dimension_count", head_dim as u64)?;
    fields.only("expert_count", 0)?;
    refuse_window(&fields, context_tokens)?;
    let draft = Draft {
        file,
        heads_key: &fields.key("attention.head_count"),
        kv_heads_key: &fields.key("attention.head_count_kv"),
        head_dim_key: &fields.key("attention.key_length"),
        config: ModelConfig {
            architecture: Architecture::Llama,
            vocab_size: vocab_size(gguf, &fields)?,
            hidden_size,
            layers: fields.size("block_count", limit::LAYERS)?,
            heads,
            kv_heads: fields
                .optional_size("attention.head_count_kv", limit::HEADS)?
                .unwrap_or(heads),
            head_dim,
            ffn_size: fields.size("feed_forward_length", limit::FFN)?,
            context_tokens,
            norm_epsilon: fields.required_positive("attention.layer_norm_rms_epsilon")?,
            rope_theta: fields.positive("rope.freq_base")?.unwrap_or(10_000.0),
            rope_factors: rope_factors(gguf, &fields, head_dim)?,
        },
    };
    draft.checked()
}

fn gpt2(gguf: &Gguf) -> Result<ModelConfig, WeightsError> {
    let fields = Fields { metadata: gguf.metadata(), prefix: "gpt2" };
    let file = gguf.metadata().file();
    let hidden_size = fields.size("embedding_length", limit::WIDTH)?;
    let heads = fields.size("attention.head_count", limit::HEADS)?;
    fields.only("attention.head_count_kv", heads as u64)?;
    let heads_key = fields.key("attention.head_count");
    let draft = Draft {
        file,
        heads_key: &heads_key,
        kv_heads_key: &heads_key,
        head_dim_key: &heads_key,
        config: ModelConfig {
            architecture: Architecture::Gpt2,
            vocab_size: vocab_size(gguf, &fields)?,
            hidden_size,
            layers: fields.size("block_count", limit::LAYERS)?,
            heads,
            kv_heads: heads,
            head_dim: head_dim(file, &heads_key, hidden_size, heads)?,
            ffn_size: fields.size("feed_forward_length", limit::FFN)?,
            context_tokens: fields.size("context_length", limit::CONTEXT)?,
            norm_epsilon: fields.required_positive("attention.layer_norm_epsilon")?,
            rope_theta: 10_000.0,
            rope_factors: None,
        },
    };
    draft.checked()
}

/// Rows of the embedding; `<arch>.vocab_size`, where it is given, must say the same.
fn vocab_size(gguf: &Gguf, fields: &Fields<'_>) -> Result<usize, WeightsError> {
    let (name, file) = ("token_embd.weight", gguf.metadata().file());
    let embedding =
        gguf.tensors().get(name).ok_or_else(|| WeightsError::tensor(file, name, "missing"))?;
    let rows = if embedding.shape.len() == 2 { embedding.shape[0] } else { 0 };
    if rows == 0 || rows > limit::VOCABULARY {
        let reason = format!(
            "has shape {:?}, but [tokens, width] with 1 to {} tokens is needed",
            embedding.shape,
            limit::VOCABULARY
        );
        return Err(WeightsError::tensor(file, name, reason));
    }
    let key = fields.key("vocab_size");
    match gguf.metadata().unsigned(&key)? {
        Some(stated) if stated != rows => {
            let reason = format!("is {stated}, but the token embedding has {rows} rows");
            Err(WeightsError::config(file, &key, reason))
        }
        _ => Ok(rows as usize),
    }
}

/// A sliding window as long as the context changes nothing; a shorter one does.
fn refuse_window(fields: &Fields<'_>, context_tokens: usize) -> Result<(), WeightsError> {
    let key = fields.key("attention.sliding_window");
    match fields.metadata.unsigned(&key)? {
        Some(window) if window != 0 && window < context_tokens as u64 => Err(unsupported(
            fields.metadata.file(),
            &key,
            window,
            "none, or one as long as the context",
        )),
        _ => Ok(()),
    }
}

/// From the tensor `rope_freqs.weight` (llama3 scaling), or from linear scaling's factor.
fn rope_factors(
    gguf: &Gguf,
    fields: &Fields<'_>,
    head_dim: usize,
) -> Result<Option<Vec<f32>>, WeightsError> {
    let key = fields.key("rope.scaling.type");
    let file = gguf.metadata().file();
    let factor = match gguf.metadata().string(&key)? {
        None => fields.positive("rope.scale_linear")?, // before `rope.scaling` existed
        Some("none") => None,
        Some("linear") => Some(fields.required_positive("rope.scaling.factor")?),
        Some(other) => {
            return Err(unsupported(file, &key, format!("{other:?}"), "none, linear"));
        }
    };
    let linear =
        factor.filter(|&factor| factor != 1.0).map(|factor| rope::linear_factors(factor, head_dim));
    let name = "rope_freqs.weight";
    let Some(tensor) = gguf.tensors().get(name) else {
        return Ok(linear);
    };
    if linear.is_some() {
        return Err(WeightsError::config(
            file,
            &key,
            "is linear, but the file has rope_freqs.weight as well",
        ));
    }
    if tensor.shape != [head_dim as u64 / 2] {
        let reason = format!("has shape {:?}, but [{}] is needed", tensor.shape, head_dim / 2);
        return Err(WeightsError::tensor(file, name, reason));
    }
    let mut factors = vec![0.0; head_dim / 2];
    read_elements(gguf.source().as_ref(), tensor, 0..tensor.elements, &mut factors)?;
    match factors.iter().find(|factor| !(**factor > 0.0 && factor.is_finite())) {
        Some(factor) => Err(WeightsError::tensor(
            file,
            name,
            format!("holds {factor}, which divides no frequency"),
        )),
        None => Ok(Some(factors)),
    }
}
