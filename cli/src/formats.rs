//! Which of the number formats that a ModelDeployment may name this build computes in. No I/O.

use std::fmt::Debug;

use textnlp_crds::engine::{Dtype, Engine, KvCache, Quantization};
use textnlp_engine::models::{KvPrecision, Precision};

/// A format that this build does not compute in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// The field of `spec.engine`.
    pub(crate) field: &'static str,
    /// What it says.
    pub(crate) found: String,
    /// What it may say.
    pub(crate) allowed: &'static str,
}

/// What a model is computed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Formats {
    /// Its weights.
    pub(crate) precision: Precision,
    /// Keys and values of past tokens.
    pub(crate) kv_cache: KvPrecision,
}

impl Formats {
    /// What an engine says, or the first format that this build does not compute in.
    pub(crate) fn of(engine: &Engine) -> Result<Formats, Unsupported> {
        let refuse = |field, found: &dyn Debug, allowed| {
            Err(Unsupported { field, found: format!("{found:?}"), allowed })
        };
        let precision = match (engine.dtype, engine.quantization) {
            (Dtype::BF16 | Dtype::F16, _) => refuse("dtype", &engine.dtype, "Auto or F32"),
            (Dtype::F32, Quantization::Int8 | Quantization::Int4) => {
                refuse("quantization", &engine.quantization, "Auto or None, with dtype F32")
            }
            (Dtype::F32, _) | (_, Quantization::None) => Ok(Precision::F32),
            (Dtype::Auto, Quantization::Auto) => Ok(Precision::AsStored),
            (Dtype::Auto, Quantization::Int8) => Ok(Precision::Int8),
            (Dtype::Auto, Quantization::Int4) => Ok(Precision::Int4),
        }?;
        let kv_cache = match engine.kv_cache {
            KvCache::Auto => KvPrecision::AsWeights,
            KvCache::BF16 => KvPrecision::Bf16,
            KvCache::Int8 => KvPrecision::Int8,
        };
        Ok(Formats { precision, kv_cache })
    }
}
