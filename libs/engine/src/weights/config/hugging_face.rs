//! [`ModelConfig`] from a Hugging Face `config.json`.

use serde_json::Value;

use super::super::{Architecture, ModelConfig, WeightsError};
use super::json::{Json, shown};
use super::rope::{self, Llama3};
use super::{Draft, head_dim, limit, positive, size_in_range, unsupported};

/// `architectures` that can be run, with their `model_type`.
const KNOWN: [(&str, &str); 3] =
    [("LlamaForCausalLM", "llama"), ("MistralForCausalLM", "mistral"), ("GPT2LMHeadModel", "gpt2")];

/// Reads and checks the configuration, and whether the head is tied to the embedding.
pub(in super::super) fn from_config_json(json: &Json) -> Result<(ModelConfig, bool), WeightsError> {
    if json.value("quantization_config").is_some() {
        let supported = "unquantised safetensors (F32, F16, BF16), or GGUF";
        return Err(unsupported(json.file(), "quantization_config", "set", supported));
    }
    match model_type(json)?.as_str() {
        "gpt2" => Ok((gpt2(json)?, json.boolean("tie_word_embeddings")?.unwrap_or(true))),
        model_type => {
            Ok((llama(json, model_type)?, json.boolean("tie_word_embeddings")?.unwrap_or(false)))
        }
    }
}

/// `model_type`, checked against `architectures`; one of the two may be missing.
fn model_type(json: &Json) -> Result<String, WeightsError> {
    let known =
        KNOWN.map(|(architecture, model_type)| format!("{architecture} ({model_type})")).join(", ");
    let architecture = match json.value("architectures") {
        None => None,
        Some(Value::Array(names)) if names.len() == 1 && names[0].is_string() => names[0].as_str(),
        Some(other) => {
            return Err(unsupported(
                json.file(),
                "architectures",
                shown(other),
                &format!("one of {known}"),
            ));
        }
    };
    let by_architecture = match architecture {
        None => None,
        Some(name) => match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, model_type)) => Some(*model_type),
            None => {
                return Err(unsupported(json.file(), "architectures", format!("{name:?}"), &known));
            }
        },
    };
    match (json.string("model_type")?, by_architecture) {
        (Some(stated), Some(by_architecture)) if stated != by_architecture => Err(unsupported(
            json.file(),
            "model_type",
            format!("{stated:?}"),
            &format!("{by_architecture:?} here"),
        )),
        (Some(stated), _) if KNOWN.iter().all(|(_, known)| *known != stated) => {
            Err(unsupported(json.file(), "model_type", format!("{stated:?}"), &known))
        }
        (Some(stated), _) => Ok(stated.to_owned()),
        (None, Some(by_architecture)) => Ok(by_architecture.to_owned()),
        (None, None) => Err(json.missing("model_type")),
    }
}

fn llama(json: &Json, model_type: &str) -> Result<ModelConfig, WeightsError> {
    let hidden_size = size(json, "hidden_size", limit::WIDTH)?;
    let heads = size(json, "num_attention_heads", limit::HEADS)?;
    let head_dim = match optional_size(json, "head_dim", limit::HEAD_DIM)? {
        Some(head_dim) => head_dim,
        None => head_dim(json.file(), "num_attention_heads", hidden_size, heads)?,
    };
    let context_tokens = size(json, "max_position_embeddings", limit::CONTEXT)?;
    only(json, "hidden_act", "silu")?;
    only(json, "attention_bias", false)?;
    only(json, "mlp_bias", false)?;
    if model_type == "mistral" {
        refuse_window(json, context_tokens)?;
    }
    let (rope_theta, rope_factors) = rotary(json, head_dim, context_tokens)?;
    let draft = Draft {
        file: json.file(),
        heads_key: "num_attention_heads",
        kv_heads_key: "num_key_value_heads",
        head_dim_key: "head_dim",
        config: ModelConfig {
            architecture: Architecture::Llama,
            vocab_size: size(json, "vocab_size", limit::VOCABULARY)?,
            hidden_size,
            layers: size(json, "num_hidden_layers", limit::LAYERS)?,
            heads,
            kv_heads: optional_size(json, "num_key_value_heads", limit::HEADS)?.unwrap_or(heads),
            head_dim,
            ffn_size: size(json, "intermediate_size", limit::FFN)?,
            context_tokens,
            norm_epsilon: epsilon(json, "rms_norm_eps", 1e-6)?,
            rope_theta,
            rope_factors,
        },
    };
    draft.checked()
}

fn gpt2(json: &Json) -> Result<ModelConfig, WeightsError> {
    let hidden_size = size(json, "n_embd", limit::WIDTH)?;
    let heads = size(json, "n_head", limit::HEADS)?;
    only(json, "activation_function", "gelu_new")?;
    only(json, "scale_attn_weights", true)?;
    only(json, "scale_attn_by_inverse_layer_idx", false)?;
    only(json, "add_cross_attention", false)?;
    let draft = Draft {
        file: json.file(),
        heads_key: "n_head",
        kv_heads_key: "n_head",
        head_dim_key: "n_head",
        config: ModelConfig {
            architecture: Architecture::Gpt2,
            vocab_size: size(json, "vocab_size", limit::VOCABULARY)?,
            hidden_size,
            layers: size(json, "n_layer", limit::LAYERS)?,
            heads,
            kv_heads: heads,
            head_dim: head_dim(json.file(), "n_head", hidden_size, heads)?,
            ffn_size: optional_size(json, "n_inner", limit::FFN)?.unwrap_or(4 * hidden_size),
            context_tokens: size(json, "n_positions", limit::CONTEXT)?,
            norm_epsilon: epsilon(json, "layer_norm_epsilon", 1e-5)?,
            rope_theta: 10_000.0,
            rope_factors: None,
        },
    };
    draft.checked()
}

fn size(json: &Json, key: &str, max: u64) -> Result<usize, WeightsError> {
    optional_size(json, key, max)?.ok_or_else(|| json.missing(key))
}

fn optional_size(json: &Json, key: &str, max: u64) -> Result<Option<usize>, WeightsError> {
    let value = json.unsigned(key)?;
    value.map(|value| size_in_range(json.file(), key, value, max)).transpose()
}

fn epsilon(json: &Json, key: &str, default: f64) -> Result<f32, WeightsError> {
    positive(json.file(), key, json.float(key)?.unwrap_or(default))
}

/// The field must be absent or have this value: anything else changes what the model computes.
fn only(json: &Json, key: &str, expected: impl Into<Value>) -> Result<(), WeightsError> {
    let expected = expected.into();
    match json.value(key) {
        Some(found) if expected.is_number() && found.as_f64() == expected.as_f64() => Ok(()), // 1 is 1.0
        Some(found) if *found != expected => {
            Err(unsupported(json.file(), key, shown(found), &expected.to_string()))
        }
        _ => Ok(()),
    }
}

/// A sliding window as long as the context changes nothing; a shorter one does. `MistralConfig` has 4096 when the
/// field is missing, none when it is `null`.
fn refuse_window(json: &Json, context_tokens: usize) -> Result<(), WeightsError> {
    let key = "sliding_window";
    let window = if json.has(key) { json.unsigned(key)? } else { Some(4096) };
    match window {
        Some(window) if window < context_tokens as u64 => {
            Err(unsupported(json.file(), key, window, "null, or a window as long as the context"))
        }
        _ => Ok(()),
    }
}

/// Base and divisors of the rotary frequencies: `rope_theta` and `rope_scaling` of transformers 4, or
/// `rope_parameters` of transformers 5, which holds both.
fn rotary(
    json: &Json,
    head_dim: usize,
    context: usize,
) -> Result<(f32, Option<Vec<f32>>), WeightsError> {
    let (parameters, scaling) = (json.object("rope_parameters")?, json.object("rope_scaling")?);
    let inner_theta =
        parameters.as_ref().map(|parameters| parameters.float("rope_theta")).transpose()?.flatten();
    let theta = inner_theta.or(json.float("rope_theta")?).unwrap_or(10_000.0);
    let theta = positive(json.file(), "rope_theta", theta)?;
    only(json, "partial_rotary_factor", 1.0)?;
    let Some(scaling) = parameters.or(scaling) else {
        return Ok((theta, None));
    };
    only(&scaling, "partial_rotary_factor", 1.0)?;
    let key = if scaling.value("rope_type").is_some() { "rope_type" } else { "type" };
    let factors = match scaling.string(key)? {
        None | Some("default") => None,
        Some("linear") => {
            let factor = positive(scaling.file(), "factor", required(&scaling, "factor")?)?;
            Some(rope::linear_factors(factor, head_dim))
        }
        Some("llama3") => Some(llama3(&scaling, context)?.factors(theta, head_dim)),
        Some(other) => {
            return Err(unsupported(
                scaling.file(),
                key,
                format!("{other:?}"),
                "default, linear, llama3",
            ));
        }
    };
    Ok((theta, factors))
}

fn llama3(scaling: &Json, context: usize) -> Result<Llama3, WeightsError> {
    let number = |key: &str| positive(scaling.file(), key, required(scaling, key)?).map(f64::from);
    let original = "original_max_position_embeddings";
    let parameters = Llama3 {
        factor: number("factor")?,
        low_freq_factor: number("low_freq_factor")?,
        high_freq_factor: number("high_freq_factor")?,
        original_context: optional_size(scaling, original, limit::CONTEXT)?.unwrap_or(context)
            as f64,
    };
    if parameters.high_freq_factor <= parameters.low_freq_factor {
        let reason = format!("is {}, but must exceed low_freq_factor", parameters.high_freq_factor);
        return Err(WeightsError::config(scaling.file(), "high_freq_factor", reason));
    }
    Ok(parameters)
}

fn required(json: &Json, key: &str) -> Result<f64, WeightsError> {
    json.float(key)?.ok_or_else(|| json.missing(key))
}
