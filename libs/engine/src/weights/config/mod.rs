//! A model's shape and constants, read from `config.json` or GGUF metadata, and checked before anything uses them.

mod gguf;
mod hugging_face;
mod json;
mod rope;
#[cfg(test)]
mod tests;

pub(super) use gguf::from_gguf;
pub(super) use hugging_face::from_config_json;
pub(super) use json::Json;

use super::{Architecture, ModelConfig, WeightsError};

/// Bounds of the sizes; the largest published models stay far below.
mod limit {
    pub(super) const VOCABULARY: u64 = 1 << 24;
    pub(super) const WIDTH: u64 = 1 << 18;
    pub(super) const FFN: u64 = 1 << 22;
    pub(super) const LAYERS: u64 = 1 << 10;
    pub(super) const HEADS: u64 = 1 << 12;
    pub(super) const HEAD_DIM: u64 = 1 << 12;
    pub(super) const CONTEXT: u64 = 1 << 24;
}

/// What both readers find, under the names that the source gives the fields, for messages.
struct Draft<'a> {
    file: &'a str,
    heads_key: &'a str,
    kv_heads_key: &'a str,
    head_dim_key: &'a str,
    config: ModelConfig,
}

impl Draft<'_> {
    /// Checks what depends on several fields.
    fn checked(self) -> Result<ModelConfig, WeightsError> {
        let config = self.config;
        if !config.heads.is_multiple_of(config.kv_heads) {
            let reason =
                format!("{} do not divide the {} query heads", config.kv_heads, config.heads);
            return Err(WeightsError::config(self.file, self.kv_heads_key, reason));
        }
        if config.architecture == Architecture::Gpt2
            && config.hidden_size != config.heads * config.head_dim
        {
            let reason =
                format!("{} heads do not divide the width, {}", config.heads, config.hidden_size);
            return Err(WeightsError::config(self.file, self.heads_key, reason));
        }
        if config.architecture == Architecture::Llama && !config.head_dim.is_multiple_of(2) {
            let reason =
                format!("is {}, but rotary positions need an even number", config.head_dim);
            return Err(WeightsError::config(self.file, self.head_dim_key, reason));
        }
        Ok(config)
    }
}

/// The width of a head when the file does not give it.
fn head_dim(
    file: &str,
    heads_key: &str,
    hidden_size: usize,
    heads: usize,
) -> Result<usize, WeightsError> {
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("{heads} heads do not divide the width, {hidden_size}");
        return Err(WeightsError::config(file, heads_key, reason));
    }
    Ok(hidden_size / heads)
}

/// `value`, if it lies in `1..=max`.
fn size_in_range(file: &str, key: &str, value: u64, max: u64) -> Result<usize, WeightsError> {
    if value == 0 || value > max {
        return Err(WeightsError::config(
            file,
            key,
            format!("is {value}, but 1 to {max} is allowed"),
        ));
    }
    Ok(value as usize)
}

/// `value` as f32, if it is finite and above zero.
fn positive(file: &str, key: &str, value: f64) -> Result<f32, WeightsError> {
    let single = value as f32;
    if !(single > 0.0 && single.is_finite()) {
        return Err(WeightsError::config(
            file,
            key,
            format!("is {value}, but a positive finite number is needed"),
        ));
    }
    Ok(single)
}

/// The error of an option under which the model computes something that is not implemented.
fn unsupported(
    file: &str,
    key: &str,
    found: impl std::fmt::Display,
    supported: &str,
) -> WeightsError {
    WeightsError::config(
        file,
        key,
        format!("is {found}, which is not supported; supported: {supported}"),
    )
}
