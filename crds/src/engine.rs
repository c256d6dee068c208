//! How a model is computed: number formats and limits of the engine. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the model is computed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// The number format of the arithmetic. `Auto` takes it from the model's files alone, so that
    /// every machine takes the same.
    #[serde(default)]
    pub dtype: Dtype,
    /// The number format of the weights. `Auto` takes the class of the model's files.
    #[serde(default)]
    pub quantization: Quantization,
    /// The number format of the keys and values of past tokens. `Auto` is `BF16`, or 32-bit floating point if all
    /// weights are. `Int8` takes about half of the memory of `BF16`, so that nearly twice the tokens fit.
    #[serde(default)]
    pub kv_cache: KvCache,
    /// The most tokens of prompt and completion together. Default: the model's own context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_context_tokens: Option<i32>,
    /// The most tokens that one step computes. Default: chosen for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_batch_tokens: Option<i32>,
    /// The most completions that are computed together. Default: chosen for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_096))]
    pub max_sequences: Option<i32>,
}

/// A number format of the arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::rules::described_by_its_field)]
pub enum Dtype {
    /// From the model's files.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// bfloat16.
    BF16,
    /// 16-bit floating point.
    F16,
}

/// A number format of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::rules::described_by_its_field)]
pub enum Quantization {
    /// The class of the model's files.
    #[default]
    Auto,
    /// Weights in floating point.
    None,
    /// 8-bit integers.
    Int8,
    /// 4-bit integers.
    Int4,
}

/// A number format of the KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::rules::described_by_its_field)]
pub enum KvCache {
    /// As the weights have it.
    #[default]
    Auto,
    /// bfloat16.
    BF16,
    /// 8-bit integers.
    Int8,
}
